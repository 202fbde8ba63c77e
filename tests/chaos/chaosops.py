# SPDX-License-Identifier: MIT
"""The operations of a round: what clients do, and what is done to the daemon. Each method op_NAME is one."""
import asyncio
import contextlib
import os
import random
import resource
import signal
import time

from chaosclients import (BUSY, ECHOES, Cut, expect_bytes, stream_of, talk_echo, TALKS)
from chaosconf import BROKEN

PROXY_HEADERS_BAD = (b"PROXY TCP4 1.2.3.4\r\n", b"GET / HTTP/1.0\r\n\r\n", b"PROXY TCP4 a b c d\r\n", b"P",
                     b"\r\n\r\n\0\r\nQUIT\nxx")
KEEPERS_MAX = 12
RIVALS_FACTOR = 4
RIVALS_LEAST = 60


class Ops:
    """Mixed into Run."""

    async def open(self, name):
        """A connected client of a listener, which is closed at the next quiet point at the latest."""
        peer = await self.connect(name)
        self.held.add(peer)
        return peer

    def let_go(self, peer, how="close"):
        self.held.discard(peer)
        if how == "reset":
            self.ledger.may_reset[peer.listener] += 1
            peer.reset()
        else:
            # A Unix client that is gone without a word looks like one that was reset.
            if not peer.has_spoken:
                self.ledger.may_reset[peer.listener] += 1
            peer.close()

    async def each(self, count, one):
        """So many at once; what a client runs into is its own business, what it is told is not."""
        async def guarded(number):
            with contextlib.suppress(OSError, Cut, TimeoutError):
                await one(number)
        await asyncio.gather(*(guarded(number) for number in range(count)))

    # ---- clients ---------------------------------------------------------------------------------

    async def op_fast(self, op):
        async def one(_):
            peer = await self.open(op["listener"])
            try:
                kind = self.kind_of(op["listener"])
                if kind in TALKS:
                    await self.talk(peer, kind)
                else:
                    await self.say(peer, b"hello\n")
                    await peer.recv_all()
            finally:
                self.let_go(peer)
        await self.each(op["count"], one)

    op_burst = op_fast

    async def op_slow(self, op):
        chance = random.Random(op["seed"])

        async def one(_):
            peer = await self.open(op["listener"])
            data = stream_of(peer.number, chance.randint(100000, 600000))
            sender = asyncio.ensure_future(self.say(peer, data))
            try:
                got = 0
                while got < len(data):
                    part = await peer.recv(4000)
                    if not part:
                        break
                    if self.kind_of(op["listener"]) in ECHOES and not BUSY.startswith(part):
                        expect_bytes(part, data[got:got + len(part)], "slow reader")
                    got += len(part)
                    await asyncio.sleep(0.01)
            finally:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
                self.let_go(peer)
        await self.each(min(op["count"], 3), one)

    async def op_silent(self, op):
        async def one(_):
            await self.open(op["listener"])
        await self.each(op["count"], one)

    async def op_reset(self, op):
        chance = random.Random(op["seed"])

        async def one(number):
            peer = await self.open(op["listener"])
            if number % 2:
                await self.say(peer, stream_of(peer.number, chance.choice((1, 100, 50000))))
            await asyncio.sleep(chance.choice((0, 0, 0.01, 0.2)))
            self.let_go(peer, "reset")
        await self.each(op["count"], one)

    async def op_half(self, op):
        async def one(_):
            peer = await self.open(op["listener"])
            data = stream_of(peer.number, 3000)
            try:
                await self.say(peer, data)
                peer.half_close()
                got = await peer.recv_all()
                if self.kind_of(op["listener"]) in ECHOES and not BUSY.startswith(got):
                    expect_bytes(got, data, "after a half-close")
            finally:
                self.let_go(peer)
        await self.each(op["count"], one)

    async def op_bytes(self, op):
        async def one(_):
            peer = await self.open(op["listener"])
            data = stream_of(peer.number, 40)
            try:
                for index in range(len(data)):
                    await self.say(peer, data[index:index + 1])
                    await asyncio.sleep(0.002)
                    if self.kind_of(op["listener"]) in ECHOES:
                        got = await peer.recv(1)
                        if got in (b"", BUSY[:1]):
                            return
                        expect_bytes(got, data[index:index + 1], "a byte at a time")
            finally:
                self.let_go(peer)
        await self.each(op["count"], one)

    async def op_forget(self, op):
        async def one(_):
            await self.post(op["listener"])
        await self.each(op["count"], one)

    async def op_header(self, op):
        chance = random.Random(op["seed"])

        async def one(_):
            peer = await self.open(op["listener"])
            try:
                await self.say(peer, chance.choice(PROXY_HEADERS_BAD))
                await peer.recv_all()
            finally:
                self.let_go(peer, chance.choice(("close", "reset")))
        await self.each(op["count"], one)

    async def say(self, peer, data):
        peer.has_spoken = True
        await peer.send(data)

    async def post(self, name):
        """Connect, send, close, gone: what was sent is served all the same."""
        peer = await self.open(name)
        try:
            token = stream_of(peer.number, 64)
            if self.kind_of(name) == "header":
                token = b"PROXY TCP4 192.0.2.1 203.0.113.1 1000 80\r\n" + token
            await self.say(peer, token)
            if self.kind_of(name) in ("exec-record", "proxy-record"):
                self.posted[name].append(token)
        finally:
            self.let_go(peer)

    # ---- pools that are full ---------------------------------------------------------------------

    async def fill(self, pool):
        """Holds every place of a pool's workers by clients that are being served. How many there are."""
        count = min(self.config.capacity(pool), 64)
        served = []

        async def one(_):
            peer = await self.open(pool + "-one")
            peer.has_spoken = True
            await asyncio.wait_for(talk_echo(peer, 16), 1.5)
            served.append(peer)
        await self.each(count, one)
        return served

    def settings(self, pool):
        return self.config.pools[pool]

    async def op_expire(self, op):
        pool = self.settings(op["pool"])
        await self.fill(op["pool"])
        waiting = min(pool["queue_size"], 64) + op["extra"]

        async def one(number):
            await self.open(op["pool"] + ("-two" if op["seed"] % 3 == 0 and number % 2 else "-one"))
        await self.each(waiting, one)
        await asyncio.sleep(pool["queue_timeout"] + 0.4)

    async def op_post(self, op):
        served = await self.fill(op["pool"])

        async def one(_):
            await self.post(op["pool"] + "-sink")
        await self.each(op["count"], one)
        await asyncio.sleep(op["release"])
        for peer in served:
            if peer in self.held:
                self.let_go(peer)

    async def closed_loop(self, name, seconds, hold, served):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                peer = await self.open(name)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            try:
                peer.has_spoken = True
                await talk_echo(peer, 16)
                served[name] += 1
                if hold:
                    await asyncio.sleep(hold)
            except (OSError, Cut):
                await asyncio.sleep(0.02)
            finally:
                self.let_go(peer)

    def echoes_of(self, pool):
        return [name for name in (pool + "-one", pool + "-two")
                if name in self.config.listeners and self.kind_of(name) == "echo"]

    async def op_rivals(self, op):
        names, pool = self.echoes_of(op["pool"]), self.settings(op["pool"])
        served = dict.fromkeys(names, 0)
        count = self.config.capacity(op["pool"]) + pool["queue_size"] + 40
        before = self.disturbances
        loops = [asyncio.ensure_future(self.closed_loop(name, op["seconds"], op["hold"], served))
                 for _ in range(count) for name in names]
        # Not until the last one is served: one that starves never is.
        await asyncio.wait(loops, timeout=op["seconds"])
        few, many = min(served.values(), default=0), max(served.values(), default=0)
        judged = len(names) == 2 and pool["queue_full"] == "wait" and self.disturbances == before
        if judged and many >= RIVALS_LEAST and few * RIVALS_FACTOR < many:
            self.fail("fairness", f"pool {op['pool']}, overloaded by two listeners alike: served {served}")
        for task in loops:
            task.cancel()
        await asyncio.gather(*loops, return_exceptions=True)

    async def op_churn(self, op):
        served = dict.fromkeys(self.echoes_of(op["pool"]), 0)
        await asyncio.gather(*(self.closed_loop(name, op["seconds"], 0, served)
                               for name in served for _ in range(op["count"])))

    # ---- descriptors that others hold too --------------------------------------------------------

    async def op_keepers(self, op):
        """Honest clients that stay over rounds: nothing that others do may end or disturb them."""
        for _ in range(min(op["count"], KEEPERS_MAX - len(self.keepers))):
            self.keep(await self.connect("a-echo"))

    async def op_ghost(self, op):
        peers = []

        async def one(_):
            # Not of those that a quiet point closes: it comes to life when its connection is over.
            peer = await self.connect("a-leave")
            self.ghosts.add(peer)
            peers.append(peer)
        # So many that the memory of the ghost's place is given back when all have gone.
        idle = [await self.open("a-echo") for _ in range(op["idle"])]
        await self.each(op["count"], one)
        task = asyncio.ensure_future(self.haunt(peers, op))
        self.ghost_tasks.add(task)
        task.add_done_callback(self.ghost_tasks.discard)
        await asyncio.sleep(0.2)
        for peer in idle:
            self.let_go(peer)
        await asyncio.wait({task}, timeout=4 * self.slowness)

    async def haunt(self, peers, op):
        names = [peer.name() for peer in peers]
        await self.clock.until(6, lambda: all(name in self.ledger.gone for name in names))
        # Others have their places by now, or nobody has.
        guards = [await self.connect("a-echo") for _ in range(op["guards"])]
        try:
            await self.guard(guards)
            for peer in peers:
                with contextlib.suppress(OSError):
                    if op["then"] != "reset":
                        await peer.send(b"boo")
                    if op["then"] != "byte":
                        await asyncio.sleep(0.05)
                        peer.reset()
            await asyncio.sleep(0.2)
            await self.guard(guards)
        finally:
            for peer in guards + peers:
                peer.close()
            self.ghosts.difference_update(peers)

    async def guard(self, guards):
        try:
            for peer in guards:
                peer.has_spoken = True
                await talk_echo(peer, 32)
        except (OSError, Cut) as error:
            self.fail("foreign-event", f"a client of a-echo was ended, beside a stranger "
                                       f" whose connection was over: {error!r}")

    # ---- programs --------------------------------------------------------------------------------

    async def op_use(self, op):
        async def one(_):
            peer = await self.open(op["listener"])
            try:
                if op["send"]:
                    await asyncio.wait_for(self.say(peer, stream_of(peer.number, op["send"])), 0.5)
                if op["end"] == "half":
                    peer.half_close()
                await asyncio.wait_for(peer.recv(), 1.5)
            finally:
                if op["end"] == "reset":
                    self.let_go(peer, "reset")
        await self.each(op["count"], one)

    async def op_starts(self, op):
        """Programs one after the other, each of an honest client."""
        name = op["listener"]
        item = self.config.listeners.get(name)
        until = time.monotonic() + op["seconds"]

        async def one(_):
            while item and time.monotonic() < until:
                begin = time.monotonic()
                peer = await self.open(name)
                try:
                    if item["kind"] == "exec-echo":
                        peer.has_spoken = True
                        await talk_echo(peer, 16)
                    else:
                        await peer.recv_all()
                except (OSError, Cut) as error:
                    soon = time.monotonic() - begin < item["options"]["lifetime"] / 2
                    if name == "a-exec" and soon and not self.is_excused(begin):
                        self.fail("program", f"an honest client of {name} was cut off: {error!r}")
                finally:
                    self.let_go(peer)
        await self.each(op["count"], one)

    # ---- what is done to the daemon --------------------------------------------------------------

    async def op_reload(self, op):
        await self.reload(op["config"], op.get("fresh", False))

    async def op_broken(self, op):
        async with self.reloading:
            mark = self.hang_up(BROKEN[op["seed"] % len(BROKEN)])
            outcome = await self.outcome(mark)
            if outcome and "reload failed" not in outcome:
                self.fail("reload", f"a broken file was taken: {outcome}")
            self.daemon.write_config(self.text)

    async def op_hups(self, op):
        """More signals than it can answer, with files that change; the last one counts."""
        async with self.reloading:
            chance = random.Random(op["seed"])
            for _ in range(chance.randint(3, 10)):
                self.hang_up(chance.choice((self.text, BROKEN[0], self.text_of(op["config"])[1])))
                await asyncio.sleep(chance.choice((0, 0.01, 0.05)))
            known = -1
            while known != len(self.ledger.outcomes):
                known = len(self.ledger.outcomes)
                await asyncio.sleep(0.5 * self.slowness)
        await self.reload(op["config"])

    async def op_kill(self, _op):
        for pid in (await self.family()).spawners:
            self.excuse(3.0)
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)

    async def paused(self, pids, seconds):
        self.excuse(seconds + 0.5)
        try:
            for pid in pids:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(seconds)
        finally:
            for pid in pids:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGCONT)

    async def op_halt(self, op):
        await self.paused((await self.family()).spawners, op["seconds"])

    async def op_freeze(self, op):
        family = await self.family()
        await self.paused([self.daemon.process.pid, *family.keepers, *family.spawners], op["seconds"])

    async def op_shortage(self, op):
        pid = self.daemon.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        self.excuse(op["seconds"] + 1.5)
        try:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(soft, self.daemon.fd_count() + op["spare"]), hard))
            await asyncio.sleep(op["seconds"])
        finally:
            with contextlib.suppress(OSError):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
