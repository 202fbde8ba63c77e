#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Modules that do what none should: who looks into the log finds which it was, and what to do about it."""
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
    expect_equal(expect_death(b"miscount", r"in cp_count\(\): not true: index < "), signal.SIGABRT,
                 "signal")


main(globals())
