#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Deadlines of a connection: idle, lifetime, send."""
import threading
import time

from cpharness import Daemon, expect, expect_equal, main


def daemon_with(service, more):
    return Daemon(listeners=f'{{ name = "s"; address = "tcp:127.0.0.1:0"; service = "{service}"; {more} }}')


def expect_ended(daemon, client, end, least_ms):
    record = daemon.wait_closed(client=client.name())
    expect_equal(record["end"], end, "end")
    expect(float(record["served"]) >= least_ms, f"served {record['served']} ms, at least {least_ms}")


def test_idle_before_the_first_byte():
    with daemon_with("echo", 'idle_timeout = "200ms";') as daemon, daemon.connect("s") as client:
        client.expect_end()
        expect_ended(daemon, client, "idle", 199)


def test_idle_after_some_talk():
    with daemon_with("echo", 'idle_timeout = "200ms";') as daemon, daemon.connect("s") as client:
        client.expect_echo()
        client.expect_end()
        expect_ended(daemon, client, "idle", 199)


def test_whoever_talks_is_not_idle():
    with daemon_with("echo", 'idle_timeout = "2s";') as daemon, daemon.connect("s") as client:
        # Twice the time-out in all; each pause is far below it.
        until = time.monotonic() + 4
        while time.monotonic() < until:
            client.expect_echo()
            time.sleep(0.1)
        name = client.name()
        client.close()
        expect_equal(daemon.wait_closed(client=name)["end"], "client", "end")


def test_idle_of_a_discard_that_gets_nothing():
    with daemon_with("discard", 'idle_timeout = "200ms";') as daemon, daemon.connect("s") as client:
        client.send(b"x")
        client.expect_end()
        expect_ended(daemon, client, "idle", 199)


def test_lifetime_ends_also_a_busy_one():
    with daemon_with("echo", 'lifetime = "300ms";') as daemon:
        client = daemon.connect("s")
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


def test_lifetime_ends_a_silent_one():
    with daemon_with("discard", 'lifetime = "300ms"; idle_timeout = "1h";') as daemon, daemon.connect("s") as client:
        client.expect_end()
        expect_equal(daemon.wait_closed(client=client.name())["end"], "lifetime", "end")


def test_lifetime_ends_one_that_sends_for_ever():
    with daemon_with("chargen", 'lifetime = "300ms";') as daemon, daemon.connect("s") as client:
        try:
            while client.recv_some():
                pass
        except ConnectionResetError:
            pass
        expect_equal(daemon.wait_closed(client=client.name())["end"], "lifetime", "end")


def test_send_timeout_ends_a_client_that_reads_nothing():
    with daemon_with("chargen", 'send_timeout = "300ms";') as daemon, daemon.connect("s") as client:
        expect_ended(daemon, client, "send-timeout", 299)


def test_send_timeout_leaves_a_slow_reader_alone():
    with daemon_with("chargen", 'send_timeout = "1s";') as daemon, daemon.connect("s") as client:
        # Twice the time-out in all: it takes something each time, so it is never stuck for so long.
        until = time.monotonic() + 2.5
        while time.monotonic() < until:
            client.recv_exactly(1 << 20)
            time.sleep(0.05)
        name = client.name()
        client.close()
        expect(daemon.wait_closed(client=name)["end"] in ("client", "client-reset"), "ended by the client")


def test_one_deadline_does_not_touch_the_neighbours():
    with daemon_with("echo", 'idle_timeout = "1s";') as daemon, daemon.connect("s") as busy:
        stop = threading.Event()
        trouble = []

        def talk():
            try:
                while not stop.is_set():
                    busy.expect_echo()
                    stop.wait(0.02)
            except (AssertionError, OSError) as error:
                trouble.append(error)
        talker = threading.Thread(target=talk)
        talker.start()
        idle = [daemon.connect("s") for _ in range(50)]
        for client in idle:
            client.expect_end()
            client.close()
        daemon.wait_closed(end="idle", count=50)
        stop.set()
        talker.join()
        expect_equal(trouble, [], "trouble of the busy one")


main(globals())
