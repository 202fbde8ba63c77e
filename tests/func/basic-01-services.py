#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The small services do what their RFCs say, over every kind of address."""
import os
import struct
import time

from cpharness import Daemon, Skip, connect_to, expect, expect_equal, expect_match, has_ipv6, main, scaled

SERVICES = ("echo", "discard", "daytime", "time", "chargen")
KINDS = ("tcp4", "tcp6", "path", "abstract")
# RFC 868 counts from 1900, the Unix clock from 1970.
SECONDS_1900_TO_1970 = 2208988800


def listeners():
    v6 = '"tcp:[::1]:0", ' if has_ipv6() else ""
    return ",\n".join(
        f'{{ name = "{name}"; service = "{name}"; address = [ "tcp:127.0.0.1:0", {v6}"unix:@DIR@/{name}.sock", '
        f'"unix:@connpoold-test-{os.getpid()}-{name}" ]; }}' for name in SERVICES)


def on_each_address(service, check):
    """check(client) on a fresh connection over each kind of address, and the record that each leaves."""
    with Daemon(listeners=listeners()) as daemon:
        kinds = [kind for kind in KINDS if kind != "tcp6" or has_ipv6()]
        for index, kind in enumerate(kinds):
            mark = daemon.log.mark()
            with daemon.connect(service, index) as client:
                name = client.name()
                print(f"  {service} over {kind}: {daemon.addresses(service)[index]}")
                sent, received = check(client)
            record = daemon.wait_closed(client=name, since=mark)
            expect_equal(record["listener"], service, "listener of the record")
            if sent is not None:
                expect_equal(int(record["bytes_in"]), sent, "bytes in of the record")
            if received is not None:
                expect_equal(int(record["bytes_out"]), received, "bytes out of the record")
        expect_equal(len(daemon.log.find(r"^.*connection \d+ from .* closed: ")), len(kinds), "records")


def test_echo_gives_back_every_byte_and_honours_half_close():
    def check(client):
        data = os.urandom(50000)
        client.send(data)
        client.shutdown_write()
        expect_equal(client.recv_all(), data, "echo")
        return len(data), len(data)
    on_each_address("echo", check)


def test_echo_of_many_small_messages_in_one_connection():
    def check(client):
        rounds = scaled(200, 10)
        for number in range(rounds):
            client.expect_echo(b"message %06d\n" % number)
        client.shutdown_write()
        client.expect_end()
        return 15 * rounds, 15 * rounds
    on_each_address("echo", check)


def test_discard_takes_everything_and_says_nothing():
    def check(client):
        client.send(bytes(300000))
        client.shutdown_write()
        client.expect_end()
        return 300000, 0
    on_each_address("discard", check)


def test_daytime_sends_one_line_with_the_date_and_closes():
    def check(client):
        years = {time.strftime("%Y"), time.strftime("%Y", time.gmtime())}
        text = client.recv_all()
        years |= {time.strftime("%Y"), time.strftime("%Y", time.gmtime())}
        expect(text.endswith(b"\r\n") and text.count(b"\n") == 1, f"one line that ends with CR LF: {text!r}")
        expect(all(32 <= byte < 127 for byte in text[:-2]), f"printable ASCII: {text!r}")
        expect_match("|".join(years), text.decode(), "daytime")
        expect_match(r"\d\d:\d\d:\d\d", text.decode(), "daytime")
        return 0, len(text)
    on_each_address("daytime", check)


def test_time_sends_the_seconds_since_1900_and_closes():
    def check(client):
        begin = int(time.time())
        data = client.recv_all()
        end = int(time.time())
        expect_equal(len(data), 4, "length")
        seconds = struct.unpack("!I", data)[0] - SECONDS_1900_TO_1970
        # A second less: the kernel's coarse clock may be behind by one tick.
        expect(begin - 1 <= seconds <= end, f"time: {begin} <= {seconds} <= {end}")
        return 0, 4
    on_each_address("time", check)


def test_chargen_sends_the_rotating_pattern_for_as_long_as_it_is_read():
    def check(client):
        ring = bytes(range(32, 127))
        lines = 1000
        data = client.recv_exactly(lines * 74)
        for number in range(lines):
            begin = number % len(ring)
            line = data[number * 74:(number + 1) * 74]
            expect_equal(line, (ring + ring)[begin:begin + 72] + b"\r\n", f"line {number}")
        return 0, None
    on_each_address("chargen", check)


def test_chargen_and_daytime_do_not_mind_what_the_client_sends():
    with Daemon(listeners=listeners()) as daemon:
        with daemon.connect("chargen") as client:
            client.send(bytes(20000))
            client.recv_exactly(74 * 100)
        with daemon.connect("daytime") as client:
            client.send(b"what time is it?\n")
            expect(client.recv_all().endswith(b"\r\n"), "the whole line")


def test_tcp_star_takes_ipv4_and_ipv6():
    if not has_ipv6():
        raise Skip("there is no IPv6 here")
    with Daemon(listeners='{ name = "any"; address = "tcp:*:0"; service = "echo"; }') as daemon:
        port = daemon.port("any")
        for address in (f"tcp:127.0.0.1:{port}", f"tcp:[::1]:{port}"):
            with connect_to(address) as client:
                client.expect_echo()
                name = client.name()
            # A client over IPv4 is written as one, not as [::ffff:127.0.0.1].
            daemon.wait_closed(client=name)


main(globals())
