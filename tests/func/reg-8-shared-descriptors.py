#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Others hold the client's socket too: what they leave behind ends neither the daemon nor another connection."""
import contextlib
import os
import signal
import socket
import sys

from cpharness import TOP_BUILDDIR, Client, expect_equal, main
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


SHARER = os.path.join(TOP_BUILDDIR, "tests", "modules", "sharer.so")
FILE_BYTES = 64 << 20


def expect_others_are_served(daemon):
    """By the one worker there is."""
    for _ in range(3):
        with daemon.connect("e") as echo:
            echo.expect_echo()


@contextlib.contextmanager
def sharing(command):
    """A client whose module has made its socket one that blocks, and was given its command."""
    service = f'{{ type = "module"; path = "{SHARER}"; file = "@DIR@/file"; server = "unix:@DIR@/server"; }}'
    with daemon_with(f'{{ name = "m"; address = "tcp:127.0.0.1:0"; service = {service}; }}', ECHO, pools=ONE_WORKER,
                     wait_ready=False) as daemon:
        with open(daemon.dir + "/file", "wb") as stream:
            stream.truncate(FILE_BYTES)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(daemon.dir + "/server")
        server.listen(8)
        server.settimeout(60)
        daemon.wait_ready()
        with server, daemon.connect("m") as client:
            expect_equal(client.recv_exactly(7), b"shared\n", "the module's word")
            client.send(command + b"\n")
            yield daemon, client, server


def test_a_read_of_a_socket_that_blocks_holds_nobody_up():
    with sharing(b"wait") as (daemon, _, _):
        expect_others_are_served(daemon)


def test_a_file_for_a_socket_that_blocks_holds_nobody_up():
    with sharing(b"file") as (daemon, client, _):
        # It reads some of it and then no more.
        client.recv_exactly(1 << 20)
        expect_others_are_served(daemon)
        client.recv_exactly(FILE_BYTES - (1 << 20))
        client.expect_end()


def test_a_relay_of_sockets_that_block_holds_nobody_up():
    with sharing(b"relay") as (daemon, client, server):
        with Client(server.accept()[0]) as other:
            client.send(b"hello")
            expect_equal(other.recv_exactly(5), b"hello", "what is passed on")
            expect_others_are_served(daemon)
            # Bulk, in both directions, that nobody takes.
            for one, two in ((client, other), (other, client)):
                one.sock.setblocking(False)
                sent = 0
                with contextlib.suppress(BlockingIOError):
                    while True:
                        sent += one.sock.send(bytes(1 << 20))
                expect_others_are_served(daemon)
                one.sock.settimeout(60)
                two.recv_exactly(sent)


main(globals())
