#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Servers die, stop, refuse, reset and come back while clients keep coming.

No client sees what another try could have hidden; what can't be hidden has its cause in the log; and afterwards all
servers have their share again.
"""
import contextlib
import socket
import struct
import threading
import time
from collections import Counter

from cpharness import CLOSED, LIMIT, SLOWNESS, expect, expect_equal, main
from proxylib import Backend, Program, ask, proxied, recv_line, reset, wait_state, who
from soaklib import FULL, Sums

CLIENTS = 48 if FULL else 24 // min(SLOWNESS, 2)
ROUNDS = 30 if FULL else 5
GROUP = 'balance = "round_robin"; retries = 2; max_failures = 1; retry_after = "100ms";'
# What a server that goes does to those it was talking to: nobody else can answer in its place.
BROKEN_OFF = {"server", "server-reset"}


class Load:
    """Threads that ask again and again until they are told to stop; the failures, by the names of the clients."""

    def __init__(self, daemon):
        self.daemon, self.over = daemon, threading.Event()
        self.changed = threading.Condition()
        self.answers, self.failures = Counter(), []
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.wait_answers(CLIENTS)
        return self

    def __exit__(self, *unused):
        self.over.set()
        for thread in self.threads:
            thread.join(LIMIT)

    def run(self):
        while not self.over.is_set():
            name = answer = None
            try:
                with self.daemon.connect("front") as client:
                    name = client.name()
                    client.send(b"hello\n")
                    answer = recv_line(client).split(b" ")[0].decode()
                    if answer:
                        # So that a port does not stay taken for a minute: there may be many.
                        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except ConnectionError:
                # Of connect(2) too, where the server's reset came so soon that it met that.
                pass
            except OSError as error:
                answer = f"trouble: {error!r}"
            with self.changed:
                if answer:
                    self.answers[answer] += 1
                else:
                    self.failures.append(name)
                self.changed.notify_all()

    def wait_answers(self, more, of=None):
        """So many answers from now on: of one server, or of any."""
        def count():
            return self.answers[of] if of else self.answers.total()

        with self.changed:
            wanted = count() + more
            expect(self.changed.wait_for(lambda: count() >= wanted, LIMIT), f"no {more} of {of}: {self.answers}")

    def expect_explained(self, ends):
        """Each failure has its record, with one of these ends."""
        expect_equal(self.daemon.stop(), 0, "exit status")
        sums = Sums(self.daemon.log, "front")
        print(f"  answers {dict(self.answers)}, failures {len(self.failures)}; {sums}")
        records = {}
        for match in self.daemon.log.find(CLOSED.pattern):
            records.setdefault(match.group("client"), set()).add(match.group("end"))
        unexplained = [(name, records.get(name)) for name in self.failures
                       if name and not records.get(name, set()) & set(ends)]
        if not sums.dropped:
            expect_equal(unexplained, [], f"failures without one of {sorted(ends)} in the log")
            explained = sum(sums.ends.get(end, 0) for end in ends)
            expect(len(self.failures) <= explained, f"{len(self.failures)} failures, {explained} of them in the log")
        expect_equal(set(self.answers) - set("abc"), set(), "other trouble")
        expect_equal(sums.ends.get("upstream-down", 0), 0, "clients that another server could have served")


@contextlib.contextmanager
def three(kind, *args):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(kind(*args, name)) for name in "abc"]


def expect_even(daemon):
    """Each server gets clients again, whatever happened to it."""
    seen, deadline = Counter(), time.monotonic() + LIMIT
    while len(seen) < 3:
        seen[ask(daemon)] += 1
        expect(time.monotonic() < deadline, f"not all have clients: {seen}")
    names = Counter(ask(daemon) for _ in range(12))
    expect_equal(names, {"a": 4, "b": 4, "c": 4}, "answers afterwards")


def test_servers_are_killed_and_come_back():
    with three(Program, "who") as servers, \
            proxied([server.server() for server in servers], GROUP, pools="main: { workers = 1; };") as daemon:
        with Load(daemon) as load:
            for turn in range(ROUNDS):
                victim = servers[turn % 3]
                victim.kill()
                load.wait_answers(CLIENTS * 2)
                victim.start()
                load.wait_answers(2, of=victim.name)
        expect_even(daemon)
        load.expect_explained(BROKEN_OFF)


def test_servers_refuse_and_take_again():
    with three(Backend, who) as servers, \
            proxied([server.server() for server in servers], GROUP, pools="main: { workers = 1; };") as daemon:
        with Load(daemon) as load:
            for turn in range(ROUNDS * 2):
                victim = servers[turn % 3]
                victim.refuse()
                load.wait_answers(CLIENTS)
                victim.start()
                load.wait_answers(2, of=victim.name)
        expect_even(daemon)
        # Those that were in its backlog when it began to refuse.
        load.expect_explained(BROKEN_OFF)


def test_two_of_three_are_gone_for_long():
    with three(Backend, who) as servers, \
            proxied([server.server() for server in servers], GROUP, pools="main: { workers = 1; };") as daemon:
        with Load(daemon) as load:
            servers[0].stop()
            servers[1].stop(broken=True)
            load.wait_answers(CLIENTS * 10)
            servers[0].start()
            servers[1].start()
            load.wait_answers(2, of="a")
            load.wait_answers(2, of="b")
        expect_even(daemon)
        load.expect_explained(BROKEN_OFF)


def test_a_server_is_stopped_and_continued():
    # It is connected to, by the kernel, and does not answer: checks see that. Whoever it has waits, and loses nothing.
    checks = 'check = "connect"; check_send = "alive?\\n"; check_expect = "alive?"; check_interval = "100ms";' \
             ' check_fast_interval = "100ms"; check_timeout = "500ms"; check_fall = 2; check_rise = 1;'
    with three(Program, "who") as servers, \
            proxied([server.server() for server in servers], GROUP + checks, pools="main: { workers = 1; };") as daemon:
        with Load(daemon) as load:
            for turn in range(min(ROUNDS, 6)):
                victim = servers[turn % 3]
                mark = daemon.log.mark()
                victim.pause()
                wait_state(daemon, victim, "down", since=mark)
                # The load stands still by now: each of its clients has come to this server in its turn.
                expect(victim.name not in {ask(daemon) for _ in range(6)}, "it is not asked")
                mark = daemon.log.mark()
                victim.resume()
                wait_state(daemon, victim, "up", since=mark)
                load.wait_answers(2, of=victim.name)
        expect_even(daemon)
        expect_equal(load.failures, [], "failures")
        load.expect_explained(())


def test_a_server_that_resets_harms_its_own_clients_alone():
    with three(Backend, who) as servers, \
            proxied([server.server() for server in servers], GROUP, pools="main: { workers = 1; };") as daemon:
        with Load(daemon) as load:
            servers[1].serve = reset
            with load.changed:
                expect(load.changed.wait_for(lambda: len(load.failures) >= 10, LIMIT), "it resets")
            load.wait_answers(CLIENTS)
            servers[1].serve = who
            load.wait_answers(2, of="b")
        expect_even(daemon)
        load.expect_explained({"server-reset"})


def test_all_are_gone_and_clients_wait_for_them():
    with three(Backend, who) as servers, \
            proxied([server.server() for server in servers],
                    GROUP + 'wait_for_upstream = "1h"; check = "connect"; check_interval = "50ms";'
                    ' check_fast_interval = "50ms"; check_rise = 1;', pools="main: { workers = 1; };") as daemon:
        with Load(daemon) as load:
            for _ in range(min(ROUNDS, 6)):
                for server in servers:
                    server.refuse()
                for server in servers:
                    server.start()
                load.wait_answers(CLIENTS)
        expect_even(daemon)
        load.expect_explained(BROKEN_OFF)


def test_ready_connections_hide_no_more_than_they_may():
    with three(Backend, who) as servers, \
            proxied([server.server("ready_connections = 3;") for server in servers], GROUP,
                    pools="main: { workers = 1; };") as daemon:
        with Load(daemon) as load:
            for turn in range(ROUNDS):
                victim = servers[turn % 3]
                victim.stop(broken=turn % 2 == 1)
                load.wait_answers(CLIENTS)
                victim.start()
                load.wait_answers(2, of=victim.name)
        expect_even(daemon)
        load.expect_explained(BROKEN_OFF)


main(globals())
