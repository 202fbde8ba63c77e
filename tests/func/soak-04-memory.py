#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Memory: thousands of connections open, speak and close, over and over; it returns to where it was."""
from cpharness import SANITIZERS, Daemon, Skip, eventually, expect, main
from soaklib import Crowd, holdable, memory_bytes, size

CONNECTIONS = holdable(size(2000, 15000))
ROUNDS = size(5, 50)
# Allocator and page tables breathe; a leak of one small record a connection and round is far beyond this.
SLACK_BYTES = 256 * 1024 + 20 * CONNECTIONS
IDLE_BYTES_MAX = 400


def run(listener, workers, spread, log=""):
    """Rounds of open, speak, look, close. What was used at the first end is what is used at the last."""
    if SANITIZERS:
        raise Skip("a sanitizer's allocator keeps what is freed")
    ends = []
    with Daemon(listeners=listener, pools=f"main: {{ workers = {workers}; connections_per_worker = 20000; }};",
                log='connections = false;' + log) as daemon:
        threads, descriptors = daemon.thread_count(), daemon.fd_count()
        start = memory_bytes(daemon)
        for number in range(1, ROUNDS + 1):
            with Crowd(daemon.addresses("echo")[0], spread) as crowd:
                crowd.expect_well("open", CONNECTIONS)
                crowd.expect_well("echo")
                held = memory_bytes(daemon)
                crowd.expect_well("mixed")
            eventually(lambda: daemon.fd_count() <= descriptors + 1, lambda: f"{daemon.fd_count()} descriptors open")
            # The stacks of an idle worker go a moment later.
            least = settle(daemon)
            ends.append(least)
            if number in (1, 10, 50, ROUNDS):
                each = (held - start) / CONNECTIONS
                print(f"  round {number}: held {held // 1024} kB, {each:.0f} bytes a connection; "
                      f"after {least // 1024} kB (start {start // 1024} kB)", flush=True)
            if number > 1:
                expect((held - start) / CONNECTIONS < IDLE_BYTES_MAX + 2 * 65536 * workers / CONNECTIONS,
                       f"{(held - start) / CONNECTIONS:.0f} bytes a connection that is idle")
        expect(ends[-1] <= ends[0] + SLACK_BYTES, f"{ends[-1] - ends[0]} bytes more after {ROUNDS} rounds: {ends}")
        expect(ends[-1] <= start + SLACK_BYTES, f"{ends[-1] - start} bytes more than at the start: {ends}")
        expect(daemon.thread_count() == threads, "threads stay the same")


def settle(daemon):
    seen = [memory_bytes(daemon)]

    def is_steady():
        seen.append(memory_bytes(daemon))
        return len(seen) > 70 and len(set(seen[-60:])) == 1
    eventually(is_steady, lambda: f"memory still moves: {seen[-5:]}")
    return seen[-1]


def test_tcp_connections_come_and_go():
    run('{ name = "echo"; address = "tcp:127.0.0.1:0"; service = "echo"; backlog = 20000; }', 2, spread=True)


def test_unix_connections_come_and_go():
    run('{ name = "echo"; address = "unix:@DIR@/echo"; service = "echo"; backlog = 20000; }', 1, spread=False)


main(globals())
