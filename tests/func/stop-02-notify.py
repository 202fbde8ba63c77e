#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the service manager is told: READY, RELOADING with its time, STATUS, WATCHDOG, STOPPING."""
import signal
import time

from cpharness import Daemon, Skip, expect, expect_equal, expect_match, has_systemd, main

LISTENER = '{ name = "echo"; address = "unix:@DIR@/e.sock"; service = "echo"; }'


def started(**more):
    if not has_systemd():
        raise Skip("built without systemd")
    return Daemon(listeners=LISTENER, **more)


def messages(daemon, name):
    daemon.notify.drain()
    return [message[name] for message in daemon.notify.messages if name in message]


def test_ready_is_sent_once_and_the_sockets_are_open_then():
    with started() as daemon:
        with daemon.connect("echo") as client:
            client.expect_echo()
        expect_equal(messages(daemon, "READY"), ["1"], "READY")


def test_status_counts_listeners_connections_and_queue():
    with started() as daemon:
        status = daemon.status()
        expect(status, "a STATUS= with READY=1")
        for word in (r"1 listener", r"\b0 connections", r"\b0 queued"):
            expect_match(word, status, "status")
        with daemon.connect("echo") as client:
            client.expect_echo()
            index = daemon.notify.wait(lambda message: "1 connection" in message.get("STATUS", ""), 0, daemon.pidfd)
            print("  " + daemon.notify.messages[index]["STATUS"])


def test_reloading_comes_with_the_time_before_ready():
    with started() as daemon:
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        daemon.reload()
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        daemon.notify.drain()
        kinds = ["RELOADING" if "RELOADING" in message else "READY" for message in daemon.notify.messages
                 if "RELOADING" in message or "READY" in message]
        expect_equal(kinds, ["READY", "RELOADING", "READY"], "order")
        usec = int(messages(daemon, "MONOTONIC_USEC")[0])
        expect(before <= usec <= after, f"MONOTONIC_USEC {usec} is between {before} and {after}")


def test_a_reload_that_fails_is_ready_too():
    with started() as daemon:
        daemon.reload("nonsense")
        expect_equal(messages(daemon, "READY"), ["1", "1"], "READY")


def test_stopping_is_sent_and_status_counts_who_is_left():
    with started(daemon='drain_timeout = "1h";') as daemon:
        client = daemon.connect("echo")
        client.expect_echo()
        daemon.kill(signal.SIGTERM)
        index = daemon.notify.wait(lambda message: message.get("STOPPING") == "1", 0, daemon.pidfd)
        daemon.notify.wait(lambda message: "1 connection" in message.get("STATUS", ""), index, daemon.pidfd)
        client.close()
        expect_equal(daemon.wait_exit(), 0, "exit status")


def test_stopping_is_sent_when_it_ends_at_once():
    with started() as daemon:
        expect_equal(daemon.stop(), 0, "exit status")
        expect_equal(messages(daemon, "STOPPING"), ["1"], "STOPPING")


def test_a_start_that_fails_is_never_ready():
    if not has_systemd():
        raise Skip("built without systemd")
    with Daemon("nonsense", wait_ready=False) as daemon:
        expect_equal(daemon.wait_exit(), 78, "exit status")
        expect_equal(messages(daemon, "READY"), [], "READY")


def test_the_watchdog_is_fed_while_all_turns():
    with started(env={"WATCHDOG_USEC": "400000"}) as daemon:
        # Half the time or less between two of them: systemd's own advice. Here the order of messages counts, no clock.
        index = 0
        for _ in range(5):
            index = daemon.notify.wait(lambda message: message.get("WATCHDOG") == "1", index, daemon.pidfd) + 1


def test_the_watchdog_is_not_fed_when_nobody_asked():
    with started() as daemon:
        daemon.reload()
        expect_equal(messages(daemon, "WATCHDOG"), [], "WATCHDOG")


main(globals())
