#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""More clients than can be served: nothing hangs, and every connection is accounted exactly once.

accepted = closed + rejected, by the log, once the daemon has ended; and what the clients saw is the same sum.
"""
import errno
import os
import re
import threading

from cpharness import LIMIT, Daemon, eventually, expect, expect_equal, main
from soaklib import FULL, Crowd, Sums, size

CLIENTS = 64 if FULL else 16
VISITS = max(5, size(20, 500))
BUSY = b"busy\r\n"


def overloaded(pool, listener=""):
    return Daemon(listeners=f'{{ name = "door"; address = "tcp:127.0.0.1:0"; service = "echo"; pool = "p";'
                            f' busy_message = "busy\\r\\n"; {listener} }}',
                  pools=f"p: {{ {pool} }};")


class Visitors:
    """CLIENTS threads, each of VISITS connections one after another; how each ended is counted."""

    def __init__(self, daemon, visits=VISITS):
        self.daemon, self.visits = daemon, visits
        self.lock = threading.Lock()
        self.served = self.told = self.reset = self.connected = 0
        self.trouble = []
        threads = [threading.Thread(target=self.visit, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        expect(not any(thread.is_alive() for thread in threads), "a client hangs")
        expect_equal(self.trouble, [], "trouble of clients")
        print(f"  {self.connected} connected: {self.served} served, {self.told} told of busy, {self.reset} reset")

    def visit(self, number):
        try:
            for visit in range(self.visits):
                self.one(os.urandom(20 + (number + visit) % 500), slow=(number + visit) % 4 == 0)
        except BaseException as error:
            self.trouble.append(repr(error))

    def one(self, word, slow):
        with self.daemon.connect("door") as client:
            with self.lock:
                self.connected += 1
            try:
                client.send(word)
                if slow:
                    # Takes its time, as clients do: it holds its place until it has said the second half.
                    threading.Event().wait(0.01)
                    client.send(word)
                    word += word
                client.shutdown_write()
                answer = client.recv_all()
            except OSError as error:
                # Sent after it had been told so: closed by then, and answered by a reset. Never a time-out.
                expect(error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN), repr(error))
                with self.lock:
                    self.reset += 1
                return
            expect(answer in (word, BUSY), f"answer {answer!r} to {word!r}")
            with self.lock:
                self.served += answer == word
                self.told += answer == BUSY


def expect_sums(daemon, visitors, what):
    """All of it, once the daemon has ended."""
    expect_equal(daemon.stop(), 0, "exit status")
    sums = Sums(daemon.log, "door")
    print(f"  {what}: {sums}")
    # A burst of records may be longer than the log can take; then the log says how many are not in it.
    expect_equal(sums.closed + sums.rejected + sums.dropped, visitors.connected, "closed + rejected (+ not logged)")
    expect(sums.closed + sums.dropped >= visitors.served, "each that was served has its record")
    expect(sums.rejected >= visitors.told, "each that was told so is counted")
    return sums


def test_reject_classic_pool():
    with overloaded('workers = 2; connections_per_worker = 1; queue_size = 3; queue_full = "reject";') as daemon:
        visitors = Visitors(daemon)
        sums = expect_sums(daemon, visitors, "reject, classic")
        expect(sums.refusals.get("queue-full", 0) > 0, "it was an overload")


def test_wait_classic_pool():
    with overloaded('workers = 2; connections_per_worker = 1; queue_size = 3; queue_full = "wait";') as daemon:
        visitors = Visitors(daemon)
        expect_equal(visitors.served, CLIENTS * VISITS, "served")
        expect_equal(expect_sums(daemon, visitors, "wait, classic").rejected, 0, "rejected")


def test_reject_shared_pool():
    with overloaded('workers = 2; connections_per_worker = 2; queue_size = 1; queue_full = "reject";') as daemon:
        visitors = Visitors(daemon)
        sums = expect_sums(daemon, visitors, "reject, shared")
        expect(sums.refusals.get("queue-full", 0) > 0, "it was an overload")


def test_wait_shared_pool():
    with overloaded('workers = 2; connections_per_worker = 2; queue_size = 1; queue_full = "wait";') as daemon:
        visitors = Visitors(daemon)
        expect_equal(visitors.served, CLIENTS * VISITS, "served")
        expect_equal(expect_sums(daemon, visitors, "wait, shared").rejected, 0, "rejected")


def test_queue_timeout_under_overload():
    with overloaded('workers = 1; connections_per_worker = 1; queue_size = 100; queue_timeout = "20ms";') as daemon:
        expect_sums(daemon, Visitors(daemon), "queue_timeout")


def test_limits_under_overload():
    with overloaded("workers = 2;", "max_connections = 6; max_per_source = 5;") as daemon:
        sums = expect_sums(daemon, Visitors(daemon), "limits")
        expect(sums.refusals.get("refused-source", 0) > 0, "it was an overload")


def test_a_stop_accounts_for_all_that_wait():
    waiting = max(60, size(60, 1000))
    with overloaded(f'workers = 1; connections_per_worker = 1; queue_size = {waiting // 2}; queue_full = "reject";',
                    f"max_connections = {waiting // 3};") as daemon, Crowd(daemon.addresses("door")[0]) as crowd:
        expect_equal(crowd.command("open", waiting)["open"], waiting, "connected")
        # The last of them has been decided on once the daemon has nothing left to accept.
        eventually(lambda: accept_queue(daemon.port("door")) == 0, lambda: "the backlog is not empty")
        expect_equal(daemon.stop(), 0, "exit status")
        sums = Sums(daemon.log, "door")
        print(f"  {sums}")
        expect_equal(sums.closed + sums.rejected, waiting, "closed + rejected")
        expect(sums.refusals.get("queue-drain", 0) > 0, "those in the queue are counted")


def test_a_removed_listener_accounts_for_what_it_refused():
    refused = size(40, 1000)
    stays = '{ name = "stays"; address = "tcp:127.0.0.1:0"; service = "echo"; }'
    goes = '{ name = "door"; address = "tcp:127.0.0.1:0"; service = "echo"; deny = "127.0.0.0/8"; }'
    with Daemon(listeners=f"{stays}, {goes}") as daemon:
        for _ in range(refused):
            daemon.connect("door").expect_refused()
        daemon.reload(listeners=stays)
        expect_equal(daemon.stop(), 0, "exit status")
        expect_equal(Sums(daemon.log, "door").rejected, refused, "rejected")


def accept_queue(port):
    """Connections that are complete and not yet accepted, of a listening socket of 127.0.0.1."""
    with open("/proc/net/tcp", encoding="ascii") as stream:
        match = re.search(rf" 0100007F:{port:04X} [0-9A-F]+:0000 0A [0-9A-F]+:([0-9A-F]+)", stream.read())
    return int(match.group(1), 16)


main(globals())
