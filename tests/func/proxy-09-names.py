#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Servers that are names: every address is used, answers are kept as long as they hold, failures keep the last one."""
import contextlib
import time
from collections import Counter

from cpharness import LIMIT, Skip, expect, expect_equal, has_ipv6, main
from dnslib import NameServer
from proxylib import Backend, ask, ask_on, keep_one_port, parts, proxied, recv_line, who

NAME = "web.test"
ONE = {"pools": "main: { workers = 1; };"}
RETRY = 'max_failures = 1; retry_after = "1h";'


@contextlib.contextmanager
def servers(count, host="127.0.0.{}"):
    """Servers on one port of several addresses: "a" on 127.0.0.1, "b" on 127.0.0.2 and so on."""
    hosts = [host.format(number) for number in range(1, count + 1)]
    kept, port = keep_one_port(hosts)
    with contextlib.ExitStack() as stack:
        for sock in kept:
            stack.callback(sock.close)
        yield [stack.enter_context(Backend(who, name, host, port)) for name, host in zip("abcdef", hosts)]


def named(port, more="", name=NAME):
    return f'{{ address = "tcp:{name}:{port}"; {more} }}'


def service(more="", name="_web._tcp.test"):
    return f'{{ address = "srv:{name}"; {more} }}'


def until_answers(daemon, names, count=12):
    """Until exactly these answer: what a name server says comes to be in force a moment later."""
    deadline = time.monotonic() + LIMIT
    while True:
        seen = Counter(ask(daemon) for _ in range(count))
        if set(seen) == set(names):
            return seen
        expect(time.monotonic() < deadline, f"they who answer are not {names}: {seen}")


# A client that comes before the first answer waits for it.
WAIT = 'wait_for_upstream = "1h"; balance = "round_robin";'


def test_every_address_of_a_name_is_used():
    with servers(3) as three, NameServer() as names:
        names.set(NAME, "A", ["127.0.0.1", "127.0.0.2", "127.0.0.3"], ttl=3600)
        with proxied([named(three[0].port)], WAIT, more=names.resolver(), **ONE) as daemon:
            ask(daemon)
            expect_equal(Counter(ask(daemon) for _ in range(9)), {"a": 3, "b": 3, "c": 3}, "answers")


def test_ipv4_and_ipv6_are_both_used():
    if not has_ipv6():
        raise Skip("there is no IPv6 here")
    with NameServer() as names, Backend(who, "six", host="::1") as six:
        with Backend(who, "four", port=six.port) as four:
            names.set(NAME, "AAAA", ["::1"])
            with proxied([named(six.port)], WAIT, more=names.resolver(), **ONE) as daemon:
                expect_equal(ask(daemon), "six", "who answers")
                names.set(NAME, "A", ["127.0.0.1"])
                until_answers(daemon, {"four", "six"})
                names.set(NAME, "AAAA", [])
                until_answers(daemon, {"four"})
            expect(four.accepted and six.accepted, "both were used")


def test_a_change_is_followed_and_old_connections_live_on():
    with servers(3) as (a, b, c), NameServer() as names:
        names.set(NAME, "A", ["127.0.0.1", "127.0.0.2"])
        with proxied([named(a.port)], WAIT, more=names.resolver(), **ONE) as daemon:
            clients = [daemon.connect("front") for _ in range(2)]
            expect_equal(sorted(map(ask_on, clients)), ["a", "b"], "answers")
            names.set(NAME, "A", ["127.0.0.2", "127.0.0.3"])
            until_answers(daemon, {"b", "c"})
            expect_equal(sorted(map(ask_on, clients)), ["a", "b"], "answers of the old ones")
            for client in clients:
                client.close()
            a.wait_active(0)
            names.set(NAME, "A", ["127.0.0.1"])
            until_answers(daemon, {"a"})


def test_an_answer_is_kept_as_long_as_it_says():
    with servers(1) as (a,), NameServer() as names:
        names.set(NAME, "A", ["127.0.0.1"], ttl=3600)
        names.set("other.test", "A", ["127.0.0.1"], ttl=0)
        with proxied([named(a.port), named(a.port, name="other.test")], WAIT, more=names.resolver()) as daemon:
            names.wait_asked("other.test", "A", 5)
            expect_equal(ask(daemon), "a", "who answers")
            expect_equal(names.count(NAME, "A"), 1, "questions for the one that lasts")


