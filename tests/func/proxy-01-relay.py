#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What goes in at one side of a relay comes out at the other: bytes, ends, resets, and pressure."""
import hashlib
import os
import socket
import tempfile
import threading
import time

from cpharness import SLOWNESS, Failure, Skip, expect, expect_equal, expect_match, has_ipv6, main
from proxylib import Backend, ask_on, digest, digest_of, echo, greet, hold, parts, proxied, recv_line, who
from soaklib import memory_bytes, size

BLOCK = os.urandom(1 << 20)
# MiB of one direction of a bulk transfer, and of a sender that nobody reads from: far more than all buffers of the way.
BULK = max(8, size(48, 1024))
POURED = 64


def send_bulk(peer):
    """Returns the checksum of what it sent."""
    checksum = hashlib.sha256()
    for number in range(BULK):
        block = number.to_bytes(4, "big") + BLOCK
        checksum.update(block)
        peer.send(block)
    return checksum.hexdigest()


class Thread(threading.Thread):
    """Its result, or its exception, is result()'s."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self.function, self.args, self.value, self.error = function, args, None, None
        self.start()

    def run(self):
        try:
            self.value = self.function(*self.args)
        except BaseException as error:
            self.error = error

    def result(self):
        self.join()
        if self.error:
            raise self.error
        return self.value


def expect_relayed(daemon, backend):
    with daemon.connect("front") as client:
        for word in (b"x", b"hello", b"y" * 5000):
            expect_equal(ask_on(client, word), backend.name, "who answers")
        backend.wait_active(1)
        name = client.name()
    record = daemon.wait_closed(client=name)
    expect_equal(record["end"], "client", "end")
    expect_equal((record["bytes_in"], record["bytes_out"]), ("5009", "5015"), "bytes in and out")
    expect_equal(record["server"], backend.address, "the server in the record")
    backend.wait_active(0)
    expect_equal(backend.troubles, [], "what the server saw")


def test_tcp_to_tcp():
    with Backend(who, "s") as backend, proxied([backend.server()]) as daemon:
        expect_relayed(daemon, backend)


def test_unix_to_tcp():
    with Backend(who, "s") as backend, proxied([backend.server()], address='"unix:@DIR@/front.sock"') as daemon:
        expect_relayed(daemon, backend)


def test_tcp_to_unix():
    with tempfile.TemporaryDirectory() as folder, Backend(who, "s", path=f"{folder}/s.sock") as backend, \
            proxied([backend.server()]) as daemon:
        expect_relayed(daemon, backend)


def test_unix_to_unix():
    with tempfile.TemporaryDirectory() as folder, Backend(who, "s", path=f"{folder}/s.sock") as backend, \
            proxied([backend.server()], address='"unix:@DIR@/front.sock"') as daemon:
        expect_relayed(daemon, backend)


def test_ipv6_on_both_sides():
    if not has_ipv6():
        raise Skip("there is no IPv6 here")
    with Backend(who, "s", host="::1") as backend, proxied([backend.server()], address='"tcp:[::1]:0"') as daemon:
        expect_relayed(daemon, backend)


def test_a_classic_pool_relays_too():
    with Backend(who, "s") as backend, \
            proxied([backend.server()], pools="main: { workers = 2; connections_per_worker = 1; };") as daemon:
        for _ in range(3):
            expect_relayed(daemon, backend)


def test_the_server_speaks_first():
    with Backend(greet, "s") as backend, proxied([backend.server()]) as daemon, daemon.connect("front") as client:
        expect_equal(recv_line(client), b"220 s ready\r\n", "greeting")
        client.expect_echo()


def test_the_server_ends_first():
    with Backend(lambda backend, peer: peer.send(b"bye\n"), "s") as backend, proxied([backend.server()]) as daemon, \
            daemon.connect("front") as client:
        expect_equal(client.recv_all(), b"bye\n", "all of it")
        name = client.name()
        client.close()
        expect_equal(daemon.wait_closed(client=name)["end"], "server", "end")


def test_a_half_close_by_the_client_goes_through_and_the_reply_comes_back():
    with Backend(digest, "s") as backend, proxied([backend.server()]) as daemon, daemon.connect("front") as client:
        sent = send_bulk(client)
        client.shutdown_write()
        expect_equal(client.recv_all().decode(), sent, "checksum by the server")
        record = daemon.wait_closed(client=client.name())
        expect_equal(int(record["bytes_in"]), BULK * (len(BLOCK) + 4), "bytes in")
        expect_equal(record["bytes_out"], "64", "bytes out")


def test_a_half_close_by_the_server_goes_through_and_the_client_goes_on():
    def pour_then_take(backend, peer):
        backend.note(send_bulk(peer))
        peer.shutdown_write()
        backend.note(digest_of(peer))

    with Backend(pour_then_take, "s") as backend, proxied([backend.server()]) as daemon, \
            daemon.connect("front") as client:
        got = digest_of(client)
        sent = send_bulk(client)
        client.shutdown_write()
        backend.wait_notes(2)
        expect_equal([got, sent], backend.notes, "checksums")
        client.expect_end()


def test_both_directions_at_once_do_not_stop_each_other():
    def both(backend, peer):
        sender = Thread(send_bulk, peer)
        got = digest_of(peer)
        backend.note((sender.result(), got))

    with Backend(both, "s") as backend, proxied([backend.server()]) as daemon, daemon.connect("front") as client:
        reader = Thread(client.recv_exactly, BULK * (len(BLOCK) + 4))
        sent = send_bulk(client)
        got = hashlib.sha256(reader.result()).hexdigest()
        client.shutdown_write()
        client.expect_end()
        backend.wait_notes(1)
        expect_equal(backend.notes, [(got, sent)], "checksums")


def test_small_messages_keep_their_order_and_number():
    with Backend(echo, "s") as backend, proxied([backend.server()]) as daemon, daemon.connect("front") as client:
        words = [b"%d:" % number + BLOCK[number:number + number % 97] for number in range(size(3000, 100000))]
        reader = Thread(client.recv_exactly, sum(map(len, words)))
        for word in words:
            client.send(word)
        expect(reader.result() == b"".join(words), "what came back is what was sent")


def settled(counter):
    """Its value once it has not changed for a second. Should it only have been slow, the test has seen less."""
    value, same = counter(), 0
    while same < 20:
        time.sleep(0.05)
        now = counter()
        value, same = now, same + 1 if now == value else 0
    return value


def test_a_client_that_does_not_read_stops_the_server_and_costs_no_memory():
    poured = [0] * 4

    def pour(backend, peer):
        with backend.changed:
            number = backend.accepted - 1
        peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        for _ in range(POURED * 16):
            peer.send(BLOCK[:1 << 16])
            poured[number] += 1 << 16

    with Backend(pour, "s") as backend, proxied([backend.server()], "", 'send_buffer = "64KiB";') as daemon:
        memory = memory_bytes(daemon)
        clients = []
        for count in range(len(poured)):
            clients.append(daemon.connect("front"))
            backend.wait_accepted(count + 1)
        expect(0 < settled(lambda: sum(poured)), "something was sent")
        for sent in poured:
            expect(sent < POURED << 20, f"the server could send {sent} bytes that nobody read")
        grown = memory_bytes(daemon) - memory
        expect(grown < (1 << 20) * len(poured) * SLOWNESS, f"the daemon's memory has grown by {grown} bytes")
        # Nothing is lost, and it goes on as soon as somebody reads.
        for client in clients:
            expect_equal(len(client.recv_all()), POURED << 20, "all bytes after all")
            client.close()


def test_a_server_that_does_not_read_stops_the_client():
    go_on = threading.Event()

    def take_late(backend, peer):
        go_on.wait()
        backend.note(digest_of(peer))

    with Backend(take_late, "s") as backend, proxied([backend.server()], "", 'receive_buffer = "64KiB";') as daemon, \
            daemon.connect("front") as client:
        memory, sent = memory_bytes(daemon), [0]
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)

        def pour():
            for _ in range(POURED):
                client.send(BLOCK)
                sent[0] += len(BLOCK)
            client.shutdown_write()

        sender = Thread(pour)
        stopped_at = settled(lambda: sent[0])
        go_on.set()
        sender.result()
        expect(stopped_at < POURED << 20, f"the client could send {stopped_at} bytes that nobody read")
        expect(memory_bytes(daemon) - memory < (1 << 20) * SLOWNESS, "the daemon's memory is bounded")
        backend.wait_notes(1)
        expect_equal(backend.notes, [hashlib.sha256(BLOCK * POURED).hexdigest()], "checksum")


def test_a_reset_by_the_server_is_a_reset_for_the_client():
    def reset_after_a_line(_backend, peer):
        recv_line(peer)
        peer.reset()

    with Backend(reset_after_a_line, "s") as backend, proxied([backend.server()]) as daemon, \
            daemon.connect("front") as client:
        client.send(b"hello\n")
        try:
            got = client.recv_all()
            raise Failure(f"the client saw an orderly end after {got!r}")
        except ConnectionResetError:
            pass
        record = daemon.wait_closed(client=client.name())
        expect_equal(record["end"], "server-reset", "end")


def test_a_reset_by_the_client_is_a_reset_for_the_server():
    with Backend(who, "s") as backend, proxied([backend.server()]) as daemon:
        client = daemon.connect("front")
        ask_on(client)
        name = client.name()
        client.reset()
        expect_equal(daemon.wait_closed(client=name)["end"], "client-reset", "end")
        backend.wait_active(0)
        expect_equal(backend.troubles, ["ConnectionResetError"], "what the server saw")


def test_a_stop_ends_relayed_connections_when_the_time_is_over():
    with Backend(hold, "s") as backend, proxied([backend.server()], daemon='drain_timeout = "100ms";') as daemon, \
            daemon.connect("front") as client:
        backend.wait_active(1)
        name = client.name()
        expect_equal(daemon.stop(), 0, "exit status")
        expect_equal(daemon.wait_closed(client=name)["end"], "drain", "end")
        backend.wait_active(0)


def test_a_stop_lets_relayed_connections_end_by_themselves():
    with Backend(who, "s") as backend, proxied([backend.server()], daemon='drain_timeout = "1h";') as daemon:
        client = daemon.connect("front")
        ask_on(client)
        mark = daemon.log.mark()
        daemon.kill(15)
        # It has stopped accepting, and relays on.
        daemon.wait_log(r"stopping|drain", since=mark)
        expect_equal(ask_on(client, b"still there?"), "s", "who answers")
        name = client.name()
        client.close()
        expect_equal(daemon.wait_exit(), 0, "exit status")
        expect_equal(daemon.wait_closed(client=name)["end"], "client", "end")


def test_an_unknown_upstream_is_an_error_of_the_config():
    keys = parts(['{ address = "tcp:127.0.0.1:9"; }'])
    keys["listeners"] = keys["listeners"].replace('"web"', '"wep"')
    with proxied(['{ address = "tcp:127.0.0.1:9"; }']) as daemon:
        outcome = daemon.reload(**keys)
        expect_match(r"reload failed", outcome, "the outcome")
        daemon.wait_log(r"wep")


main(globals())
