# SPDX-License-Identifier: MIT
"""Carries out a plan against a daemon, and watches it all the time."""
import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections import Counter, defaultdict

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "func"))

from cpharness import LIMIT, SLOWNESS, Daemon, Failure  # noqa: E402
from chaoschecks import (BOUND, LEGAL, MEMORY_SLACK, Clock, Family, Ledger, age_of, descriptors_of,  # noqa: E402
                         leftovers, memory_of)
from chaosclients import TALKS, Cut, Server, Wrong, connect, has_ended, talk_echo  # noqa: E402
from chaosconf import Config, Places, config_text  # noqa: E402
from chaosops import Ops  # noqa: E402
from chaosplan import ROOMY, ROUND_SECONDS  # noqa: E402

KEEPER_PAUSE = 0.3
# What a daemon has beside workers, sockets, servers and connections.
FDS_OF_ITS_OWN = 48
# Time for a stop: the drain, what programs get to end, and what a loaded machine takes.
STOP_SECONDS = 12.0


class Violation(Failure):
    """An invariant did not hold."""

    def __init__(self, kind, text):
        super().__init__(f"{kind}: {text}")
        self.kind, self.text = kind, text


class Run(Ops):
    """One run of one plan."""

    def __init__(self, plan, seconds):
        self.plan, self.seconds = plan, seconds
        self.slowness = SLOWNESS
        self.clock, self.ledger = Clock(), Ledger()
        self.failure, self.begun = None, time.monotonic()
        self.numbers = 0
        self.held, self.keepers, self.ghosts, self.ghost_tasks = set(), {}, set(), set()
        self.posted = defaultdict(list)
        self.excuses = []
        self.disturbances = self.generation = 0
        self.lost_sums = False
        self.counts = Counter()
        self.baseline = None
        self.is_quiet = False

    # ---- failing ---------------------------------------------------------------------------------

    def fail(self, kind, text):
        """The first one counts: what follows may come of it."""
        if self.failure is None:
            seconds = time.monotonic() - self.begun
            self.failure = Violation(kind, f"{text} (after {seconds:.1f} s, in {self.where_now()})")
            self.stopped.set()

    async def explain(self):
        """Where the daemon has died, or a sanitizer has spoken, that is what happened; the rest came of it."""
        await self.clock.until(1.0 * SLOWNESS, lambda: self.daemon.process.poll() is not None)
        if self.daemon.process.poll() is not None:
            await asyncio.to_thread(self.daemon.log.thread.join, 5)
        self.ledger.read(self.daemon.log)
        first, self.failure = self.failure, None
        if self.ledger.reports:
            self.fail("report", "\n".join(self.ledger.reports[:5]))
        elif self.daemon.process.poll() is not None and first.kind not in ("stop", "dead"):
            self.fail("dead", f"the daemon has ended, status {self.daemon.process.returncode}; noticed by: {first}")
        self.failure = self.failure or first

    def where_now(self):
        return f"round {self.round} '{self.focus}'" + (", quiet" if self.is_quiet else "")

    def excuse(self, seconds):
        """For so long the daemon cannot be asked to serve in time."""
        self.disturbances += 1
        now = time.monotonic()
        self.excuses.append((now, now + seconds))

    def is_excused(self, since=None):
        now = time.monotonic()
        return any(start <= now and until >= (since or now) for start, until in self.excuses)

    def excused_seconds(self, span):
        """Of the last span seconds."""
        now = time.monotonic()
        return sum(max(0, min(until, now) - max(start, now - span)) for start, until in self.excuses)

    # ---- clients ---------------------------------------------------------------------------------

    async def connect(self, name):
        self.numbers += 1
        try:
            peer = await connect(self.places.where[name])
        except asyncio.CancelledError:
            # Whether it is in the backlog is not known.
            self.ledger.inexact.add(name)
            raise
        except ConnectionResetError:
            self.ledger.inexact.add(name)
            raise
        self.ledger.connected[name] += 1
        self.counts["connections"] += 1
        peer.number, peer.listener, peer.has_spoken = self.numbers, name, False
        return peer

    def kind_of(self, name):
        item = self.config.listeners.get(name)
        return item["kind"] if item else None

    async def talk(self, peer, kind):
        peer.has_spoken = kind not in ("daytime", "check", "time", "chargen")
        await TALKS[kind](peer)

    def keep(self, peer):
        self.keepers[peer] = asyncio.ensure_future(self.keep_talking(peer))

    async def keep_talking(self, peer):
        peer.has_spoken = True
        try:
            while True:
                await talk_echo(peer, 48)
                await asyncio.sleep(KEEPER_PAUSE)
        except Wrong as wrong:
            self.fail("bytes", f"a client that stays: {wrong}")
        except (OSError, Cut) as error:
            self.fail("foreign-event", f"an honest client of a-echo that stays was ended: {error!r}")
        finally:
            peer.close()

    # ---- liveness --------------------------------------------------------------------------------

    async def visit(self, name, kind):
        """Until an honest client was served. One that is turned away, where nothing excuses it, is a violation."""
        while True:
            since = time.monotonic()
            try:
                with await self.connect(name) as peer:
                    return await self.talk(peer, kind)
            except (OSError, Cut) as error:
                item = self.config.listeners.get(name) or {"options": {}}
                # A start that was under way when the spawner was killed fails; a short lifetime may be over.
                if not (set(item["options"]) & {"lifetime", "idle_timeout"} or self.is_excused(since - 4)):
                    text = f"an honest client of {name} ({kind}) was turned away: {error!r}"
                    raise Violation("liveness", text) from error
                await asyncio.sleep(0.1)

    async def probe(self, name, kind):
        """An honest client, served within the bound: None, or the Violation."""
        bound = BOUND * self.clock.load + (1.5 if self.excused_seconds(4) else 0)
        begin = time.monotonic()
        try:
            await self.clock.within(bound, self.visit(name, kind))
        except Wrong as wrong:
            return Violation("bytes", f"{name} ({kind}): {wrong}")
        except Violation as violation:
            return violation
        except TimeoutError:
            return Violation("liveness", f"{name} ({kind}, pool {self.pool_of(name)}) has not served an honest "
                                         f"client for {time.monotonic() - begin:.1f} s")
        self.counts["probes"] += 1
        return None

    async def expect_served(self, name, kind):
        violation = await self.probe(name, kind)
        if violation:
            self.fail(violation.kind, violation.text)

    def pool_of(self, name):
        item = self.config.listeners.get(name)
        return item["pool"] if item else "?"

    async def probe_anchors(self):
        """The pool of these has room at any time, whatever the round does."""
        while True:
            for name in ("a-echo", "a-unix", "a-exec"):
                if self.is_excused():
                    continue
                before = len(self.excuses)
                async with self.probing:
                    violation = await self.probe(name, self.kind_of(name))
                # One that was disturbed meanwhile proves nothing; the quiet point will tell.
                if violation and before == len(self.excuses):
                    self.fail(violation.kind, violation.text)
            await asyncio.sleep(0.1)

    def probed(self):
        """Listeners of the config in force that serve every honest client, by pool."""
        pools = defaultdict(list)
        for name, item in self.config.listeners.items():
            if item["kind"] in TALKS and not item["was"].startswith("wait-"):
                pools[item["pool"]].append((name, item["kind"]))
            elif item["kind"] == item["was"] == "wait-accept":
                pools[item["pool"]].append((name, item["kind"]))
        return pools

    # ---- reloads ---------------------------------------------------------------------------------

    def text_of(self, number, fresh=False):
        if fresh:
            self.generation += 1
        config = Config(self.plan, number, self.generation)
        return config, config_text(config, self.places, self.upstreams)

    def hang_up(self, text):
        self.daemon.write_config(text)
        mark = len(self.ledger.outcomes)
        self.daemon.kill(signal.SIGHUP)
        return mark

    async def outcome(self, mark):
        """The log line of a reload; None after a failure of the run."""
        if not await self.clock.until(15 * SLOWNESS, lambda: len(self.ledger.outcomes) > mark):
            self.fail("reload", "a reload has no end")
            return None
        return self.ledger.outcomes[-1]

    async def reload(self, number, fresh=False):
        async with self.reloading:
            config, text = self.text_of(number, fresh)
            self.disturbances += 1
            for name in set(self.config.listeners) ^ set(config.listeners):
                self.ledger.inexact.add(name)
            before = set(self.config.listeners)
            mark = self.hang_up(text)
            outcome = await self.outcome(mark)
            if outcome is None:
                return
            self.counts["reloads"] += 1
            if "reload failed" not in outcome:
                self.config, self.text = config, text
            else:
                self.daemon.write_config(self.text)
                # An address that a program of wait = true has kept is not free.
                returns = {name for name in config.listeners.keys() - before
                           if config.listeners[name]["was"].startswith("wait-")}
                if not returns and not self.is_excused(time.monotonic() - 5):
                    self.fail("reload", f"a good config was refused: {outcome}")

    # ---- watching --------------------------------------------------------------------------------

    async def family(self):
        return await asyncio.to_thread(Family, self.daemon, self.places.dir)

    async def watch_log(self):
        while True:
            self.ledger.read(self.daemon.log)
            # A service manager that does not listen would hold up the daemon.
            self.daemon.notify.drain()
            self.daemon.notify.messages.clear()
            if self.ledger.reports:
                self.fail("report", "\n".join(self.ledger.reports[:5]))
            if self.daemon.process.poll() is not None:
                self.fail("dead", f"the daemon has ended, status {self.daemon.process.returncode}")
            await asyncio.sleep(0.05)

    def age_limit(self, words):
        """Seconds after which a program must have ended; None: it may stay."""
        item = next((item for item in self.plan["listeners"] if item["name"] == words[4]), None)
        if item is None or "lifetime" not in item["options"]:
            return None
        return item["options"]["lifetime"] + item["kill_timeout"] + BOUND

    async def watch_programs(self):
        while True:
            lag = self.clock.lag
            family = await self.family()
            running = Counter()
            for pid, words in family.programs.items():
                limit = self.age_limit(words)
                if limit is None:
                    continue
                running[words[4]] += 1
                age = age_of(pid)
                if age > limit + self.excused_seconds(age) + 3 * (self.clock.lag - lag) and age_of(pid):
                    self.fail("programs", f"program {words[1]} of {words[4]} (process {pid}) runs for {age:.1f} s; "
                                          f"its lifetime and kill_timeout were over after {limit - BOUND:.1f} s")
            self.check_places(running)
            self.counts["programs"] += sum(running.values())
            await asyncio.sleep(0.3)

    def check_places(self, running):
        """Never more programs than the pools have places."""
        for pool in self.plan["pools"]:
            most = max(config.capacity(pool) for config in self.all_configs)
            count = sum(running[item["name"]] for item in self.plan["listeners"] if item["pool"] == pool)
            # What has ended waits to be reaped; a worker that retires may still have its own.
            if count > 2 * most + 4:
                self.fail("limit", f"{count} programs in pool {pool}, which has {most} places")

    # ---- quiet points ------------------------------------------------------------------------------------------------

    async def settle(self, tasks):
        """Everything that clients of the round hold is given back."""
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Wrong):
                self.fail("bytes", str(result))
            elif isinstance(result, Exception) and not isinstance(result, (OSError, TimeoutError, Cut)):
                raise result
        for peer in list(self.held):
            self.let_go(peer)
        for server in self.all_servers:
            server.drop_all()
        now = time.monotonic()
        wait = max([until - now for _, until in self.excuses] + [0])
        await asyncio.sleep(wait)

    def rest_of_programs(self, family):
        """Those that nobody can want any more."""
        rest = {}
        for pid, words in family.programs.items():
            item = self.config.listeners.get(words[4])
            is_server = words[1] in ("accept", "keep") or (words[1] == "shut" and item and item["kind"] == "wait-shut")
            if not is_server or item is None or not item["kind"].startswith("wait-"):
                rest[pid] = words
        return rest

    async def expect_programs_end(self):
        longest = max([item["options"].get("lifetime", 0) + item.get("kill_timeout", 0)
                       for item in self.plan["listeners"] if item["kind"].startswith(("exec-", "wait-"))] + [0])
        rest = {}

        async def none_left():
            while True:
                rest.clear()
                family = await self.family()
                rest.update(self.rest_of_programs(family))
                rest.update({pid: ("zombie", what) for pid, what in family.zombies.items()})
                if not rest:
                    return
                await asyncio.sleep(0.1)
        try:
            await self.clock.within(longest + BOUND + 1, none_left())
        except TimeoutError:
            self.fail("programs", f"left of programs, with no client there: {rest}")

    async def expect_service(self):
        async def one_pool(items):
            for name, kind in items:
                await self.expect_served(name, kind)
        await asyncio.gather(*(one_pool(items) for items in self.probed().values()))

    def counted(self):
        return [name for name, item in self.config.listeners.items()
                if name not in self.ledger.inexact and not item["was"].startswith("wait-")
                and "backlog" not in item["options"]]

    def open_now(self):
        """Clients that no quiet point closes."""
        return Counter(peer.listener for peer in self.keepers) + Counter(
            peer.listener for peer in self.ghosts if peer.name() not in self.ledger.gone)

    async def expect_sums(self):
        """accepted = active + queued + closed + rejected, where accepted is what the test has connected."""
        open_now = self.open_now()
        names = self.counted()
        if not await self.clock.until(BOUND + 3, lambda: self.ledger.is_settled(names, open_now)):
            for name in names:
                missing = self.ledger.difference(name, open_now.get(name, 0))
                if missing:
                    connected, accounted, refused, _ = self.ledger.since(name)
                    self.fail("accounting", f"{name}: {connected} connected, {open_now.get(name, 0)} open, "
                                            f"{accounted} in the log (refused: {dict(refused)}): {missing} are neither")
        for name in self.plan_names:
            _, _, refused, may_reset = self.ledger.since(name)
            if refused["queue-reset"] > may_reset:
                self.fail("lost-data", f"{name}: {refused['queue-reset']} connections were refused as reset by "
                                       f"clients that sent something and closed; {may_reset} may have been")

    async def expect_posts(self):
        """Each token has come to its service, or its connection was refused for a reason that is one."""
        wanted = {name: [token for token in tokens if name in self.counted()] for name, tokens in self.posted.items()}
        missing = {}

        def all_there():
            with contextlib.suppress(OSError), open(os.path.join(self.places.dir, "record"), "rb") as stream:
                self.recorded.update(stream.read().split(b"\n"))
            for server in self.all_servers:
                self.recorded.update(server.recorded)
            for name, tokens in wanted.items():
                refused = self.ledger.since(name)[2]
                lost = [token for token in tokens if token not in self.recorded]
                missing[name] = len(lost) - sum(refused[reason] for reason in LEGAL)
            return all(count <= 0 for count in missing.values())
        if not await self.clock.until(BOUND, all_there) and not self.excused_seconds(30):
            self.fail("lost-data", "fire-and-forget data that was sent and not refused did not come to its "
                                   f"service: {missing}")
        self.posted.clear()

    def workers(self):
        return sum(pool["workers"] for pool in self.config.pools.values())

    async def expect_resources(self):
        pid = self.daemon.process.pid
        ready = sum(server.spec["ready"] for server in self.all_servers)
        most = (FDS_OF_ITS_OWN + 5 * self.workers() + 4 * len(self.config.listeners) + 2 * ready + len(self.keepers)
                + 2 * len(self.ghosts))
        if not await self.clock.until(BOUND + 3, lambda: descriptors_of(pid) <= most):
            self.fail("descriptors", f"the daemon has {descriptors_of(pid)}, expected {most} at most")

        def worker_threads():
            # "main" exists without being written.
            return sum(name.startswith("cp-w") and not name.endswith("main") for name in self.daemon.thread_names())
        if not await self.clock.until(BOUND + 3, lambda: worker_threads() <= self.workers() + 1):
            self.fail("threads", f"{worker_threads()} workers run, the config has {self.workers()}: "
                                 f"{self.daemon.thread_names()}")
        family = await self.family()
        for other in family.keepers + family.spawners:
            count = descriptors_of(other)
            if count > 24 + 3 * self.workers():
                self.fail("descriptors", f"process {other} ({family.table[other][2]}) has {count}")
        if len(family.keepers) != 1:
            self.fail("dead", f"keepers: {family.keepers}")
        memory = {"daemon": memory_of(pid), **{family.table[other][2]: memory_of(other) for other in family.keepers}}
        if self.baseline is None or self.round < 3:
            self.baseline = memory
        for name, value in memory.items():
            if SLOWNESS == 1 and value > self.baseline[name] + MEMORY_SLACK:
                self.fail("memory", f"{name}: {value >> 10} KiB, {self.baseline[name] >> 10} KiB at the begin")

    async def expect(self, *expectations):
        for expectation in expectations:
            if self.failure is None:
                await expectation()

    async def quiet(self, tasks):
        self.is_quiet = True
        await self.settle(tasks)
        await self.expect(self.expect_programs_end, self.expect_service)
        async with self.probing:
            await self.expect(self.expect_sums, self.expect_posts, self.expect_resources)
            self.ledger.mark(self.open_now())
        self.is_quiet = False

    # ---- life ------------------------------------------------------------------------------------

    async def one_op(self, op):
        await asyncio.sleep(op["at"])
        self.counts["op " + op["op"]] += 1
        await getattr(self, "op_" + op["op"])(op)

    async def rounds(self):
        for number, part in enumerate(self.plan["rounds"]):
            if time.monotonic() - self.begun > self.seconds or self.failure:
                return
            self.round, self.focus = number, part["focus"]
            self.counts["rounds"] += 1
            tasks = [asyncio.ensure_future(self.one_op(op)) for op in part["ops"]]
            if tasks:
                await asyncio.wait(tasks, timeout=ROUND_SECONDS * (1.5 if SLOWNESS > 1 else 1))
            async with self.reloading:
                pass
            await self.quiet(tasks)

    async def stop(self):
        """The end: a drain that is over in time, a status of 0, and nothing left."""
        family = await self.family()
        for task in [*self.keepers.values(), *self.ghost_tasks]:
            task.cancel()
        await asyncio.gather(*self.keepers.values(), *self.ghost_tasks, return_exceptions=True)
        for peer in self.ghosts:
            peer.close()
        self.keepers = {}
        await self.op_stay_for_the_end()
        self.daemon.kill(signal.SIGTERM)
        ended = await self.clock.until(STOP_SECONDS * SLOWNESS, lambda: self.daemon.process.poll() is not None)
        if not ended:
            self.fail("stop", f"not over after {STOP_SECONDS * SLOWNESS} s")
            return
        if self.daemon.process.returncode != 0:
            self.fail("stop", f"exit status {self.daemon.process.returncode}")
        helpers = set(family.keepers + family.spawners)
        if not await self.clock.until(5 + BOUND, lambda: not any(os.path.exists(f"/proc/{pid}") for pid in helpers)):
            self.fail("stop", f"keeper or spawners are left: {helpers}")
        await asyncio.to_thread(self.daemon.log.thread.join, LIMIT)
        self.ledger.read(self.daemon.log)
        if self.ledger.reports:
            self.fail("report", "\n".join(self.ledger.reports[:5]))
        for name in self.counted():
            # What is in the backlog when the stop comes is never accepted.
            missing, connected = self.ledger.difference(name, 0), self.ledger.since(name)[0]
            if not 0 <= missing <= connected:
                self.fail("accounting", f"{name}: {missing} of {connected} connections are not in the log at the end")

    async def op_stay_for_the_end(self):
        """Some clients and programs are there when the stop comes."""
        for name in list(self.config.listeners)[:12]:
            with contextlib.suppress(OSError, asyncio.TimeoutError):
                peer = await asyncio.wait_for(self.open(name), 1)
                await asyncio.wait_for(self.say(peer, b"x" * 20), 1)

    async def main(self):
        self.stopped, self.reloading, self.probing = asyncio.Event(), asyncio.Lock(), asyncio.Lock()
        self.round, self.focus, self.recorded = -1, "start", set()
        self.plan_names = [item["name"] for item in self.plan["listeners"]]
        self.all_configs = [Config(self.plan, number) for number in range(len(self.plan["configs"]))]
        self.upstreams = {name: [Server(self.places, spec, f"{name}-{index}") for index, spec in enumerate(specs)]
                          for name, specs in self.plan["upstreams"].items()}
        self.all_servers = [server for servers in self.upstreams.values() for server in servers]
        for server in self.all_servers:
            server.run = self
        self.config, self.text = self.text_of(0)
        self.daemon = Daemon(self.text, quiet=True)
        try:
            self.daemon.start()
            self.ledger.read(self.daemon.log)
            self.ledger.mark(Counter())
            await self.carry_out()
        finally:
            for peer in [*self.held, *self.keepers, *self.ghosts]:
                peer.close()
            for server in self.all_servers:
                await server.end()

    async def carry_out(self):
        watchers = [asyncio.ensure_future(watch()) for watch in
                    (self.clock.run, self.watch_log, self.watch_programs, self.probe_anchors)]
        work = asyncio.ensure_future(self.rounds())
        stop = asyncio.ensure_future(self.stopped.wait())
        tasks = [work, stop, *watchers]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if self.failure is None:
                for task in (watchers[1], watchers[2], watchers[3]):
                    task.cancel()
                await asyncio.gather(*watchers[1:], return_exceptions=True)
                await self.stop()
            if self.failure is not None:
                await self.explain()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def run(self):
        """None, or the Violation."""
        self.places = Places(self.plan)
        self.daemon = None
        try:
            asyncio.run(self.main())
        finally:
            self.clean()
        return self.failure

    def clean(self):
        """Nothing is left: neither a process, nor a file."""
        if self.daemon is not None:
            helpers = []
            with contextlib.suppress(OSError):
                if self.daemon.process and self.daemon.process.poll() is None:
                    family = Family(self.daemon, self.places.dir)
                    helpers = family.spawners + family.keepers
            self.log_lines = list(self.daemon.log.lines) if self.daemon.log else []
            if self.daemon.process and self.daemon.process.poll() is None:
                self.daemon.process.kill()
                self.daemon.process.wait()
            for pid in helpers:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            for pid in leftovers(self.places.dir):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self.daemon._end()
        self.places.end()
