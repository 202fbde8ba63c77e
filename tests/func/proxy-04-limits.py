#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Servers that must not be run over: never one connection more; the others wait in order, or are told to go."""
import errno
import os
import threading

from cpharness import LIMIT, SLOWNESS, eventually, expect, expect_equal, main
from proxylib import Backend, accept_queue, ask, ask_on, digest, parts, proxied, recv_line, who, who_once
from soaklib import FULL, Sums, holdable, size

CROWD = holdable(max(60, size(400, 2000)))
MOST = 20
ONE = {"pools": "main: { workers = 1; };"}
BUSY = b"busy\r\n"
TELL = 'busy_message = "busy\\r\\n"; backlog = 4096;'


def expect_full(daemon):
    """A client that is turned away, and told so."""
    with daemon.connect("front") as client:
        expect_equal(client.recv_all(), BUSY, "what the client is told")
        name = client.name()
    record = daemon.wait_closed(client=name)
    expect_equal(record["end"], "upstream-full", "end")
    return record


def crowd(daemon, count, when_all_are_here=None):
    """All of them at once; each says its number. Their answers, in that order."""
    clients = []
    for number in range(count):
        clients.append(daemon.connect("front"))
        clients[-1].send(b"%d\n" % number)
    if when_all_are_here:
        when_all_are_here()
    for number, client in enumerate(clients):
        expect_equal(recv_line(client), b"s %d\n" % number, f"answer to client {number}")
        client.close()


def test_never_one_connection_more_and_served_in_order():
    numbers, all_are_here = {}, threading.Event()

    def serve(backend, peer):
        line = recv_line(peer)
        numbers[peer.number] = int(line)
        # The first of them stay until a crowd waits for their places.
        all_are_here.wait(LIMIT)
        if backend.most < MOST:
            backend.wait(lambda: backend.most >= MOST, "it has as many as it may")
        # It counts them down before it ends them: its count is never too high.
        peer.send(b"s " + line)

    with Backend(serve, "s") as backend, \
            proxied([backend.server(f"max_connections = {MOST};")], f"queue_size = {CROWD}; queue_timeout = 0;",
                    "backlog = 4096;", **ONE) as daemon:
        def when_all_are_here():
            backend.wait_accepted(MOST)
            for port in (daemon.port("front"), backend.port):
                eventually(lambda port=port: accept_queue(port) == 0, lambda: "somebody is still to be accepted")
            all_are_here.set()

        crowd(daemon, CROWD, when_all_are_here)
        daemon.wait_accounted(CROWD)
        expect_equal(backend.most, MOST, "the most connections at once")
        expect_equal(backend.accepted, CROWD, "connections")
        order = [numbers[position] for position in sorted(numbers)]
        late = max(abs(number - position) for position, number in enumerate(order))
        expect(late <= MOST, f"one was served {late} places off its own: {order}")


