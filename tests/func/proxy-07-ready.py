#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""ready_connections: servers are connected to ahead of need, and no client ever gets a connection that is dead."""
from cpharness import expect, expect_equal, main
from proxylib import Backend, Place, ask, ask_on, greet, head, parts, proxied, recv_line, who


def test_the_server_sees_them_before_any_client_comes():
    with Backend(who, "s") as backend, proxied([backend.server("ready_connections = 4;")]) as daemon:
        backend.wait_accepted(4)
        with daemon.connect("front") as client:
            expect_equal(ask_on(client), "s", "who answers")
            # One was taken, and one has taken its place.
            backend.wait_accepted(5)
            backend.wait_active(5)
        backend.wait_active(4)
        for _ in range(20):
            expect_equal(ask(daemon), "s", "who answers")
        backend.wait_active(4)


def test_they_end_with_the_daemon():
    with Backend(who, "s") as backend:
        with proxied([backend.server("ready_connections = 3;")]) as daemon:
            backend.wait_active(3)
            expect_equal(daemon.stop(), 0, "exit status")
            backend.wait_active(0)


def test_a_greeting_that_came_early_is_the_clients():
    with Backend(greet, "s") as backend, proxied([backend.server("ready_connections = 2;")]) as daemon:
        backend.wait_accepted(2)
        for _ in range(6):
            with daemon.connect("front") as client:
                expect_equal(recv_line(client), b"220 s ready\r\n", "greeting")
                client.expect_echo()


def test_those_that_the_server_has_ended_are_not_used():
    with Backend(who, "s") as backend, proxied([backend.server("ready_connections = 5;")],
                                                    "max_failures = 0;") as daemon:
        for broken in (False, True):
            backend.wait_active(5)
            backend.stop(broken)
            backend.start()
            for _ in range(8):
                expect_equal(ask(daemon), "s", "who answers")
        expect_equal(daemon.log.find(r"closed: (?!client)"), [], "connections that ended otherwise")


def test_they_come_again_when_the_server_does():
    with Backend(who, "s") as backend, \
            proxied([backend.server("ready_connections = 3;")], 'retry_after = "100ms"; max_failures = 1;'
                    ' wait_for_upstream = "1h";') as daemon:
        backend.wait_active(3)
        backend.stop()
        with daemon.connect("front") as client:
            backend.start()
            expect_equal(ask_on(client), "s", "who answers")
        backend.wait_active(3)


def test_a_server_that_is_not_there_at_first():
    with Backend(who, "s", start=False) as backend, \
            proxied([backend.server("ready_connections = 2;")],
                    'retry_after = "100ms"; wait_for_upstream = "1h";') as daemon:
        with daemon.connect("front") as client:
            backend.start()
            expect_equal(ask_on(client), "s", "who answers")
        backend.wait_active(2)


def test_they_count_against_the_limit():
    with Backend(who, "s", exact=True) as backend, \
            proxied([backend.server("ready_connections = 3; max_connections = 3;")], 'queue_timeout = "1h";',
                    # With several, those who came first need not be the first to be served.
                    pools="main: { workers = 1; };") as daemon:
        backend.wait_active(3)
        for _ in range(5):
            clients = [daemon.connect("front") for _ in range(6)]
            for client in clients:
                expect_equal(ask_on(client), "s", "who answers")
                client.close()
        backend.wait_active(3)
        expect(backend.most <= 3, f"{backend.most} connections at once")


def test_a_reload_makes_them_more_and_fewer():
    with Backend(who, "s") as backend, proxied([backend.server("ready_connections = 1;")]) as daemon:
        backend.wait_active(1)
        daemon.reload(**parts([backend.server("ready_connections = 4;")]))
        backend.wait_active(4)
        daemon.reload(**parts([backend.server("ready_connections = 2;")]))
        backend.wait_active(2)
        daemon.reload(**parts([backend.server()]))
        backend.wait_active(0)
        expect_equal(ask(daemon), "s", "who answers")


def test_a_removed_server_loses_them():
    with Backend(who, "a") as a, Backend(who, "b") as b, \
            proxied([a.server("ready_connections = 3;"), b.server()], 'balance = "first";') as daemon:
        a.wait_active(3)
        with daemon.connect("front") as client:
            expect_equal(ask_on(client), "a", "who answers")
            daemon.reload(**parts([b.server()], 'balance = "first";'))
            a.wait_active(1)
            expect_equal(ask_on(client), "a", "who answers the old client")
        a.wait_active(0)


def test_one_in_maintenance_has_none():
    with Backend(who, "a") as a, Backend(who, "b") as b, \
            proxied([a.server("ready_connections = 2;"),
                     b.server("ready_connections = 2; maintenance = true;")]) as daemon:
        a.wait_active(2)
        expect_equal(ask(daemon), "a", "who answers")
        a.wait_active(2)
        expect_equal(b.accepted, 0, "connections to the one in maintenance")


def test_the_header_is_sent_when_a_client_is_there():
    with Backend(head, "s") as backend, \
            proxied([backend.server('ready_connections = 2; send_proxy = "v2";')]) as daemon:
        backend.wait_accepted(2)
        expect_equal(backend.notes, [], "headers before any client came")
        with daemon.connect("front", source="127.0.0.77") as client:
            expect_equal(ask_on(client), "s", "who answers")
            expect_equal(backend.notes[0][1][:2], client.sock.getsockname(), "the client in the header")


def test_a_dead_server_does_not_keep_it_busy():
    dead = Place()
    with Backend(who, "s") as backend, \
            proxied([dead.server("ready_connections = 50;"), backend.server()], 'retry_after = "1h";') as daemon:
        for _ in range(10):
            expect_equal(ask(daemon), "s", "who answers")
        expect(len(daemon.log.lines) < 100, f"{len(daemon.log.lines)} lines in the log")
    dead.close()


main(globals())
