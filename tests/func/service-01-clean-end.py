#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clean ends: what a client was sent arrives, whatever it was sending itself."""
import threading

from cpharness import Daemon, expect, expect_equal, main, scaled


def daemon_with(service, more=""):
    addresses = '[ "tcp:127.0.0.1:0", "unix:@DIR@/s.sock" ]'
    return Daemon(listeners=f'{{ name = "s"; address = {addresses}; service = "{service}"; {more} }}')


def test_a_reply_survives_input_that_nobody_reads():
    with daemon_with("daytime") as daemon:
        for index in (0, 1):
            for number in range(scaled(100, 20)):
                with daemon.connect("s", index) as client:
                    # More than one packet, sent while the service may already be done.
                    try:
                        client.send(b"x" * 30000)
                    except (BrokenPipeError, ConnectionResetError):
                        # A Unix socket says at once that the other end has closed; what it sent is still there.
                        expect(index == 1, f"round {number}: sending failed on TCP")
                    text = client.recv_all()
                expect(text.endswith(b"\r\n") and len(text) > 10, f"round {number}: the whole line, not {text!r}")


def test_a_client_that_sends_without_end_does_not_stay_for_ever():
    with daemon_with("time") as daemon:
        client = daemon.connect("s")
        sent = 0
        try:
            while sent < 1 << 30:
                client.send(bytes(1 << 16))
                sent += 1 << 16
        except (ConnectionResetError, BrokenPipeError):
            pass
        expect(sent < 1 << 30, "it was let go on for a GiB")
        daemon.wait_closed(client=client.name() if client.sock.fileno() >= 0 else None)


def test_who_ended_it_is_in_the_record():
    with daemon_with("daytime") as daemon, daemon.connect("s") as client:
        client.recv_all()
        expect_equal(daemon.wait_closed(client=client.name())["end"], "service", "end of daytime")
    with daemon_with("echo") as daemon:
        with daemon.connect("s") as client:
            client.expect_echo()
            name = client.name()
        expect_equal(daemon.wait_closed(client=name)["end"], "client", "end of echo")
        with daemon.connect("s") as client:
            client.expect_echo()
            name = client.name()
            client.reset()
        expect_equal(daemon.wait_closed(client=name)["end"], "client-reset", "end by a reset")


def test_a_big_reply_arrives_whole_after_half_close():
    size = scaled(64 << 20, 4 << 20)
    with daemon_with("echo") as daemon:
        with daemon.connect("s") as client:
            def send():
                client.send(bytes(size))
                client.shutdown_write()
            sender = threading.Thread(target=send)
            sender.start()
            got = 0
            while part := client.recv_some(1 << 20):
                got += len(part)
            sender.join()
            expect_equal(got, size, "bytes echoed")


def test_clients_that_come_and_go_at_once_are_all_accounted():
    with daemon_with("echo") as daemon:
        for number in range(300):
            client = daemon.connect("s")
            if number % 3 == 0:
                client.reset()
            elif number % 3 == 1:
                client.close()
            else:
                client.send(b"x")
                client.reset()
        with daemon.connect("s") as client:
            client.expect_echo()
        # Some resets may come while it is queued and are summed up with the refusals.
        expect_equal(daemon.wait_accounted(301), 301, "connections accounted")


main(globals())
