#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Several listeners of one pool: each of them goes on accepting when the queue that they share has room again.

The acceptor pauses a listener while the queue is full, and a worker that makes room has it resumed. The tests look for
a listener that stays paused: the queue is filled while the only worker is held, then the worker is let go, and clients
of all listeners must be served. No later client comes to the rescue of those that wait. The windows for an error are a
few instructions wide; a perturbed build (--enable-perturb) opens them.
"""
from cpharness import Daemon, expect_equal, main

# So large that the room for one client alone is not announced.
QUEUE = 5
CROWD = 12
ROUNDS = 40


def shared_pool(names):
    listener = '{ name = "%s"; address = "tcp:127.0.0.1:0"; service = "%s"; pool = "one"; }'
    listeners = [listener % ("hold", "echo")] + [listener % (name, "daytime") for name in names]
    return Daemon(listeners=", ".join(listeners), log="connections = false;",
                  pools=f"one: {{ workers = 1; connections_per_worker = 1; queue_size = {QUEUE}; }};")


def burst(daemon, crowds):
    """Clients of each listener wait, as many as crowds says, in the order in which it says it; all must be served."""
    with daemon.connect("hold") as holder:
        holder.expect_echo(b"mine\n")
        clients = [daemon.connect(name) for name, count in crowds for _ in range(count)]
    for client in clients:
        with client:
            expect_equal(client.recv_all()[-2:], b"\r\n", "the end of a date")


def test_crowds_are_served_beside_a_single_client_of_the_last_listener():
    crowded = ("a", "b", "c", "d")
    with shared_pool((*crowded, "lone")) as daemon:
        for _ in range(ROUNDS):
            burst(daemon, [(name, CROWD) for name in crowded] + [("lone", 1)])


def test_crowds_are_served_beside_a_single_client_of_the_first_listener():
    crowded = ("a", "b", "c", "d")
    with shared_pool(("lone", *crowded)) as daemon:
        for _ in range(ROUNDS):
            burst(daemon, [(name, CROWD) for name in crowded] + [("lone", 1)])


def test_two_listeners_are_served_in_bursts_of_any_size():
    with shared_pool(("a", "b")) as daemon:
        for turn in range(ROUNDS):
            burst(daemon, (("a", 1 + turn % (4 * QUEUE)), ("b", 1 + turn * 7 % (4 * QUEUE))))


main(globals())
