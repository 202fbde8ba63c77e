#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Modules that do what none should: who looks into the log finds which it was, and what to do about it."""
import contextlib
import os
import signal

from cpharness import SANITIZERS, TOP_BUILDDIR, Daemon, Skip, expect_equal, main

RUDE = os.path.join(TOP_BUILDDIR, "tests", "modules", "rude.so")


def listener(options=""):
    return f'{{ name = "m"; address = "tcp:127.0.0.1:0"; ' \
           f'service = {{ type = "module"; path = "{RUDE}"; {options} }}; }}'


def expect_death(command, words):
    """What a module does to the daemon, and what the daemon says last."""
    if SANITIZERS:
        raise Skip("sanitizers have words of their own for this")
    with Daemon(listeners=listener()) as daemon, daemon.connect("m") as client:
        client.send(command + b"\n")
        daemon.wait_log(words)
        return -daemon.wait_exit()


def test_one_that_holds_its_worker_is_named():
    with Daemon(wait_ready=False, listeners=listener('pipe = "@DIR@/pipe";'),
                pools='main: { workers = 1; stall_warning = "50ms"; };') as daemon:
        daemon.wait_ready()
        os.mkfifo(daemon.dir + "/pipe")
        with daemon.connect("m") as client:
            client.send(b"hold\n")
            daemon.wait_log(r"worker 0 has been held for \d+ ms by connection 1 \(listener 'm', service 'rude'\)")
            with open(daemon.dir + "/pipe", "w", encoding="ascii") as pipe:
                pipe.write("x")
            expect_equal(client.recv_all(), b"held\n", "what it says afterwards")


def test_one_whose_stack_is_too_small_is_told_which():
    expect_equal(expect_death(b"overflow", r"stack overflow in a fiber of pool 'main': raise its stack_size"),
                 signal.SIGSEGV, "signal")


def test_one_that_breaks_the_rules_of_a_call_ends_with_its_place():
    expect_equal(expect_death(b"miscount", r"listener 'm', service 'rude', .*connection 1, in serve\(\): "
                              r"cp_count\(\): its index is none of the handler's counters"), signal.SIGABRT,
                 "signal")


SERVE = r"listener 'm', service 'rude', .*connection 1, in serve\(\): "


def test_calls_where_they_must_not_be_made_are_named():
    for command, words in ((b"blocking", r"connection 1, in cp_blocking\(\): cp_recv\(\): called off the"),
                           (b"blocking-state", r"connection 1, in cp_blocking\(\): cp_worker_state\(\): called off"),
                           (b"blocking-end", r"connection 1, in cp_blocking\(\): cp_at_end\(\): called off the"),
                           (b"at-end", r"connection 1, in cp_at_end\(\): cp_recv\(\): called off the"),
                           (b"thread", r"outside of any handler: cp_send\(\): called on a thread that serves no"),
                           (b"relayed", SERVE + r"cp_recv\(\): called after cp_relay\(\)")):
        expect_equal(expect_death(command, words), signal.SIGABRT, "signal")


def test_a_connection_that_has_ended_is_not_the_next_one():
    if SANITIZERS:
        raise Skip("sanitizers have words of their own for this")
    with Daemon(listeners=listener(), pools="main: { workers = 1; };") as daemon:
        with daemon.connect("m") as client:
            client.send(b"stale\n")
            client.expect_end()
        daemon.wait_closed(listener="m")
        others = [daemon.connect("m") for _ in range(4)]
        with daemon.connect("m") as client:
            client.send(b"stale\n")
            daemon.wait_log(r"service 'rude', .*connection \d+, in serve\(\): cp_send\(\): called with another")
            expect_equal(-daemon.wait_exit(), signal.SIGABRT, "signal")
        for other in others:
            with contextlib.suppress(OSError):
                expect_equal(other.recv_all(), b"", "what others get")
            other.close()


def test_a_call_in_configure_is_named():
    if SANITIZERS:
        raise Skip("sanitizers have words of their own for this")
    with Daemon(listeners=listener("misuse = true;"), wait_ready=False) as daemon:
        daemon.wait_log(r"listener 'm', service 'rude', .*in configure\(\).*: cp_recv\(\): called where there is no")
        expect_equal(-daemon.wait_exit(), signal.SIGABRT, "signal")


def test_what_serve_returns_is_refused_by_name():
    with Daemon(listeners=listener()) as daemon:
        for number, (command, words) in enumerate(((b"seven", r"serve\(\) returned 7, expected CP_DONE"),
                                                   (b"no-relay", r"serve\(\) returned CP_RELAY without"))):
            with daemon.connect("m") as client:
                client.send(command + b"\n")
                daemon.wait_log(f"listener 'm': connection {number + 1}: " + words)
                client.expect_end()
            daemon.wait_closed(listener="m", end="error", count=number + 1)


def test_bad_arguments_are_errors():
    with Daemon(listeners=listener()) as daemon, daemon.connect("m") as client:
        client.send(b"errors\n")
        expect_equal(client.recv_all(), b"refused\n", "what the calls said")


main(globals())
