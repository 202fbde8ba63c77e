#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SIGTERM drains, the time-out closes, a second signal ends at once; the exit status is 0."""
import os
import signal

from cpharness import Daemon, expect, expect_equal, main


def daemon_with(more="", service="echo", pools="", daemon=""):
    addresses = '[ "tcp:127.0.0.1:0", "unix:@DIR@/s.sock" ]'
    return Daemon(listeners=f'{{ name = "s"; address = {addresses}; service = "{service}"; {more} }}',
                  pools=pools, daemon=daemon)


def expect_no_more_clients(daemon):
    for address in (0, 1):
        try:
            daemon.connect("s", address).close()
        except (ConnectionRefusedError, FileNotFoundError):
            continue
        raise AssertionError(f"{daemon.addresses('s')[address]} still takes clients")


def test_without_connections_it_ends_at_once():
    for number in (signal.SIGTERM, signal.SIGINT):
        with daemon_with(daemon='drain_timeout = "1h";') as daemon:
            expect_equal(daemon.stop(number), 0, "exit status")
            expect(not os.path.exists(f"{daemon.dir}/s.sock"), "the socket file is gone")


def test_connections_end_by_themselves_and_new_ones_are_not_taken():
    with daemon_with(daemon='drain_timeout = "1h";') as daemon:
        client = daemon.connect("s")
        client.expect_echo()
        mark = daemon.log.mark()
        daemon.kill(signal.SIGTERM)
        daemon.wait_log(r"(?i)stopping|drain", since=mark)
        if daemon.uses_notify:
            daemon.notify.wait(lambda message: message.get("STOPPING") == "1", 0, daemon.pidfd)
        expect_no_more_clients(daemon)
        client.expect_echo(b"still here\n")
        name = client.name()
        client.close()
        expect_equal(daemon.wait_exit(), 0, "exit status")
        expect_equal(daemon.wait_closed(client=name)["end"], "client", "end of the last connection")


def test_at_the_timeout_what_is_left_is_closed():
    with daemon_with(daemon='drain_timeout = "300ms";') as daemon:
        clients = [daemon.connect("s", index % 2) for index in range(10)]
        for client in clients:
            client.expect_echo()
        expect_equal(daemon.stop(), 0, "exit status")
        expect_equal(len(daemon.log.find(r"closed: drain ")), 10, "connections closed by the drain")
        for client in clients:
            client.expect_refused()
            client.close()


def test_a_timeout_of_0_closes_at_once():
    with daemon_with(daemon="drain_timeout = 0;") as daemon, daemon.connect("s") as client:
        client.expect_echo()
        expect_equal(daemon.stop(), 0, "exit status")


def test_a_second_signal_ends_at_once():
    for second in (signal.SIGTERM, signal.SIGINT):
        with daemon_with(daemon='drain_timeout = "1h";') as daemon, daemon.connect("s") as client:
            client.expect_echo()
            mark = daemon.log.mark()
            daemon.kill(signal.SIGTERM)
            daemon.wait_log(r"(?i)stopping|drain", since=mark)
            daemon.kill(second)
            expect_equal(daemon.wait_exit(), 0, "exit status")


def test_services_that_never_end_are_ended_by_the_drain():
    with daemon_with(service="chargen", daemon='drain_timeout = "300ms";') as daemon:
        stuck = daemon.connect("s")
        reading = daemon.connect("s", 1)
        reading.recv_exactly(7400)
        stuck.recv_exactly(74)
        expect_equal(daemon.stop(), 0, "exit status")
        stuck.close()
        reading.close()


def test_clients_in_the_queue_are_accounted():
    pools = "one: { workers = 1; connections_per_worker = 1; queue_size = 10; };"
    more = 'pool = "one"; busy_message = "bye\\n";'
    with daemon_with(more, pools=pools, daemon='drain_timeout = "300ms";') as daemon:
        holder = daemon.connect("s")
        holder.expect_echo()
        waiting = [daemon.connect("s") for _ in range(5)]
        holder.expect_echo()
        expect_equal(daemon.stop(), 0, "exit status")
        for client in waiting + [holder]:
            client.close()


def test_a_reload_while_draining_does_no_harm():
    with daemon_with(daemon='drain_timeout = "1h";') as daemon:
        client = daemon.connect("s")
        client.expect_echo()
        mark = daemon.log.mark()
        daemon.kill(signal.SIGTERM)
        daemon.wait_log(r"(?i)stopping|drain", since=mark)
        for _ in range(5):
            daemon.kill(signal.SIGHUP)
        client.expect_echo()
        expect_no_more_clients(daemon)
        client.close()
        expect_equal(daemon.wait_exit(), 0, "exit status")


def test_the_last_record_is_in_the_log():
    with daemon_with(daemon='drain_timeout = "1h";') as daemon:
        clients = [daemon.connect("s") for _ in range(200)]
        for client in clients:
            client.expect_echo()
        daemon.kill(signal.SIGTERM)
        for client in clients:
            client.close()
        expect_equal(daemon.wait_exit(), 0, "exit status")
        expect_equal(daemon.wait_accounted(200), 200, "connections accounted")


main(globals())
