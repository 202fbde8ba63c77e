#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Which server a client gets: each way to balance, weights, backups, and what a reload changes."""
import contextlib
from collections import Counter

from cpharness import expect, expect_equal, expect_match, main
from proxylib import Backend, Place, ask, ask_on, parts, proxied, who

# One worker: connections one after another are decided on one after another.
ONE = {"pools": "main: { workers = 1; };"}


@contextlib.contextmanager
def servers(count):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Backend(who, name)) for name in "abcdefgh"[:count]]


def answers(daemon, count, source=None):
    return Counter(ask(daemon, source=source) for _ in range(count))


def test_round_robin_takes_turns():
    with servers(3) as three, proxied([one.server() for one in three], 'balance = "round_robin";', **ONE) as daemon:
        names = [ask(daemon) for _ in range(12)]
        expect_equal(Counter(names), {"a": 4, "b": 4, "c": 4}, "answers")
        for begin in range(0, 12, 3):
            expect_equal(set(names[begin:begin + 3]), {"a", "b", "c"}, f"turn {begin // 3} of {names}")


def test_round_robin_by_weight_and_smoothly():
    with servers(3) as (a, b, c), \
            proxied([a.server("weight = 4;"), b.server("weight = 2;"), c.server("weight = 1;")],
                    'balance = "round_robin";', **ONE) as daemon:
        names = "".join(ask(daemon) for _ in range(14))
        expect_equal(Counter(names), {"a": 8, "b": 4, "c": 2}, "answers")
        expect("aaa" not in names and "bb" not in names, f"no bursts: {names}")


def test_weight_zero_gets_nothing():
    with servers(2) as (a, b), \
            proxied([a.server("weight = 0;"), b.server()], 'balance = "round_robin";', **ONE) as daemon:
        expect_equal(answers(daemon, 6), {"b": 6}, "answers")


def test_least_connections_fills_the_gaps():
    with servers(3) as three, \
            proxied([one.server() for one in three], 'balance = "least_connections";', **ONE) as daemon:
        clients = [daemon.connect("front") for _ in range(9)]
        names = [ask_on(client) for client in clients]
        expect_equal(Counter(names), {"a": 3, "b": 3, "c": 3}, "answers")
        # All of one server's clients go: the next ones are all for it.
        for client, name in zip(clients, names):
            if name == "b":
                ended, mark = client.name(), daemon.log.mark()
                client.close()
                daemon.wait_closed(client=ended, since=mark)
        more = [daemon.connect("front") for _ in range(3)]
        expect_equal([ask_on(client) for client in more], ["b"] * 3, "answers")
        for client in clients + more:
            client.close()


def test_least_connections_by_weight():
    with servers(2) as (a, b), \
            proxied([a.server("weight = 3;"), b.server()], 'balance = "least_connections";', **ONE) as daemon:
        clients = [daemon.connect("front") for _ in range(8)]
        expect_equal(Counter(map(ask_on, clients)), {"a": 6, "b": 2}, "answers")
        for client in clients:
            client.close()


def by_source(daemon, sources):
    return {source: ask(daemon, source=source) for source in sources}


def test_source_hash_is_faithful_and_a_server_gone_moves_only_its_own():
    sources = [f"127.0.1.{number}" for number in range(1, 61)]
    with servers(4) as four, proxied([one.server() for one in four], 'balance = "source_hash"; max_failures = 1;'
                                     ' retry_after = "1h";', **ONE) as daemon:
        first = by_source(daemon, sources)
        expect_equal(by_source(daemon, sources), first, "the second time")
        for name, count in Counter(first.values()).items():
            expect(2 <= count <= 40, f"server {name} has {count} of 60")
        expect_equal(len(set(first.values())), 4, "servers that have clients")
        four[2].stop()
        after = by_source(daemon, sources)
        for source in sources:
            if first[source] != "c":
                expect_equal(after[source], first[source], f"the server of {source}")
            else:
                expect(after[source] != "c", "those of the one that is gone are elsewhere")
        moved = {after[source] for source in sources if first[source] == "c"}
        expect(len(moved) > 1 or list(first.values()).count("c") < 5, f"they are spread: {moved}")


def test_random_two_uses_all_and_prefers_the_less_busy():
    with servers(3) as three, proxied([one.server() for one in three], 'balance = "random_two";', **ONE) as daemon:
        clients = [daemon.connect("front") for _ in range(60)]
        counts = Counter(map(ask_on, clients))
        expect_equal(set(counts), {"a", "b", "c"}, "servers used")
        expect(max(counts.values()) - min(counts.values()) <= 15, f"far more even than chance alone: {counts}")
        for client in clients:
            client.close()


