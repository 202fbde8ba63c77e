#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Out of descriptors: the daemon pauses, says so once, burns no time, and goes on where it stopped."""
import resource
import time

from cpharness import CAP_SYS_RESOURCE, SLOWNESS, Daemon, eventually, expect, expect_equal, main

LIMIT_FDS = 48
CLIENTS = 80


def starved(queue_full="wait"):
    return Daemon(listeners='{ name = "echo"; address = "tcp:127.0.0.1:0"; service = "echo";'
                            ' busy_message = "busy\\n"; }',
                  pools=f'main: {{ workers = 1; queue_full = "{queue_full}"; }};',
                  limits={resource.RLIMIT_NOFILE: (LIMIT_FDS, LIMIT_FDS)}, without_caps=[CAP_SYS_RESOURCE])


def test_clients_beyond_the_limit_wait_and_are_served_in_turn():
    with starved() as daemon:
        clients = [daemon.connect("echo") for _ in range(CLIENTS)]
        daemon.wait_log(r"cannot accept: Too many open files")
        for number, client in enumerate(clients):
            client.expect_echo(b"client %d\n" % number)
            client.close()
        daemon.wait_log(r"accepting again")
        daemon.wait_accounted(CLIENTS)


def test_one_line_an_episode_and_no_busy_loop():
    with starved() as daemon:
        clients = [daemon.connect("echo") for _ in range(CLIENTS)]
        daemon.wait_log(r"cannot accept: Too many open files")
        before = daemon.cpu_seconds()
        # A stretch of time to measure in, not a wait for something to happen.
        time.sleep(2)
        used = daemon.cpu_seconds() - before
        expect(used < 0.3 * SLOWNESS, f"{used:.2f} s of processor time in 2 s of waiting")
        expect_equal(len(daemon.log.find(r"cannot accept")), 1, "lines in one episode")
        clients[0].expect_echo()
        for client in clients:
            client.close()
        daemon.wait_log(r"accepting again")
        with daemon.connect("echo") as client:
            client.expect_echo()


def test_the_descriptors_come_back():
    with starved() as daemon:
        before = daemon.fd_count()
        for _ in range(3):
            mark = daemon.log.mark()
            clients = [daemon.connect("echo") for _ in range(CLIENTS)]
            daemon.wait_log(r"cannot accept: Too many open files", since=mark)
            for client in clients:
                client.close()
            daemon.wait_accounted(CLIENTS, since=mark)
            daemon.wait_log(r"accepting again", since=mark)
        # The main thread opens one descriptor for good when it is under load for the first time.
        eventually(lambda: daemon.fd_count() - before in (0, 1),
                   lambda: f"{daemon.fd_count()} descriptors, {before} before")


def test_a_reload_works_without_descriptors():
    with starved() as daemon:
        clients = [daemon.connect("echo") for _ in range(CLIENTS)]
        daemon.wait_log(r"cannot accept: Too many open files")
        daemon.reload()
        clients[0].expect_echo()
        for client in clients:
            client.close()
        daemon.wait_accounted(CLIENTS)


def test_a_limit_too_low_is_warned_of_with_the_arithmetic():
    with starved() as daemon:
        daemon.wait_log(rf"descriptor.*\b{LIMIT_FDS}\b|\b{LIMIT_FDS}\b.*descriptor")


def test_a_pool_that_rejects_tells_clients_so():
    with starved("reject") as daemon:
        clients = [daemon.connect("echo") for _ in range(CLIENTS)]
        daemon.wait_log(r"cannot accept: Too many open files")
        answers = []
        for client in clients:
            try:
                client.send(b"x")
                answers.append(client.recv_some())
            except ConnectionError:
                # Told, closed, and what was sent after that was answered by a reset.
                answers.append(b"busy\n")
        expect(answers.count(b"x") > 0, "some are served")
        expect(answers.count(b"busy\n") + answers.count(b"") > 0, "some are told")
        for client in clients:
            client.close()


main(globals())