def test_never_one_connection_more_with_many_workers_and_clients_that_end_first():
    with Backend(who, "s", exact=True) as backend, \
            proxied([backend.server(f"max_connections = {MOST};")], f"queue_size = {CROWD}; queue_timeout = 0;",
                    "backlog = 4096;", pools="main: { workers = 4; };") as daemon:
        threads = []
        troubles = []

        def visit(number):
            try:
                for turn in range(CROWD // 50):
                    with daemon.connect("front") as client:
                        ask_on(client, b"%d.%d" % (number, turn))
                        if turn % 3 == 0:
                            client.reset()
            except BaseException as error:
                troubles.append(repr(error))

        for number in range(50):
            threads.append(threading.Thread(target=visit, args=(number,)))
            threads[-1].start()
        for thread in threads:
            thread.join(LIMIT)
        expect_equal(troubles, [], "trouble of clients")
        expect(backend.most <= MOST, f"{backend.most} connections at once")
        expect_equal(backend.accepted, CROWD // 50 * 50, "connections")


def test_one_at_a_time_is_strictly_in_order():
    words = []

    def serve(backend, peer):
        line = recv_line(peer)
        words.append(int(line))
        peer.send(b"s " + line)

    count = CROWD // 4
    with Backend(serve, "s") as backend, \
            proxied([backend.server("max_connections = 1;")], f"queue_size = {count}; queue_timeout = 0;",
                    "backlog = 4096;", **ONE) as daemon:
        crowd(daemon, count)
        expect_equal(words, list(range(count)), "the order")
        expect_equal(backend.most, 1, "the most connections at once")


def test_each_server_has_a_limit_of_its_own():
    with Backend(who, "a") as a, Backend(who, "b") as b, \
            proxied([a.server("max_connections = 2;"), b.server("max_connections = 3;")], "queue_size = 0;", TELL,
                    **ONE) as daemon:
        clients = [daemon.connect("front") for _ in range(5)]
        expect_equal(sorted(map(ask_on, clients)), ["a", "a", "b", "b", "b"], "answers")
        expect_full(daemon)
        expect_equal((a.most, b.most), (2, 3), "the most connections at once")
        for client in clients:
            client.close()


def test_a_full_queue_turns_away_at_once():
    with Backend(who, "s") as backend, \
            proxied([backend.server("max_connections = 1;")], 'queue_size = 2; queue_timeout = "1h";', TELL,
                    **ONE) as daemon:
        first = daemon.connect("front")
        ask_on(first)
        waiting = [daemon.connect("front") for _ in range(2)]
        for _ in range(3):
            expect_full(daemon)
        first.close()
        for client in waiting:
            expect_equal(ask_on(client), "s", "who answers")
            client.close()
        expect_equal(ask(daemon), "s", "who answers when all is over")
        expect_equal(backend.accepted, 4, "connections that the server saw")


def test_waiting_has_an_end():
    with Backend(who, "s") as backend, \
            proxied([backend.server("max_connections = 1;")], 'queue_size = 5; queue_timeout = "200ms";', TELL,
                    **ONE) as daemon, daemon.connect("front") as first:
        ask_on(first)
        record = expect_full(daemon)
        expect(float(record["served"]) >= 199, f"waited {record['served']} ms")
        expect_equal(ask_on(first, b"unharmed?"), "s", "who answers")
        expect_equal(backend.accepted, 1, "connections that the server saw")


def test_who_leaves_the_queue_gives_up_its_place():
    with Backend(who, "s") as backend, \
            proxied([backend.server("max_connections = 1;")], 'queue_size = 1; queue_timeout = "1h";', TELL,
                    **ONE) as daemon:
        first = daemon.connect("front")
        ask_on(first)
        for _ in range(3):
            waiting = daemon.connect("front")
            # The second place is taken: a third client is turned away.
            expect_full(daemon)
            name = waiting.name()
            waiting.reset()
            record = daemon.wait_closed(client=name)
            expect(record["end"] in ("client", "client-reset"), f"end: {record['end']}")
        last = daemon.connect("front")
        expect_full(daemon)
        first.close()
        expect_equal(ask_on(last), "s", "who answers")
        last.close()
        backend.wait_active(0)
        expect_equal(backend.accepted, 2, "connections that the server saw")


def test_what_a_client_sends_and_ends_while_it_waits_is_not_lost():
    with Backend(None, "s") as backend:
        backend.serve = lambda backend, peer: who(backend, peer) if peer.number == 1 else digest(backend, peer)
        with proxied([backend.server("max_connections = 1;")], 'queue_timeout = "1h";', TELL, **ONE) as daemon:
            first = daemon.connect("front")
            ask_on(first)
            with daemon.connect("front") as client:
                client.send(b"abc")
                client.shutdown_write()
                first.close()
                expect_equal(client.recv_all()[:8], b"ba7816bf", "the checksum of abc")


def test_a_reload_that_raises_the_limit_serves_those_who_wait():
    with Backend(who, "s") as backend, \
            proxied([backend.server("max_connections = 1;")], 'queue_timeout = "1h";', **ONE) as daemon:
        clients = [daemon.connect("front") for _ in range(4)]
        expect_equal(ask_on(clients[0]), "s", "who answers")
        daemon.reload(**parts([backend.server("max_connections = 3;")], 'queue_timeout = "1h";', **ONE))
        for client in clients[1:3]:
            expect_equal(ask_on(client), "s", "who answers")
        expect_equal(backend.most, 3, "the most connections at once")
        daemon.reload(**parts([backend.server()], 'queue_timeout = "1h";', **ONE))
        expect_equal(ask_on(clients[3]), "s", "who answers")
        for client in clients:
            client.close()


def test_a_reload_that_adds_a_server_serves_those_who_wait():
    with Backend(who, "a") as a, Backend(who, "b") as b, \
            proxied([a.server("max_connections = 1;")], 'queue_timeout = "1h";', **ONE) as daemon:
        first, second = daemon.connect("front"), daemon.connect("front")
        expect_equal(ask_on(first), "a", "who answers")
        daemon.reload(**parts([a.server("max_connections = 1;"), b.server()], 'queue_timeout = "1h";', **ONE))
        expect_equal(ask_on(second), "b", "who answers")
        first.close()
        second.close()


def test_all_of_an_overload_is_accounted():
    visits, threads, seen, troubles = max(4, size(15, 200)), [], {"served": 0, "told": 0, "reset": 0}, []
    lock = threading.Lock()

    def visit(daemon):
        try:
            for _ in range(visits):
                word = os.urandom(8).hex().encode()
                with daemon.connect("front") as client:
                    try:
                        client.send(word + b"\n")
                        answer = client.recv_all()
                    except OSError as error:
                        # It sent after it had been told so. Never a time-out.
                        expect(error.errno in (errno.ECONNRESET, errno.EPIPE), repr(error))
                        answer = None
                    expect(answer in (b"s " + word + b"\n", BUSY, None), f"answer {answer!r} to {word!r}")
                    with lock:
                        seen["reset" if answer is None else "told" if answer == BUSY else "served"] += 1
        except BaseException as error:
            troubles.append(repr(error))

    def slow_who_once(backend, peer):
        threading.Event().wait(0.005)
        who_once(backend, peer)

    with Backend(slow_who_once, "s") as backend, \
            proxied([backend.server("max_connections = 2;")], 'queue_size = 5; queue_timeout = "20ms";',
                    TELL) as daemon:
        for _ in range(64 if FULL else 24 // min(SLOWNESS, 2)):
            threads.append(threading.Thread(target=visit, args=(daemon,)))
            threads[-1].start()
        for thread in threads:
            thread.join(LIMIT)
        expect_equal(troubles, [], "trouble of clients")
        expect_equal(daemon.stop(), 0, "exit status")
        sums = Sums(daemon.log, "front")
        print(f"  clients saw {seen}; {sums}; the server saw {backend.accepted}")
        expect_equal(sums.closed + sums.dropped, sum(seen.values()), "closed (+ not logged)")
        expect(backend.most <= 2, f"{backend.most} connections at once")
        expect(sums.ends.get("upstream-full", 0) + sums.dropped >= seen["told"] > 0, "it was an overload")
        expect(backend.accepted + sums.ends.get("upstream-full", 0) + sums.dropped >= sum(seen.values()),
               "each was served or turned away")


main(globals())
