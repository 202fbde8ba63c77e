#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A stop ends programs that had already been told to end; a check that cannot start answers everybody who asks."""
import contextlib
import os
import resource
import signal

from checklib import check
from cpharness import eventually, expect, expect_equal, expect_match, main, scaled
from execlib import children_of, daemon_with, shell

# A short sleep: a SIGTERM between fork(2) and execve(2) is lost on the child, and the shell waits for that.
DEAF = "trap 'echo told' TERM; echo up; while :; do sleep 0.2; done"
ASKERS = 60
FIRST_FREE = 3


def stop_of_one_that_was_told(daemon, end):
    """It was told to end and did not: the drain has its own patience, whatever kill_timeout says."""
    below = children_of(daemon.process.pid)
    expect_equal(daemon.stop(), 0, "exit status")
    record = daemon.wait_closed()
    expect_equal(record["end"], end, "end")
    expect_match("signal KILL", record["program"], "record")
    for number, what in below.items():
        expect(not os.path.exists(f"/proc/{number}"), f"process {number} is still there: {what}")


def test_a_stop_kills_one_that_was_told_by_its_lifetime():
    with daemon_with(shell("s", DEAF, 'kill_timeout = "1h";', 'lifetime = "300ms";'),
                     daemon='drain_timeout = "200ms";') as daemon:
        with daemon.connect("s") as client:
            client.recv_exactly(len("up\ntold\n"))
            stop_of_one_that_was_told(daemon, "lifetime")


def test_a_second_signal_kills_it_too():
    with daemon_with(shell("s", DEAF, 'kill_timeout = "1h";', 'lifetime = "300ms";'),
                     daemon='drain_timeout = "1h";') as daemon:
        with daemon.connect("s") as client:
            client.recv_exactly(len("up\ntold\n"))
            daemon.kill(signal.SIGTERM)
            daemon.wait_log("stopping on SIGTERM")
            stop_of_one_that_was_told(daemon, "lifetime")


# ---- checks ------------------------------------------------------------------------------


@contextlib.contextmanager
def no_descriptors(daemon):
    """Those it has stay open; it gets no other one."""
    pid = daemon.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (FIRST_FREE, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_a_check_that_cannot_start_answers_everybody():
    with daemon_with(check(command=["/bin/true"], more='format = "http"; max_age = 0;'),
                     pools="main: { workers = 4; };") as daemon:
        with daemon.connect("c") as client:
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            client.recv_all()
        daemon.wait_closed()
        idle = daemon.fd_count()
        for _ in range(scaled(100, 5)):
            clients = [daemon.connect("c") for _ in range(ASKERS)]
            for client in clients:
                client.send(b"GET / HTTP/1.1\r\n")
            # Each is accepted, and nothing of the last round is left.
            eventually(lambda: daemon.fd_count() >= idle + ASKERS, daemon.fd_count)
            with no_descriptors(daemon):
                for client in clients:
                    client.send(b"\r\n")
                answers = [client.recv_all() for client in clients]
            for client, answer in zip(clients, answers):
                client.close()
                expect_match(rb"\AHTTP/1\.1 503 [^\n]*\r\n", answer, "answer")
                expect_match(rb"Too many open files", answer, "answer")


def test_a_check_whose_command_is_not_there_answers_everybody():
    with daemon_with(check(command=["/nowhere/at-all"], more="max_age = 0;"),
                     pools="main: { workers = 4; };") as daemon:
        for _ in range(scaled(20, 2)):
            clients = [daemon.connect("c") for _ in range(ASKERS)]
            answers = [client.recv_all() for client in clients]
            for client, answer in zip(clients, answers):
                client.close()
                expect_match(rb"No such file", answer, "answer")


main(globals())