def test_a_ttl_is_not_overrun_and_not_cut_short():
    with servers(1) as (a,), NameServer() as names:
        names.set(NAME, "A", ["127.0.0.1"], ttl=1)
        with proxied([named(a.port)], WAIT, more=names.resolver()) as daemon:
            ask(daemon)
            names.wait_asked(NAME, "A")
            begin = time.monotonic()
            names.wait_asked(NAME, "A", 2)
            expect(time.monotonic() - begin >= 1.9, "two look-ups in less than two seconds")


def test_the_bounds_of_the_config_count():
    with servers(1) as (a,), NameServer() as names:
        names.set(NAME, "A", ["127.0.0.1"], ttl=0)
        both = [named(a.port), named(a.port, name="other.test")]
        with proxied(both, WAIT, more=names.resolver('min_ttl = "1h"; max_ttl = "24h"; retry = "100ms";')) as daemon:
            ask(daemon)
            # The one that is not known is asked for again and again meanwhile.
            names.wait_asked("other.test", "A", 5)
            expect_equal(names.count(NAME, "A"), 1, "questions with a min_ttl of an hour")
            more = names.resolver('max_ttl = "200ms"; min_ttl = "100ms"; retry = "100ms";')
            daemon.reload(**parts(both, WAIT, more=more))
            names.set("other.test", "A", ["127.0.0.1"], ttl=3600)
            names.wait_asked("other.test", "A", 6)


def test_srv_gives_ports_weights_and_backups():
    with servers(1) as (a,), servers(1) as (b,), servers(1) as (c,), NameServer() as names:
        b.name, c.name = "b", "c"
        for name in "abc":
            names.set(f"{name}.test", "A", ["127.0.0.1"], ttl=3600)
        names.set("_web._tcp.test", "SRV", [(10, 3, a.port, "a.test"), (10, 1, b.port, "b.test"),
                                            (20, 5, c.port, "c.test")], ttl=3600)
        with proxied([service()], WAIT + RETRY, more=names.resolver(), **ONE) as daemon:
            ask(daemon)
            seen = Counter(ask(daemon) for _ in range(8))
            expect_equal(seen, {"a": 6, "b": 2}, "answers")
            a.stop()
            b.stop()
            expect_equal({ask(daemon) for _ in range(4)}, {"c"}, "who answers when the first priority is gone")


def test_srv_changes_are_followed():
    with servers(1) as (a,), servers(1) as (b,), NameServer() as names:
        b.name = "b"
        names.set("host.test", "A", ["127.0.0.1"], ttl=3600)
        names.set("_web._tcp.test", "SRV", [(0, 0, a.port, "host.test")])
        with proxied([service()], WAIT, more=names.resolver(), **ONE) as daemon:
            expect_equal(ask(daemon), "a", "who answers")
            names.set("_web._tcp.test", "SRV", [(0, 0, a.port, "host.test"), (0, 0, b.port, "host.test")])
            until_answers(daemon, {"a", "b"})
            names.set("_web._tcp.test", "SRV", [(0, 0, b.port, "host.test")])
            until_answers(daemon, {"b"})


def test_a_failure_keeps_the_last_answer_and_says_so_once():
    with servers(2) as (a, b), NameServer() as names:
        for mode, cause in (("servfail", ""), ("nxdomain", ""), ("silent", "[Tt]ime")):
            names.set(NAME, "A", ["127.0.0.1"])
            names.mode = "answer"
            # c-ares tries again within its time: so that a silent server is found to be one soon.
            more = names.resolver('timeout = "300ms"; retry = "100ms"; min_ttl = "100ms";')
            with proxied([named(a.port)], WAIT, more=more) as daemon:
                expect_equal(ask(daemon), "a", "who answers")
                names.mode = mode
                daemon.wait_log(rf"upstream 'web': cannot resolve {NAME}.*{cause}.*keeping")
                names.wait_asked(NAME, "A", 4)
                for _ in range(3):
                    expect_equal(ask(daemon), "a", "who answers still")
                expect_equal(len(daemon.log.find("cannot resolve")), 1, "lines of one episode")
                names.set(NAME, "A", ["127.0.0.2"])
                names.mode = "answer"
                daemon.wait_log(rf"{NAME} resolves again")
                until_answers(daemon, {"b"})


