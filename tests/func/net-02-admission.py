#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Admission: who may come in and how many; every count comes down again."""
from cpharness import Daemon, Skip, expect, expect_equal, has_ipv6, main


def listener(more, address='"tcp:127.0.0.1:0"', service="echo", name="gate"):
    return f'{{ name = "{name}"; address = {address}; service = "{service}"; {more} }}'


def expect_served(daemon, source=None, index=0, name="gate"):
    with daemon.connect(name, index, source) as client:
        client.expect_echo()
        return client.name()


def expect_refused(daemon, reason, source=None, index=0, name="gate"):
    mark = daemon.log.mark()
    with daemon.connect(name, index, source) as client:
        client.expect_refused()
    return mark, reason


def test_allow_refuses_everybody_else():
    with Daemon(listeners=listener('allow = [ "127.0.0.2", "127.0.1.0/24" ];')) as daemon:
        expect_served(daemon, "127.0.0.2")
        expect_served(daemon, "127.0.1.200")
        expect_refused(daemon, "refused-access", "127.0.0.3")
        daemon.wait_log(r"listener 'gate': refused 1 connection: refused-access 1")


def test_deny_lets_everybody_else_in():
    with Daemon(listeners=listener('deny = "127.0.0.2";')) as daemon:
        expect_refused(daemon, "refused-access", "127.0.0.2")
        expect_served(daemon, "127.0.0.3")


def test_longest_match_decides():
    with Daemon(listeners=listener('allow = [ "127.0.0.0/8", "127.0.5.5/32" ]; deny = [ "127.0.5.0/24" ];')) as daemon:
        expect_served(daemon, "127.0.4.1")
        expect_refused(daemon, "refused-access", "127.0.5.4")
        expect_served(daemon, "127.0.5.5")


def test_access_lists_know_ipv6():
    if not has_ipv6():
        raise Skip("there is no IPv6 here")
    with Daemon(listeners=listener('deny = "::1";', '"tcp:[::1]:0"')) as daemon:
        expect_refused(daemon, "refused-access")
    with Daemon(listeners=listener('allow = [ "::1", "127.0.0.1" ];', '"tcp:*:0"')) as daemon:
        expect_served(daemon)


def test_access_lists_do_not_concern_unix_sockets():
    with Daemon(listeners=listener('allow = "10.0.0.0/8";', '"unix:@DIR@/gate.sock"')) as daemon:
        expect_served(daemon)


def test_listener_limit_refuses_and_lifts_by_itself():
    with Daemon(listeners=listener("max_connections = 3;")) as daemon:
        clients = [daemon.connect("gate") for _ in range(3)]
        for client in clients:
            client.expect_echo()
        for _ in range(3):
            expect_refused(daemon, "refused-limit")
        daemon.wait_log(r"listener 'gate': refused .*refused-limit")
        for _ in range(10):
            # The count comes down by a client that ends, by one that resets, and by one that half-closes.
            for end in ("close", "reset", "shutdown_write"):
                client, name = clients.pop(0), None
                name, mark = client.name(), daemon.log.mark()
                getattr(client, end)()
                daemon.wait_closed(client=name, since=mark)
                clients.append(daemon.connect("gate"))
                clients[-1].expect_echo()
        expect_refused(daemon, "refused-limit")


def test_listener_limit_is_per_listener():
    both = listener("max_connections = 1;") + "," + listener("max_connections = 1;", name="other")
    with Daemon(listeners=both) as daemon, daemon.connect("gate") as first, daemon.connect("other") as second:
        first.expect_echo()
        second.expect_echo()
        expect_refused(daemon, "refused-limit")


def test_daemon_limit_refuses_beyond_all_listeners_together():
    both = listener("") + "," + listener("", '"unix:@DIR@/x.sock"', name="other")
    with Daemon(listeners=both, daemon="max_connections = 4;") as daemon:
        clients = [daemon.connect(name) for name in ("gate", "other", "gate", "other")]
        for client in clients:
            client.expect_echo()
        expect_refused(daemon, "refused-limit")
        # A place that comes free on one listener is there for the other.
        clients.pop(1).close()
        daemon.wait_log(r"on listener 'other' closed")
        with daemon.connect("gate") as client:
            client.expect_echo()


def test_limit_per_source():
    with Daemon(listeners=listener("max_per_source = 2;")) as daemon:
        mine = [daemon.connect("gate", source="127.0.0.9") for _ in range(2)]
        for client in mine:
            client.expect_echo()
        expect_refused(daemon, "refused-source", "127.0.0.9")
        daemon.wait_log(r"listener 'gate': refused .*refused-source")
        expect_served(daemon, "127.0.0.10")
        for end in ("close", "reset", "close"):
            client = mine.pop(0)
            name, mark = client.name(), daemon.log.mark()
            getattr(client, end)()
            daemon.wait_closed(client=name, since=mark)
            mine.append(daemon.connect("gate", source="127.0.0.9"))
            mine[-1].expect_echo()
        expect_refused(daemon, "refused-source", "127.0.0.9")


def test_limit_per_source_does_not_concern_unix_sockets():
    with Daemon(listeners=listener("max_per_source = 1;", '"unix:@DIR@/gate.sock"')) as daemon:
        with daemon.connect("gate") as first, daemon.connect("gate") as second:
            first.expect_echo()
            second.expect_echo()


def test_refused_connections_give_no_record_of_their_own_but_are_summed_up():
    with Daemon(listeners=listener('deny = "127.0.0.0/8";')) as daemon:
        for _ in range(50):
            with daemon.connect("gate") as client:
                client.expect_refused()
        # One line a second at most: what was refused meanwhile is in the next one.
        total, count = 0, 0
        while total < 50:
            count += 1
            total += int(daemon.wait_log(r"refused (\d+) connections?: refused-access \d+", count=count).group(1))
        expect_equal(total, 50, "refused in the log")
        expect(count < 50, f"{count} lines for 50 refusals")
        expect(not daemon.log.find(r"closed: "), "no record a connection")


main(globals())
