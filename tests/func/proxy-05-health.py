#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Servers that are up, down, draining, in maintenance: what is noticed, what is logged, and what clients get then."""
import tempfile
import time

from cpharness import LIMIT, expect, expect_equal, main
from proxylib import Agent, Backend, Place, ask, ask_on, hold, parts, proxied, recv_line, wait_state, who

ONE = {"pools": "main: { workers = 1; };"}
# Checks often, forgets nothing by itself.
CHECKED = 'check = "connect"; check_interval = "50ms"; check_fast_interval = "50ms"; max_failures = 0;'
# Without checks, a server that failed stays down for the whole test.
PASSIVE = 'max_failures = 2; retry_after = "1h"; retries = 0; balance = "first";'
BUSY = 'busy_message = "busy\\r\\n";'


def expect_busy(daemon):
    with daemon.connect("front") as client:
        expect_equal(client.recv_all(), b"busy\r\n", "what the client is told")
        name = client.name()
    expect_equal(daemon.wait_closed(client=name)["end"], "upstream-down", "end")


def until_answer(daemon, name):
    """For a change that the log tells of before it is in force, or not at all."""
    deadline = time.monotonic() + LIMIT
    while ask(daemon) != name:
        expect(time.monotonic() < deadline, f"server {name} does not answer")


def test_a_check_takes_a_server_down_before_any_client_comes():
    with Backend(who, "a", start=False) as a, Backend(who, "b") as b, \
            proxied([a.server(), b.server()], f'{CHECKED} balance = "first"; retries = 0; check_fall = 2;') as daemon:
        wait_state(daemon, a, "down", "refused")
        expect_equal(ask(daemon), "b", "who answers")
        mark = daemon.log.mark()
        a.start()
        wait_state(daemon, a, "up", since=mark)
        until_answer(daemon, "a")


def test_rise_and_fall_count_in_a_row():
    attempts = []

    def flap(backend, peer):
        # Five good ones, two bad ones: never three bad ones in a row.
        attempts.append(peer.number)
        if peer.number % 7 < 5:
            peer.send(b"good\n")
        else:
            peer.send(b"bad\n")

    with Backend(flap, "a") as a, \
            proxied([a.server()], f'{CHECKED} check_expect = "good"; check_fall = 3; check_rise = 2;') as daemon:
        a.wait_accepted(30)
        expect_equal(daemon.log.find(r"server .*\bdown\b"), [], "lines that say it is down")
        a.serve = lambda backend, peer: peer.send(b"bad\n")
        wait_state(daemon, a, "down", "bad")
        # Up, down, up, down: never two good ones in a row.
        mark, begin = daemon.log.mark(), a.accepted
        a.serve = lambda backend, peer: peer.send(b"good\n" if peer.number % 2 else b"bad\n")
        a.wait_accepted(begin + 10)
        expect_equal(daemon.log.find(r"server .*\bup\b", mark), [], "lines that say it is up")
        a.serve = lambda backend, peer: peer.send(b"good\n")
        wait_state(daemon, a, "up", since=mark)


def test_send_and_expect():
    def answer(backend, peer):
        line = recv_line(peer)
        backend.note(line)
        peer.send(b"+PONG\r\n" if backend.name == "good" else b"-LOADING\r\n")

    with Backend(answer, "bad") as server, \
            proxied([server.server()], f'{CHECKED} check_send = "PING\\r\\n"; check_expect = "+PONG"; check_fall = 2;'
                    ' check_rise = 2; check_timeout = "1h";') as daemon:
        server.name = "good"
        server.wait_notes(5)
        expect_equal(set(server.notes), {b"PING\r\n"}, "what the server is asked")
        mark = daemon.log.mark()
        server.name = "bad"
        wait_state(daemon, server, "down", "LOADING", since=mark)
        server.name = "good"
        wait_state(daemon, server, "up", since=mark)


def test_an_answer_that_does_not_come_in_time():
    with Backend(hold, "s") as server, \
            proxied([server.server()], f'{CHECKED} check_expect = "hello"; check_timeout = "100ms"; check_fall = 1;'
                    ) as daemon:
        wait_state(daemon, server, "down", "no answer")
        # The checks end their connections.
        server.wait_accepted(5)
        server.wait(lambda: len(server.peers) <= 1, "checks have ended")


