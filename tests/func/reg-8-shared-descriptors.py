#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Others hold the client's socket too: what they leave behind ends neither the daemon nor another connection."""
import contextlib
import os
import signal
import sys

from cpharness import expect_equal, main
from execlib import daemon_with, listener, shell

ECHO = '{ name = "e"; address = "tcp:127.0.0.1:0"; service = "echo"; }'
ONE_WORKER = "main: { workers = 1; connections_per_worker = 2000; };"
# Enough to fill several chunks of the worker's connection records, so that some of them are given back.
MANY = 700


# The child says when it has left the program's group, which is killed with it.
HOLDER = shell("bg", "setsid sh -c 'echo $$ >>@DIR@/holders; echo up; exec sleep 1000' & read line")


@contextlib.contextmanager
def holders_of(daemon):
    try:
        yield
    finally:
        with open(daemon.dir + "/holders", encoding="ascii") as stream:
            for number in stream.read().split():
                os.kill(int(number), signal.SIGKILL)


def connect_holder(daemon):
    """A client whose program has ended while a child of it still holds the socket."""
    client = daemon.connect("bg")
    expect_equal(client.recv_exactly(3), b"up\n", "output")
    client.send(b"end\n")
    client.expect_end()
    return client


def test_bytes_for_a_connection_that_is_over_reach_nobody():
    with daemon_with(HOLDER, ECHO, pools=ONE_WORKER) as daemon, holders_of(daemon):
        # Its record is among the last ones, and its memory is given back with theirs.
        others = [daemon.connect("e") for _ in range(MANY)]
        for other in others:
            other.expect_echo()
        client = connect_holder(daemon)
        for other in others:
            other.close()
        daemon.wait_closed(listener="e", count=MANY)
        daemon.wait_closed(listener="bg")
        with contextlib.suppress(OSError):
            client.send(b"x")
        for _ in range(3):
            with daemon.connect("e") as echo:
                echo.expect_echo()
        client.close()


def test_a_reset_of_a_connection_that_is_over_reaches_nobody():
    with daemon_with(HOLDER, ECHO, pools=ONE_WORKER) as daemon, holders_of(daemon):
        clients = [connect_holder(daemon) for _ in range(2)]
        daemon.wait_closed(listener="bg", count=2)
        # They have the places of those.
        others = [daemon.connect("e") for _ in range(4)]
        for other in others:
            other.expect_echo()
        for client in clients:
            with contextlib.suppress(OSError):
                client.send(b"x")
            client.reset()
        for other in others:
            other.expect_echo()
            other.close()


def test_a_program_that_lets_close_wait_holds_nobody_up():
    # An hour is how long close(2) would wait for a client that reads nothing.
    script = ("import os, socket, struct\n"
              "s = socket.socket(fileno=0)\n"
              "s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 3600))\n"
              "try:\n"
              "    while True: s.send(bytes(65536), socket.MSG_DONTWAIT)\n"
              "except BlockingIOError:\n"
              "    os._exit(0)\n")
    with daemon_with(listener("x", [sys.executable, "-c", script]), ECHO, pools=ONE_WORKER) as daemon, \
            daemon.connect("x") as client:
        daemon.wait_closed(listener="x")
        with daemon.connect("e") as echo:
            echo.expect_echo()
        client.reset()


main(globals())
