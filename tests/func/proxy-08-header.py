#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The PROXY protocol: taken from proxies in front, for any service; sent to servers behind."""
import re

from cpharness import Daemon, Skip, expect, expect_equal, has_ipv6, main
from proxylib import (V2_SIGNATURE, Backend, ask_on, front, greet, head, parts, proxied, proxy_tlv, proxy_v1, proxy_v2,
                      recv_line, recv_proxy_header, upstream, who)

CLIENT = "198.51.100.7"
TRUSTED = 'accept_proxy = true; trusted_proxies = "127.0.0.0/8";'
BOTH = (proxy_v1, proxy_v2)


def echoing(more=TRUSTED, service="echo", address='"tcp:127.0.0.1:0"', **rest):
    return Daemon(listeners=f'{{ name = "front"; address = {address}; service = "{service}"; {more} }}', **rest)


def expect_counted(daemon, count=1, reason="refused-proxy"):
    """The refusals are in the log, by their reason."""
    total, position = 0, 0
    while total < count:
        match, position = daemon.log.wait_next(rf"listener 'front': refused .*{reason} (\d+)", position)
        total += int(match.group(1))
    expect_equal(total, count, reason)


def expect_client(daemon, name, end="client"):
    record = daemon.wait_closed(client=name)
    expect_equal(record["end"], end, "end")
    return record


def test_the_client_in_the_header_is_the_client():
    with echoing() as daemon:
        for make in BOTH:
            for port in (11, 65535):
                with daemon.connect("front") as client:
                    client.send(make(CLIENT, "203.0.113.1", port))
                    client.expect_echo()
                record = expect_client(daemon, f"{CLIENT}:{port}")
                expect_equal((record["bytes_in"], record["bytes_out"]), ("6", "6"), "bytes, without the header")


def test_ipv6_in_the_header():
    with echoing() as daemon:
        for number, make in enumerate(BOTH):
            with daemon.connect("front") as client:
                client.send(make("2001:db8::7", "2001:db8::1", 40 + number))
                client.expect_echo()
            expect_client(daemon, f"[2001:db8::7]:{40 + number}")


def test_the_first_bytes_may_come_with_the_header():
    with echoing() as daemon:
        for make in BOTH:
            with daemon.connect("front") as client:
                client.send(make(CLIENT, "203.0.113.1") + b"hello")
                expect_equal(client.recv_exactly(5), b"hello", "echo")
                client.send(b"more")
                client.shutdown_write()
                expect_equal(client.recv_all(), b"more", "echo")


def test_the_header_may_come_byte_by_byte():
    with echoing() as daemon:
        for make in BOTH:
            with daemon.connect("front") as client:
                for byte in make(CLIENT, "203.0.113.1"):
                    client.send(bytes([byte]))
                client.expect_echo()
        expect_equal(daemon.log.find("refused"), [], "refusals")


def test_unknown_and_local_leave_the_proxy_as_the_client():
    with echoing() as daemon:
        for header in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", proxy_v2(),
                       proxy_v2(more=proxy_tlv(4, b"x" * 50)), V2_SIGNATURE + b"\x21\x00\x00\x00"):
            with daemon.connect("front") as client:
                client.send(header)
                client.expect_echo()
                name = client.name()
            expect_client(daemon, name)


def test_what_follows_the_addresses_is_left_out():
    with echoing() as daemon, daemon.connect("front") as client:
        client.send(proxy_v2(CLIENT, "203.0.113.1", 5, more=proxy_tlv(4, bytes(900)) + proxy_tlv(0xEA, b"x")) + b"abc")
        expect_equal(client.recv_exactly(3), b"abc", "echo")
        client.close()
        expect_client(daemon, f"{CLIENT}:5")


def test_services_that_speak_first_wait_for_the_header():
    with echoing(service="daytime") as daemon, daemon.connect("front") as client:
        client.send(proxy_v1(CLIENT, "203.0.113.1", 9))
        expect(client.recv_all().endswith(b"\r\n"), "a line")
        client.close()
        daemon.wait_closed(client=f"{CLIENT}:9")


def test_the_proxy_service_takes_it_too():
    with Backend(greet, "s") as backend, proxied([backend.server()], "", TRUSTED) as daemon:
        for number, make in enumerate(BOTH):
            with daemon.connect("front") as client:
                client.send(make(CLIENT, "203.0.113.1", 70 + number) + b"early")
                expect_equal(recv_line(client), b"220 s ready\r\n", "greeting")
                expect_equal(client.recv_exactly(5), b"early", "echo")
            expect_client(daemon, f"{CLIENT}:{70 + number}")