def test_first_fills_one_after_the_other():
    with servers(3) as three, \
            proxied([one.server("max_connections = 2;") for one in three], 'balance = "first";', **ONE) as daemon:
        clients = [daemon.connect("front") for _ in range(5)]
        expect_equal([ask_on(client) for client in clients], ["a", "a", "b", "b", "c"], "answers")
        name, mark = clients[0].name(), daemon.log.mark()
        clients[0].close()
        daemon.wait_closed(client=name, since=mark)
        expect_equal(ask(daemon), "a", "who answers")
        for client in clients:
            client.close()


def test_a_backup_serves_only_when_no_other_is_up():
    with servers(3) as (a, b, c), \
            proxied([a.server(), b.server(), c.server("backup = true;")], 'balance = "round_robin"; max_failures = 1;'
                    ' retry_after = "100ms";', **ONE) as daemon:
        expect_equal(answers(daemon, 6), {"a": 3, "b": 3}, "answers")
        a.stop()
        b.stop()
        expect_equal(answers(daemon, 6), {"c": 6}, "answers without the others")
        a.start()
        while ask(daemon) != "a":
            pass
        b.start()
        while ask(daemon) != "b":
            pass
        expect("c" not in answers(daemon, 6), "the backup is none any more")


def test_maintenance_gets_nothing():
    with servers(2) as (a, b), \
            proxied([a.server("maintenance = true;"), b.server()], 'balance = "first";', **ONE) as daemon:
        expect_equal(answers(daemon, 4), {"b": 4}, "answers")


def test_a_reload_adds_a_server():
    with servers(2) as (a, b), proxied([a.server()], 'balance = "round_robin";', **ONE) as daemon:
        expect_equal(answers(daemon, 2), {"a": 2}, "answers")
        expect_match("reloaded", daemon.reload(**parts([a.server(), b.server()], 'balance = "round_robin";', **ONE)),
                     "the outcome")
        expect_equal(answers(daemon, 4), {"a": 2, "b": 2}, "answers")


def test_connections_to_a_removed_server_live_on():
    with servers(2) as (a, b), proxied([a.server(), b.server()], 'balance = "first";', **ONE) as daemon, \
            daemon.connect("front") as client:
        expect_equal(ask_on(client), "a", "who answers")
        daemon.reload(**parts([b.server()], 'balance = "first";', **ONE))
        expect_equal(ask_on(client, b"still there?"), "a", "who answers the old client")
        expect_equal(answers(daemon, 3), {"b": 3}, "who answers new ones")
        # It comes back as what it is: the same server.
        daemon.reload(**parts([a.server(), b.server()], 'balance = "first";', **ONE))
        expect_equal(ask(daemon), "a", "who answers")
        expect_equal(ask_on(client, b"and now?"), "a", "who answers the old client")


def test_a_reload_changes_weights_in_place():
    with servers(2) as (a, b), \
            proxied([a.server(), b.server()], 'balance = "least_connections";', **ONE) as daemon:
        old = [daemon.connect("front") for _ in range(4)]
        expect_equal(Counter(map(ask_on, old)), {"a": 2, "b": 2}, "answers")
        daemon.reload(**parts([a.server("weight = 3;"), b.server()], 'balance = "least_connections";', **ONE))
        # The old connections count: 6 to 2 is what 3 to 1 is of all eight.
        new = [daemon.connect("front") for _ in range(4)]
        expect_equal(Counter(map(ask_on, new)), {"a": 4}, "answers")
        expect_equal(Counter(map(ask_on, old)), {"a": 2, "b": 2}, "answers of the old ones")
        daemon.reload(**parts([a.server("weight = 0;"), b.server()], 'balance = "least_connections";', **ONE))
        expect_equal(answers(daemon, 3), {"b": 3}, "answers without weight")
        for client in old + new:
            client.close()


def test_a_reload_changes_how_it_balances():
    with servers(2) as two, proxied([one.server() for one in two], 'balance = "round_robin";', **ONE) as daemon:
        expect_equal(answers(daemon, 4), {"a": 2, "b": 2}, "answers")
        daemon.reload(**parts([one.server() for one in two], 'balance = "first";', **ONE))
        expect_equal(answers(daemon, 4), {"a": 4}, "answers")


def test_a_reload_that_fails_changes_nothing():
    with servers(2) as (a, b), proxied([a.server()], **ONE) as daemon:
        outcome = daemon.reload(**parts([b.server("weight = -1;")], **ONE))
        expect_match("reload failed", outcome, "the outcome")
        expect_equal(answers(daemon, 3), {"a": 3}, "answers")


def test_a_new_client_gets_a_new_server_when_a_reload_replaced_a_dead_one():
    dead = Place()
    with servers(1) as (a,), proxied([dead.server()], 'max_failures = 1; retry_after = "1h";', **ONE) as daemon:
        with daemon.connect("front") as client:
            client.expect_refused()
        daemon.reload(**parts([a.server()], **ONE))
        expect_equal(ask(daemon), "a", "who answers")
    dead.close()


main(globals())