def test_the_port_of_the_check_may_be_another():
    with Backend(who, "s") as server, Backend(hold, "check", start=False) as check, \
            proxied([server.server()], f"{CHECKED} check_port = {check.port}; check_fall = 2;", BUSY) as daemon:
        wait_state(daemon, server, "down")
        expect_busy(daemon)
        mark = daemon.log.mark()
        check.start()
        wait_state(daemon, server, "up", since=mark)
        until_answer(daemon, "s")
        expect(server.accepted >= 1, "it is the server that clients are connected to")


def test_failures_of_clients_take_a_server_down_without_checks():
    dead = Place()
    with Backend(who, "b") as b, proxied([dead.server(), b.server()], PASSIVE, BUSY, **ONE) as daemon:
        for _ in range(2):
            expect_busy(daemon)
        wait_state(daemon, dead, "down", "refused")
        for _ in range(4):
            expect_equal(ask(daemon), "b", "who answers")
        expect_equal(len(daemon.log.find(r"server \S+ .*\bdown\b")), 1, "lines that say so")
    dead.close()


def test_after_a_while_it_is_tried_again():
    with Backend(who, "a", start=False) as a, Backend(who, "b") as b, \
            proxied([a.server(), b.server()], 'balance = "first"; max_failures = 1; retry_after = "100ms";') as daemon:
        expect_equal(ask(daemon), "b", "who answers: the failure is hidden")
        wait_state(daemon, a, "down")
        a.start()
        until_answer(daemon, "a")


def test_a_failure_that_is_retried_is_not_seen():
    dead = Place()
    with Backend(who, "b") as b, \
            proxied([dead.server(), b.server()], 'balance = "first"; max_failures = 0; retries = 1;') as daemon:
        for _ in range(5):
            expect_equal(ask(daemon), "b", "who answers")
        expect_equal(daemon.log.find(r"closed: upstream"), [], "connections that failed")
    dead.close()


def test_retries_are_counted():
    dead = [Place() for _ in range(3)]
    with Backend(who, "b") as b:
        servers = [place.server() for place in dead] + [b.server()]
        with proxied(servers, 'balance = "first"; max_failures = 0; retries = 2;', BUSY) as daemon:
            expect_busy(daemon)
            daemon.reload(**parts(servers, 'balance = "first"; max_failures = 0; retries = 3;', BUSY))
            expect_equal(ask(daemon), "b", "who answers")
    for place in dead:
        place.close()


def test_with_all_down_a_client_is_told_at_once():
    with Backend(who, "s", start=False) as server, \
            proxied([server.server()], 'max_failures = 1; retry_after = "1h"; wait_for_upstream = 0;', BUSY) as daemon:
        for _ in range(3):
            expect_busy(daemon)


def test_with_all_down_a_client_waits_for_one_to_come_back():
    with Backend(who, "s", start=False) as server, \
            proxied([server.server()], f'{CHECKED} check_fall = 1; check_rise = 1; wait_for_upstream = "1h";', BUSY,
                    **ONE) as daemon:
        wait_state(daemon, server, "down")
        clients = [daemon.connect("front") for _ in range(10)]
        for number, client in enumerate(clients):
            client.send(b"%d\n" % number)
        server.start()
        for number, client in enumerate(clients):
            expect_equal(recv_line(client), b"s %d\n" % number, "answer")
            client.close()


def test_waiting_for_a_server_has_an_end():
    with Backend(who, "s", start=False) as server, \
            proxied([server.server()], f'{CHECKED} check_fall = 1; wait_for_upstream = "200ms";', BUSY) as daemon:
        wait_state(daemon, server, "down")
        with daemon.connect("front") as client:
            expect_equal(client.recv_all(), b"busy\r\n", "what the client is told")
            record = daemon.wait_closed(client=client.name())
            expect_equal(record["end"], "upstream-down", "end")
            expect(float(record["served"]) >= 199, f"waited {record['served']} ms")


def agent_pair(agent, more=""):
    return f'agent_port = {agent.port}; agent_interval = "50ms"; balance = "first"; {more}'