def test_malformed_headers_are_refused_and_counted():
    bad = [b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 1.2.3.4\r\n", b"PROXY TCP4 1.2.3.4 5.6.7.8 99999 1\r\n",
           b"PROXY TCP4 1.2.3.400 5.6.7.8 1 1\r\n", b"PROXY TCP6 1.2.3.4 5.6.7.8 1 1\r\n", b"PROXY " + b"x" * 200,
           b"\r\n\r\n\0\r\nQUIT\x0b" + bytes(4), V2_SIGNATURE + b"\x31\x11\x00\x0c" + bytes(12),
           V2_SIGNATURE + b"\x21\x11\x00\x04" + bytes(4), V2_SIGNATURE + b"\x21\x11\xff\xff" + bytes(12)]
    with echoing() as daemon:
        for header in bad:
            with daemon.connect("front") as client:
                client.send(header)
                client.expect_refused()
        expect_counted(daemon, len(bad))
        with daemon.connect("front") as client:
            client.send(proxy_v1(CLIENT, "203.0.113.1"))
            client.expect_echo()


def test_whoever_ends_within_the_header_is_refused():
    with echoing() as daemon:
        for header in (b"", b"PROXY TCP4 1.2", V2_SIGNATURE[:7]):
            with daemon.connect("front") as client:
                client.send(header)
                client.shutdown_write()
                client.expect_refused()
        expect_counted(daemon, 3)


def test_a_header_that_does_not_come_in_time_is_refused():
    with echoing(TRUSTED + 'proxy_timeout = "200ms";') as daemon:
        for header in (b"", b"PROXY", V2_SIGNATURE):
            with daemon.connect("front") as client:
                client.send(header)
                client.expect_refused()
        expect_counted(daemon, 3)


def test_many_silent_ones_do_not_hold_up_the_others():
    with echoing(TRUSTED + 'proxy_timeout = "1h";', pools="main: { workers = 1; };") as daemon:
        silent = [daemon.connect("front") for _ in range(100)]
        with daemon.connect("front") as client:
            client.send(proxy_v1(CLIENT, "203.0.113.1"))
            client.expect_echo()
        for client in silent:
            client.close()


def test_only_trusted_proxies_may_say_it():
    with echoing('accept_proxy = true; trusted_proxies = [ "127.0.0.2", "10.0.0.0/8" ];') as daemon:
        with daemon.connect("front", source="127.0.0.2") as client:
            client.send(proxy_v2(CLIENT, "203.0.113.1"))
            client.expect_echo()
        for header in (proxy_v2(CLIENT, "203.0.113.1"), b"hello"):
            with daemon.connect("front", source="127.0.0.3") as client:
                client.sock.settimeout(60)
                try:
                    client.send(header)
                except ConnectionError:
                    pass
                client.expect_refused()
        expect_counted(daemon, 2)


def test_without_the_option_a_header_is_data():
    with echoing("") as daemon, daemon.connect("front") as client:
        client.expect_echo(proxy_v1(CLIENT, "203.0.113.1"))


def test_access_lists_are_about_the_client_in_the_header():
    with echoing(TRUSTED + f'deny = "{CLIENT}";') as daemon:
        with daemon.connect("front") as client:
            client.send(proxy_v1(CLIENT, "203.0.113.1"))
            client.expect_refused()
        expect_counted(daemon, 1, "refused-access")
        with daemon.connect("front") as client:
            client.send(proxy_v1("198.51.100.8", "203.0.113.1"))
            client.expect_echo()
    with echoing(TRUSTED + 'allow = "198.51.100.0/24";') as daemon:
        with daemon.connect("front") as client:
            client.send(proxy_v2(CLIENT, "203.0.113.1"))
            client.expect_echo()
        with daemon.connect("front") as client:
            client.send(proxy_v2("192.0.2.1", "203.0.113.1"))
            client.expect_refused()
        expect_counted(daemon, 1, "refused-access")


def test_the_limit_per_source_is_about_the_client_in_the_header():
    with echoing(TRUSTED + "max_per_source = 2;") as daemon:
        clients = []
        for source in (CLIENT, CLIENT, "198.51.100.8", "198.51.100.8"):
            clients.append(daemon.connect("front"))
            clients[-1].send(proxy_v1(source, "203.0.113.1"))
            clients[-1].expect_echo()
        with daemon.connect("front") as client:
            client.send(proxy_v1(CLIENT, "203.0.113.1"))
            client.expect_refused()
        expect_counted(daemon, 1, "refused-source")
        mark = daemon.log.mark()
        clients.pop(0).close()
        daemon.wait_closed(client=f"{CLIENT}:11111", since=mark)
        with daemon.connect("front") as client:
            client.send(proxy_v1(CLIENT, "203.0.113.1"))
            client.expect_echo()
        for client in clients:
            client.close()


def test_all_is_accounted():
    with echoing(TRUSTED + 'max_per_source = 1; deny = "192.0.2.0/24";') as daemon:
        held = daemon.connect("front")
        held.send(proxy_v1(CLIENT, "203.0.113.1"))
        held.expect_echo()
        for number in range(30):
            with daemon.connect("front") as client:
                client.send((proxy_v1(CLIENT, "203.0.113.1"), proxy_v1("192.0.2.9", "203.0.113.1"),
                             b"PROXY nonsense\r\n")[number % 3])
                client.expect_refused()
        held.close()
        daemon.wait_log(rf"from {re.escape(CLIENT)}:\d+\b.*closed: ")
        expect_equal(daemon.stop(), 0, "exit status")
        for reason in ("refused-source", "refused-access", "refused-proxy"):
            counts = [int(match.group(1)) for match in daemon.log.find(rf"listener 'front': refused .*{reason} (\d+)")]
            expect_equal(sum(counts), 10, reason)


