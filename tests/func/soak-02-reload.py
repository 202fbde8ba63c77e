#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reloads, one after another, while connpool-client's benchmark runs at full speed: not a request is refused, reset,
late or wrong; and no memory, descriptor or thread stays behind.

The configs alternate in everything that a reload can change on listeners that stay, and every tenth one is broken.
"""
import json
import os
import signal
import subprocess

from cpharness import (LIMIT, SANITIZERS, SLOWNESS, TOP_BUILDDIR, Daemon, eventually, expect, expect_equal, main,
                       make_config)
from soaklib import memory_bytes, size

RELOADS = max(20, size(60, 1000))
CONNPOOL_CLIENT = os.path.join(TOP_BUILDDIR, "src", "connpool-client")
# What the first reloads take for good: buffers, rings, page tables.
WARM_UP = 20
SLACK_BYTES = 512 * 1024


def config(number):
    """The listeners tcp and unix stay; all else comes, goes, grows and shrinks at paces of its own."""
    odd, third, fifth = number % 2, number % 3, number % 5
    listeners = [
        f'{{ name = "tcp"; address = "tcp:127.0.0.1:0"; service = "echo"; pool = "{"pq"[third == 0]}"; '
        f'backlog = {4000 + odd}; idle_timeout = "{300 + third}s"; keep_alive = {("false", "true")[odd]}; }}',
        f'{{ name = "unix"; address = "unix:@DIR@/echo.sock"; service = "echo"; pool = "p"; '
        f'max_per_source = {100000 + fifth}; send_timeout = "{60 + fifth}s"; '
        f'socket_mode = "{("0666", "0600")[odd]}"; }}']
    if odd:
        listeners.append('{ name = "comes"; address = "unix:@DIR@/comes.sock"; service = "daytime"; pool = "r"; }')
    if third:
        listeners.append('{ name = "goes"; address = [ "tcp:127.0.0.1:0", "tcp:[::1]:0" ]; service = "chargen"; }')
    return make_config(
        listeners=", ".join(listeners),
        pools=f"p: {{ workers = {1 + third}; queue_size = {(64, 1024, 4096)[third]}; "
              f"stack_size = {(65536, 131072)[number % 4 == 0]}; }}; "
              f"q: {{ workers = {1 + odd}; connections_per_worker = {(1000, 10000)[odd]}; }}; "
              + ("r: { workers = 2; connections_per_worker = 1; };" if odd else ""),
        log="connections = false; " + ('level = "notice";' if fifth == 2 else 'level = "info";'))


def broken(number):
    """Each kind fails at another place: the parser, the table, a name, a socket that can't be opened."""
    kinds = (lambda text: text + "}", lambda text: text.replace("queue_size", "queue_sise"),
             lambda text: text.replace('service = "echo"', 'service = "ecco"'),
             lambda text: text.replace("@DIR@/echo.sock", "@DIR@/echo.sock\"; }, { name = \"no\"; service = \"echo\"; "
                                                          "address = \"unix:@DIR@/no/such/folder"))
    return kinds[number // 10 % len(kinds)](config(number))


class Load:
    """connpool-client bench, one for each kind of client; each reports what failed."""

    def __init__(self, daemon):
        self.benches = []
        for name in ("tcp", "unix"):
            daemon.wait_log(rf"listener '{name}': listening on")
            for more in (["-c", "16"], ["-c", "4", "--reconnect"]):
                command = [CONNPOOL_CLIENT, "bench", daemon.addresses(name)[0], "--json", "-d", "1h", "-w", "30s"]
                process = subprocess.Popen(command + more, stdout=subprocess.PIPE)
                self.benches.append((f"{name} {' '.join(more)}", process))

    def expect_running(self):
        for name, process in self.benches:
            expect(process.poll() is None, f"the load {name} has ended by itself")

    def end(self):
        for _, process in self.benches:
            process.send_signal(signal.SIGINT)
        for name, process in self.benches:
            out, _ = process.communicate(timeout=LIMIT)
            report = json.loads(out)
            errors = report["errors"]
            print(f"  {name}: {report['requests']} requests, errors {errors}")
            expect_equal(sum(value for value in errors.values() if isinstance(value, int)), 0, f"errors of {name}")
            least = RELOADS if SLOWNESS == 1 else 0
            expect(report["requests"] > least, f"{name} was a load: {report['requests']} requests")


def test_reloads_under_full_load():
    with Daemon(config(0)) as daemon:
        threads, fds = daemon.thread_count(), daemon.fd_count()
        load = Load(daemon)
        try:
            good = failed = 0
            warm = None
            for number in range(1, RELOADS + 1):
                is_broken = number % 10 == 0
                outcome = daemon.reload(broken(number) if is_broken else config(number))
                expect(("reload failed" in outcome) == is_broken, f"reload {number}: {outcome}")
                failed, good = failed + is_broken, good + (not is_broken)
                if number == WARM_UP or (number % 100 == 0 and number > WARM_UP):
                    warm = warm or memory_bytes(daemon)
                    print(f"  after {number}: memory {memory_bytes(daemon) // 1024} kB under load, "
                          f"{daemon.fd_count()} descriptors, {daemon.thread_count()} threads", flush=True)
                load.expect_running()
        finally:
            load.end()
        print(f"  {good} good and {failed} broken reloads")
        expect_what_was(daemon, threads, fds)


def expect_what_was(daemon, threads, fds):
    """The same config without load, as at the start; then some reloads more may not cost memory."""
    def state():
        return daemon.thread_count(), daemon.fd_count()
    daemon.reload(config(0))
    # Workers that retired are joined, and clients that have gone are closed; one descriptor load opens for good.
    eventually(lambda: daemon.thread_count() == threads and daemon.fd_count() - fds in (0, 1),
               lambda: f"{daemon.thread_names()}, {daemon.fd_count()} descriptors, {fds} before")
    fds = daemon.fd_count()
    sizes = []
    for number in range(1, max(30, size(60, 300)) + 1):
        daemon.reload(config(number))
        if number % 30 == 0:
            daemon.reload(config(0))
            eventually(lambda: state() == (threads, fds), lambda: f"{state()}, before {(threads, fds)}")
            sizes.append(memory_bytes(daemon))
    print(f"  idle, after reloads: memory {[size // 1024 for size in sizes]} kB, {fds} descriptors")
    if not SANITIZERS:
        expect(sizes[-1] <= sizes[0] + SLACK_BYTES, f"memory grows: {sizes}")


main(globals())