def test_a_name_that_is_not_known_yet():
    with servers(1) as (a,), NameServer() as names:
        with proxied([named(a.port)], 'wait_for_upstream = "1h";', more=names.resolver()) as daemon:
            daemon.wait_log(rf"cannot resolve {NAME}")
            with daemon.connect("front") as client:
                client.send(b"hello\n")
                names.set(NAME, "A", ["127.0.0.1"])
                expect_equal(recv_line(client), b"a hello\n", "answer once it is known")


def test_a_name_that_is_not_known_and_a_client_that_may_not_wait():
    with NameServer() as names:
        with proxied([named(9)], 'connect_timeout = "1h";', 'busy_message = "busy\\r\\n";',
                     more=names.resolver()) as daemon:
            daemon.wait_log(rf"cannot resolve {NAME}")
            with daemon.connect("front") as client:
                expect_equal(client.recv_all(), b"busy\r\n", "what the client is told")
                name = client.name()
            expect_equal(daemon.wait_closed(client=name)["end"], "upstream-down", "end")


def test_a_dead_name_server_does_not_hold_up_others():
    with servers(2) as (a, b), NameServer() as names:
        names.mode = "silent"
        with proxied([named(a.port), b.server()], "", more=names.resolver('timeout = "1h";'), **ONE) as daemon:
            for _ in range(3):
                expect_equal(ask(daemon), "b", "who answers")
            expect("reloaded" in daemon.reload(), "a reload does not wait for it either")
            expect_equal(ask(daemon), "b", "who answers")


def test_one_dead_address_of_a_name_is_passed_over():
    with servers(3) as three, NameServer() as names:
        names.set(NAME, "A", ["127.0.0.1", "127.0.0.2", "127.0.0.3"], ttl=3600)
        three[1].stop()
        with proxied([named(three[0].port)], WAIT + RETRY, more=names.resolver(), **ONE) as daemon:
            seen = Counter(ask(daemon) for _ in range(10))
            expect_equal(seen, {"a": 5, "c": 5}, "answers")


def test_limits_are_for_each_address():
    with servers(2) as two, NameServer() as names:
        names.set(NAME, "A", ["127.0.0.1", "127.0.0.2"], ttl=3600)
        with proxied([named(two[0].port, "max_connections = 2;")], WAIT + 'queue_size = 0;',
                     'busy_message = "busy\\r\\n";', more=names.resolver(), **ONE) as daemon:
            clients = [daemon.connect("front") for _ in range(4)]
            expect_equal(sorted(map(ask_on, clients)), ["a", "a", "b", "b"], "answers")
            with daemon.connect("front") as client:
                expect_equal(client.recv_all(), b"busy\r\n", "what the fifth is told")
            for client in clients:
                client.close()


def test_a_reload_asks_another_name_server():
    with servers(2) as (a, b), NameServer() as first, NameServer() as second:
        first.set(NAME, "A", ["127.0.0.1"])
        second.set(NAME, "A", ["127.0.0.2"])
        with proxied([named(a.port)], WAIT, more=first.resolver(), **ONE) as daemon:
            expect_equal(ask(daemon), "a", "who answers")
            daemon.reload(**parts([named(a.port)], WAIT, more=second.resolver(), **ONE))
            until_answers(daemon, {"b"})
        expect(b.accepted, "it was used")


def test_a_reload_that_removes_a_name_stops_asking_for_it():
    with servers(2) as (a, b), NameServer() as names:
        names.set(NAME, "A", ["127.0.0.1"])
        names.set("other.test", "A", ["127.0.0.2"])
        with proxied([named(a.port)], WAIT, more=names.resolver(), **ONE) as daemon:
            expect_equal(ask(daemon), "a", "who answers")
            daemon.reload(**parts([named(b.port, name="other.test")], WAIT, more=names.resolver(), **ONE))
            expect_equal(ask(daemon), "b", "who answers")
            # One look-up may have been under way.
            names.wait_asked("other.test", "A", 2)
            asked = names.count(NAME, "A")
            names.wait_asked("other.test", "A", 5)
            expect_equal(names.count(NAME, "A"), asked, "questions for the name that is gone")


main(globals())