# ---- sent to servers -------------------------------------------------------------------


def test_servers_are_told_who_the_client_is():
    for number, version in enumerate(("v1", "v2"), 1):
        with Backend(head, "s") as backend, proxied([backend.server(f'send_proxy = "{version}";')]) as daemon:
            with daemon.connect("front", source="127.0.0.9") as client:
                expect_equal(ask_on(client), "s", "who answers")
                name = client.sock.getsockname()
            expect_equal(backend.notes, [(number, (*name, "127.0.0.1", daemon.port("front")))], "header")


def test_servers_that_speak_first_are_told_too():
    def head_then_greet(backend, peer):
        backend.note(recv_proxy_header(peer))
        greet(backend, peer)

    with Backend(head_then_greet, "s") as backend, proxied([backend.server('send_proxy = "v2";')]) as daemon:
        with daemon.connect("front") as client:
            expect_equal(recv_line(client), b"220 s ready\r\n", "greeting")
            client.expect_echo()
            expect_equal(backend.notes[0][1][:2], client.sock.getsockname(), "the client in the header")


def test_servers_are_told_of_ipv6():
    if not has_ipv6():
        raise Skip("there is no IPv6 here")
    for number, version in enumerate(("v1", "v2"), 1):
        with Backend(head, "s") as backend, \
                proxied([backend.server(f'send_proxy = "{version}";')], address='"tcp:[::1]:0"') as daemon:
            with daemon.connect("front") as client:
                expect_equal(ask_on(client), "s", "who answers")
                name = client.sock.getsockname()
            expect_equal(backend.notes, [(number, ("::1", name[1], "::1", daemon.port("front")))], "header")


def test_a_client_without_an_address():
    for number, version in enumerate(("v1", "v2"), 1):
        with Backend(head, "s") as backend, \
                proxied([backend.server(f'send_proxy = "{version}";')], address='"unix:@DIR@/front.sock"') as daemon:
            with daemon.connect("front") as client:
                expect_equal(ask_on(client), "s", "who answers")
            expect_equal(backend.notes, [(number, None)], "header")


def test_only_the_servers_that_want_it_are_told():
    with Backend(head, "a") as a, Backend(who, "b") as b, \
            proxied([a.server('send_proxy = "v1";'), b.server()], 'balance = "round_robin";',
                    pools="main: { workers = 1; };") as daemon:
        names = []
        for _ in range(4):
            with daemon.connect("front") as client:
                names.append(ask_on(client))
        expect_equal(sorted(names), ["a", "a", "b", "b"], "answers")
        expect_equal(len(a.notes), 2, "headers")


def test_the_clients_address_goes_through_a_chain():
    for version in ("v1", "v2"):
        with Backend(head, "s") as backend:
            listeners = front(TRUSTED, "inner", '"unix:@DIR@/inner.sock"', upstream="last") + "," + \
                front(TRUSTED, "front", upstream="inner")
            with Daemon(listeners=listeners, more="upstreams: {" +
                        upstream("inner", [f'{{ address = "unix:@DIR@/inner.sock"; send_proxy = "{version}"; }}']) +
                        upstream("last", [backend.server(f'send_proxy = "{version}";')]) + "};") as daemon:
                with daemon.connect("front") as client:
                    client.send(proxy_v2(CLIENT, "203.0.113.1", 33, 44))
                    expect_equal(ask_on(client), "s", "who answers")
                expect_equal(backend.notes[0][1][:2], (CLIENT, 33), "the client at the end of the chain")
                for listener in ("front", "inner"):
                    daemon.wait_closed(client=f"{CLIENT}:33", listener=listener)


def test_source_hash_goes_by_the_client_in_the_header():
    with Backend(who, "a") as a, Backend(who, "b") as b, Backend(who, "c") as c, \
            proxied([a.server(), b.server(), c.server()], 'balance = "source_hash";', TRUSTED) as daemon:
        seen = {}
        for _ in range(2):
            for number in range(1, 31):
                with daemon.connect("front") as client:
                    client.send(proxy_v2(f"198.51.100.{number}", "203.0.113.1", 1000 + number))
                    name = ask_on(client)
                expect_equal(seen.setdefault(number, name), name, f"the server of {number}")
        expect_equal(set(seen.values()), {"a", "b", "c"}, "servers used")


def test_a_reload_turns_it_on_and_off():
    with Backend(head, "s") as backend, proxied([backend.server('send_proxy = "v1";')]) as daemon:
        with daemon.connect("front") as client:
            ask_on(client)
        backend.serve = who
        daemon.reload(**parts([backend.server()], "", TRUSTED))
        with daemon.connect("front") as client:
            client.send(proxy_v1(CLIENT, "203.0.113.1", 99))
            expect_equal(ask_on(client), "s", "who answers")
        daemon.wait_closed(client=f"{CLIENT}:99")


main(globals())
