#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""connections_per_worker = 1: the classic pool, one thread one connection."""
from cpharness import Daemon, eventually, expect_equal, main


def classic(workers, more=""):
    return Daemon(listeners='{ name = "echo"; address = "tcp:127.0.0.1:0"; service = "echo"; pool = "jobs"; }',
                  pools=f"jobs: {{ workers = {workers}; connections_per_worker = 1; {more} }};")


def test_as_many_as_workers_are_served_at_once_and_the_next_waits():
    with classic(5) as daemon:
        clients = [daemon.connect("echo") for _ in range(6)]
        for client in clients[:5]:
            client.expect_echo()
        clients[5].send(b"last\n")
        # All five still get their answers, so that none of them can have made room for the sixth.
        clients[5].sock.setblocking(False)
        for client in clients[:5]:
            client.expect_echo()
        try:
            expect_equal(clients[5].recv_some(), None, "answer to the sixth")
        except BlockingIOError:
            pass
        clients[5].sock.settimeout(60)
        clients[2].close()
        expect_equal(clients[5].recv_exactly(5), b"last\n", "echo of the sixth, once there is room")
        for client in clients:
            client.close()


def test_a_thread_for_each():
    with classic(7) as daemon:
        # A thread names itself, a moment after it was made.
        eventually(lambda: len([name for name in daemon.thread_names() if name.startswith("cp-w")]) == 7,
                   lambda: f"threads: {daemon.thread_names()}")


def test_hundreds_of_short_ones_all_end_well():
    with classic(3, 'queue_size = 16; queue_full = "wait";') as daemon:
        for number in range(100):
            with daemon.connect("echo") as client:
                client.send(b"%d" % number)
                client.shutdown_write()
                expect_equal(client.recv_all(), b"%d" % number, "echo")
        daemon.wait_closed(count=100)
        expect_equal(len(daemon.log.find("closed: client ")), 100, "records that say the client ended it")


main(globals())
