#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Connections are spread evenly over the workers, also when they come one by one and stay."""
import contextlib
import os
import re

from cpharness import Daemon, expect, expect_equal, main


def spread(daemon):
    """How many connections each worker has: the sockets in its epoll set, by /proc/PID/fdinfo. The main thread's set is
    told by the signalfd in it."""
    folder = f"/proc/{daemon.process.pid}"
    kinds = {}
    for fd in os.listdir(f"{folder}/fd"):
        with contextlib.suppress(OSError):
            kinds[fd] = os.readlink(f"{folder}/fd/{fd}")
    counts = []
    for fd, kind in kinds.items():
        if kind == "anon_inode:[eventpoll]":
            with open(f"{folder}/fdinfo/{fd}", encoding="ascii") as stream:
                watched = [kinds.get(target, "") for target in re.findall(r"^tfd:\s*(\d+)", stream.read(), re.M)]
            if "anon_inode:[signalfd]" not in watched:
                counts.append(len([kind for kind in watched if kind.startswith("socket:")]))
    return sorted(counts)


def daemon_with(workers, more=""):
    return Daemon(listeners='{ name = "echo"; address = "tcp:127.0.0.1:0"; service = "echo"; pool = "p"; }',
                  pools=f"p: {{ workers = {workers}; {more} }};")


def test_one_by_one_they_are_spread_evenly():
    with daemon_with(4) as daemon, contextlib.ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(daemon.connect("echo")).expect_echo()
        counts = spread(daemon)
        expect_equal(sum(counts), 40, "connections watched")
        busy = [count for count in counts if count]
        expect_equal(len(busy), 4, f"workers with connections ({counts})")
        expect(max(busy) - min(busy) <= 2, f"spread: {counts}")


def test_in_a_burst_they_are_spread_evenly():
    with daemon_with(4) as daemon, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(daemon.connect("echo")) for _ in range(200)]
        for client in clients:
            client.send(b"x")
        for client in clients:
            client.recv_exactly(1)
        counts = spread(daemon)
        expect_equal(sum(counts), 200, "connections watched")
        busy = [count for count in counts if count]
        expect_equal(len(busy), 4, f"workers with connections ({counts})")
        # Who takes how many of a burst hangs on which threads the kernel lets run: none is left without a good part.
        expect(min(busy) >= 10, f"spread: {counts}")


def test_a_gap_that_ended_connections_left_is_filled_first():
    with daemon_with(2) as daemon:
        clients = [daemon.connect("echo") for _ in range(20)]
        for client in clients:
            client.expect_echo()
        mark = daemon.log.mark()
        for client in clients[::2]:
            client.close()
        daemon.wait_closed(since=mark, count=10)
        fresh = []
        for _ in range(10):
            fresh.append(daemon.connect("echo"))
            fresh[-1].expect_echo()
        busy = [count for count in spread(daemon) if count]
        expect_equal(sum(busy), 20, "connections watched")
        expect(max(busy) - min(busy) <= 2, f"spread: {busy}")
        for client in clients + fresh:
            client.close()


def test_a_worker_takes_no_more_than_its_share():
    with daemon_with(3, "connections_per_worker = 5; queue_size = 10;") as daemon:
        clients = [daemon.connect("echo") for _ in range(20)]
        for client in clients[:15]:
            client.expect_echo()
        busy = [count for count in spread(daemon) if count]
        expect_equal(busy, [5, 5, 5], "connections of each worker; the others wait")
        for client in clients[:5]:
            client.close()
        for client in clients[15:]:
            client.expect_echo()
        for client in clients:
            client.close()


main(globals())
