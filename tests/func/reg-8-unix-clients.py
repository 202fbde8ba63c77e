#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients over Unix sockets: one that has closed is served what it sent; what comes beside the bytes loses none."""
import array
import contextlib
import os
import signal
import socket
import time

from cpharness import Client, Daemon, expect_equal, main

FORGETFUL = 20
PIECES = 8


@contextlib.contextmanager
def stopped(daemon):
    """Until its end nothing of the daemon runs: what is done meanwhile is there all at once."""
    daemon.kill(signal.SIGSTOP)
    try:
        os.waitid(os.P_PID, daemon.process.pid, os.WSTOPPED | os.WNOWAIT)
        yield
    finally:
        daemon.kill(signal.SIGCONT)


def send_pieces(client):
    """Each with a descriptor beside it, at which a read ends."""
    with open("/dev/null", "rb") as other:
        for i in range(PIECES):
            client.sock.sendmsg([b"%d" % i * 3], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                                    array.array("i", [other.fileno()]))])
    return b"".join(b"%d" % i * 3 for i in range(PIECES))


def test_one_that_sent_and_left_while_it_was_queued_is_served():
    with Daemon(listeners='{ name = "d"; address = "unix:@DIR@/sock"; service = "discard"; }',
                pools="main: { workers = 1; connections_per_worker = 1; queue_size = 100; };") as daemon:
        with daemon.connect("d") as holder:
            holder.send(b"x")
            for _ in range(FORGETFUL):
                with daemon.connect("d") as client:
                    client.send(b"hello")
            # A client that has waited for less is not looked at.
            time.sleep(0.1)
        records = [daemon.wait_closed(count=1 + i, listener="d") for i in range(1 + FORGETFUL)]
        daemon.wait_accounted(1 + FORGETFUL)
        expect_equal(sum(int(record["bytes_in"]) for record in records), 1 + 5 * FORGETFUL, "bytes that were read")


def test_descriptors_beside_the_bytes_lose_none_of_them():
    with Daemon(listeners='{ name = "e"; address = "unix:@DIR@/sock"; service = "echo"; }') as daemon, \
            daemon.connect("e") as client:
        client.expect_echo()
        with stopped(daemon):
            sent = send_pieces(client)
        expect_equal(client.recv_exactly(len(sent)), sent, "what comes back")


def test_descriptors_beside_the_bytes_lose_none_on_their_way_to_a_server():
    with Daemon(listeners='{ name = "p"; address = "unix:@DIR@/sock"; '
                          'service = { type = "proxy"; upstream = "u"; }; }',
                more='upstreams: { u: { servers = ( { address = "unix:@DIR@/server"; } ); }; };',
                wait_ready=False) as daemon:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(daemon.dir + "/server")
        server.listen(8)
        server.settimeout(60)
        daemon.wait_ready()
        with server, daemon.connect("p") as client:
            client.send(b"hello")
            with Client(server.accept()[0]) as other:
                expect_equal(other.recv_exactly(5), b"hello", "what came")
                for one, two in ((client, other), (other, client)):
                    with stopped(daemon):
                        sent = send_pieces(one)
                    expect_equal(two.recv_exactly(len(sent)), sent, "what is passed on")


main(globals())
