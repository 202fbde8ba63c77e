#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Deadlines of a relayed connection: connect, idle, half-closed, lifetime, send."""
import time

from cpharness import SLOWNESS, expect, expect_equal, main
from proxylib import Backend, Deaf, ask, ask_on, echo, hold, proxied, recv_line, who

BLOCK = bytes(1 << 20)
# A time-out that ends a test, and one that must not: however slow the machine is, none of its pauses is as long.
SHORT = "200ms"
LONG = "1h"


def expect_ended(daemon, client, end, least_ms=0):
    """The client, which has seen its end, ends too: so nothing lingers."""
    name = client.name()
    client.close()
    expect_record(daemon, name, end, least_ms)


def expect_record(daemon, name, end, least_ms=0):
    record = daemon.wait_closed(client=name)
    expect_equal(record["end"], end, "end")
    expect(float(record["served"]) >= least_ms, f"served {record['served']} ms, at least {least_ms}")


def test_connecting_takes_no_longer_than_it_may():
    with Deaf() as deaf, proxied([deaf.server()], f'connect_timeout = "{SHORT}"; retries = 0;',
                                 'busy_message = "later\\n";') as daemon, daemon.connect("front") as client:
        expect_equal(client.recv_all(), b"later\n", "what the client is told")
        expect_ended(daemon, client, "upstream-down", 199)
        daemon.wait_log(rf"{deaf.address}\b.*(?i:timed out)")


def test_a_connect_that_takes_too_long_is_retried_elsewhere():
    with Deaf() as deaf, Backend(who, "b") as backend, \
            proxied([deaf.server(), backend.server()], f'balance = "first"; connect_timeout = "{SHORT}";') as daemon:
        expect_equal(ask(daemon), "b", "who answers")


def test_a_client_may_go_while_it_is_being_connected():
    with Deaf() as deaf, proxied([deaf.server()], f'connect_timeout = "{SHORT}";') as daemon:
        for end in ("reset", "close", "shutdown_write"):
            client = daemon.connect("front")
            name = client.name()
            # Whether the connect is under way by now or not: there is nothing that the client could tell.
            getattr(client, end)()
            record = daemon.wait_closed(client=name)
            expect(record["end"] in ("client-reset", "client", "upstream-down"), f"end: {record['end']}")


def test_a_client_that_resets_is_not_connected_for():
    with Deaf() as deaf, proxied([deaf.server()], 'connect_timeout = "1h";') as daemon:
        client = daemon.connect("front")
        name = client.name()
        client.reset()
        expect_equal(daemon.wait_closed(client=name)["end"], "client-reset", "end")


def test_idle_in_both_directions():
    with Backend(who, "s") as backend, proxied([backend.server()], "", f'idle_timeout = "{SHORT}";') as daemon:
        with daemon.connect("front") as client:
            client.expect_end()
            expect_ended(daemon, client, "idle", 199)
        with daemon.connect("front") as client:
            ask_on(client)
            client.expect_end()
            expect_ended(daemon, client, "idle", 199)
        backend.wait_active(0)


def test_one_direction_that_moves_is_not_idle():
    seconds = 0.5 * SLOWNESS

    def trickle(_backend, peer):
        # Four times the time-out in all; each pause is far below it.
        until = time.monotonic() + 4 * seconds
        while time.monotonic() < until:
            peer.send(b".")
            time.sleep(0.02)

    with Backend(trickle, "s") as backend, \
            proxied([backend.server()], "", f'idle_timeout = "{int(seconds * 1000)}ms";') as daemon, \
            daemon.connect("front") as client:
        client.recv_all()
        name = client.name()
        client.close()
        expect_equal(daemon.wait_closed(client=name)["end"], "server", "end")


def test_half_closed_by_the_client():
    with Backend(hold, "s") as backend:
        # hold() ends when the other does; this one does not.
        backend.serve = lambda _backend, peer: (peer.recv_all(), peer.send(b"got it\n"), backend.wait_notes(1))
        with proxied([backend.server()], "", service=f'half_closed_timeout = "{SHORT}";') as daemon, \
                daemon.connect("front") as client:
            client.send(b"x")
            client.shutdown_write()
            expect_equal(recv_line(client), b"got it\n", "what comes back after the half-close")
            client.expect_refused()
            expect_ended(daemon, client, "half-closed", 199)
            backend.note("over")


def test_half_closed_by_the_server():
    with Backend(None, "s") as backend:
        backend.serve = lambda _backend, peer: (peer.shutdown_write(), peer.recv_all())
        with proxied([backend.server()], "", service=f'half_closed_timeout = "{SHORT}";') as daemon, \
                daemon.connect("front") as client:
            client.expect_end()
            # The client has not ended, and does not.
            expect_record(daemon, client.name(), "half-closed", 199)
            backend.wait_active(0)


def test_half_closed_without_a_limit_waits():
    with Backend(None, "s") as backend:
        backend.serve = lambda _backend, peer: (peer.recv_all(), backend.wait_notes(1), peer.send(b"late\n"))
        with proxied([backend.server()], "", service=f'half_closed_timeout = "{LONG}";') as daemon, \
                daemon.connect("front") as client:
            client.shutdown_write()
            # Others are served meanwhile, and see their end.
            time.sleep(0.3)
            expect(not daemon.log.find(r"closed: "), "it lives")
            backend.note("go on")
            expect_equal(client.recv_all(), b"late\n", "the late reply")


def test_lifetime_ends_a_busy_one():
    with Backend(echo, "s") as backend, proxied([backend.server()], "", 'lifetime = "300ms";') as daemon:
        client = daemon.connect("front")
        name = client.name()
        try:
            while True:
                client.expect_echo()
        except (AssertionError, ConnectionError):
            pass
        record = daemon.wait_closed(client=name)
        expect_equal(record["end"], "lifetime", "end")
        expect(float(record["served"]) + float(record["queued"]) >= 299, f"lived {record['served']} ms")
        client.close()
        backend.wait_active(0)


def test_lifetime_ends_a_silent_one():
    with Backend(hold, "s") as backend, \
            proxied([backend.server()], "", f'lifetime = "300ms"; idle_timeout = "{LONG}";') as daemon, \
            daemon.connect("front") as client:
        client.expect_end()
        expect_ended(daemon, client, "lifetime")
        backend.wait_active(0)


def test_a_client_that_takes_nothing_for_too_long():
    def pour(_backend, peer):
        while True:
            peer.send(BLOCK)

    with Backend(pour, "s") as backend, \
            proxied([backend.server()], "", f'send_timeout = "{SHORT}"; send_buffer = "64KiB";') as daemon, \
            daemon.connect("front") as client:
        expect_record(daemon, client.name(), "send-timeout", 199)
        backend.wait_active(0)


def test_a_server_that_takes_nothing_for_too_long():
    with Backend(None, "s") as backend:
        backend.serve = lambda _backend, _peer: backend.wait_notes(1)
        with proxied([backend.server()], "", f'send_timeout = "{SHORT}"; receive_buffer = "64KiB";') as daemon, \
                daemon.connect("front") as client:
            try:
                while True:
                    client.send(BLOCK)
            except ConnectionError:
                pass
            expect_ended(daemon, client, "send-timeout", 199)
            backend.note("over")


def test_waiting_for_the_client_to_send_is_no_send_timeout():
    with Backend(who, "s") as backend, proxied([backend.server()], "", f'send_timeout = "{SHORT}";') as daemon, \
            daemon.connect("front") as client:
        for _ in range(3):
            expect_equal(ask_on(client), "s", "who answers")
            time.sleep(0.3)


main(globals())