def test_an_agent_drains_and_brings_back():
    # Both servers have the same agent's port; the second is on another address, where no agent answers.
    with Agent("up ready\n") as agent, Backend(who, "a") as a, Backend(who, "b", host="127.0.0.2") as b, \
            proxied([a.server(), b.server()], agent_pair(agent), **ONE) as daemon, daemon.connect("front") as client:
        expect_equal(ask_on(client), "a", "who answers")
        for text, state in (("drain\n", "drain"), ("maint # disks\n", "maint"), ("down # broken\n", "down"),
                            ("stopped\n", "down"), ("fail\n", "down")):
            mark = daemon.log.mark()
            agent.text = text
            wait_state(daemon, a, state + r"\w*", "agent", since=mark)
            until_answer(daemon, "b")
            expect_equal(ask_on(client, b"still there?"), "a", "who answers the old client")
            mark = daemon.log.mark()
            agent.text = "up ready\n"
            wait_state(daemon, a, "up", since=mark)
            until_answer(daemon, "a")


def test_an_agent_changes_the_weight():
    with Agent("100%\n") as agent, Backend(who, "a") as a, Backend(who, "b", host="127.0.0.2") as b:
        group = f'agent_port = {agent.port}; agent_interval = "50ms"; balance = "least_connections";'
        with proxied([a.server("weight = 4;"), b.server("weight = 2;")], group, **ONE) as daemon:
            agent.wait_asked(2)
            agent.text = "50%\n"
            # The answer that is asked for after this one was given has come before this one is in force.
            agent.wait_asked(3)
            clients = [daemon.connect("front") for _ in range(8)]
            names = sorted(map(ask_on, clients))
            expect_equal(names, ["a"] * 4 + ["b"] * 4, "answers")
            for client in clients:
                client.close()


def test_an_agent_that_does_not_answer_changes_nothing():
    dead = Place()
    with Backend(who, "a") as a, proxied([a.server()], agent_pair(dead), BUSY) as daemon:
        daemon.wait_log(r"(?i)agent")
        for _ in range(3):
            expect_equal(ask(daemon), "a", "who answers")
    dead.close()


def test_maintenance_by_a_reload():
    with Backend(who, "a") as a, Backend(who, "b") as b, \
            proxied([a.server(), b.server()], 'balance = "first";') as daemon, daemon.connect("front") as client:
        expect_equal(ask_on(client), "a", "who answers")
        daemon.reload(**parts([a.server("maintenance = true;"), b.server()], 'balance = "first";'))
        expect_equal(ask(daemon), "b", "who answers")
        expect_equal(ask_on(client), "a", "who answers the old client")
        daemon.reload(**parts([a.server(), b.server()], 'balance = "first";'))
        expect_equal(ask(daemon), "a", "who answers")


def test_a_server_in_maintenance_is_not_checked():
    with Backend(who, "a") as a, Backend(who, "b") as b, \
            proxied([a.server("maintenance = true;"), b.server()], CHECKED) as daemon:
        b.wait_accepted(10)
        expect_equal(a.accepted, 0, "checks of the one in maintenance")
        expect_equal(ask(daemon), "b", "who answers")


def test_a_reload_keeps_what_is_known():
    dead = Place()
    with Backend(who, "b") as b, proxied([dead.server(), b.server()], PASSIVE, BUSY, **ONE) as daemon:
        for _ in range(2):
            expect_busy(daemon)
        wait_state(daemon, dead, "down")
        daemon.reload(**parts([dead.server("weight = 2;"), b.server()], PASSIVE, BUSY, **ONE))
        expect_equal(ask(daemon), "b", "who answers: it is down still")
    dead.close()


def test_slow_start_gives_a_server_its_share_by_and_by():
    with Backend(who, "a", start=False) as a, Backend(who, "b") as b, \
            proxied([a.server("weight = 10;"), b.server("weight = 10;")],
                    f'{CHECKED} balance = "round_robin"; check_fall = 1; slow_start = "1h";', **ONE) as daemon:
        wait_state(daemon, a, "down")
        mark = daemon.log.mark()
        a.start()
        wait_state(daemon, a, "up", since=mark)
        names = [ask(daemon) for _ in range(40)]
        expect(names.count("a") <= 12, f"it has had {names.count('a')} of 40 right at its start")


def test_checks_of_unix_servers():
    with tempfile.TemporaryDirectory() as folder, Backend(who, "u", path=f"{folder}/u.sock", start=False) as server, \
            proxied([server.server()], f"{CHECKED} check_fall = 1; check_rise = 1;", BUSY) as daemon:
        wait_state(daemon, server, "down")
        expect_busy(daemon)
        mark = daemon.log.mark()
        server.start()
        wait_state(daemon, server, "up", since=mark)
        until_answer(daemon, "u")


main(globals())
