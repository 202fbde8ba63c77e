#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""connpool-client connect: half-closes both ways, much data, addresses that fail, standard streams that are stuck."""
import contextlib
import fcntl
import hashlib
import os
import pty
import socket
import subprocess
import tempfile
import threading

from clientlib import (CLIENT, PATIENCE_S, Server, echo, expect, expect_equal, expect_status, free_port, main,
                       read_all, reset, run, temporary_folder)

MUCH = 64 << 20


def end_of_input_is_passed_on_and_the_answer_read():
    def serve(connection):
        asked = read_all(connection)
        connection.sendall(b"%d bytes, then the end\n" % len(asked))

    with Server(serve) as server:
        done = run("connect", server.address, input=b"x" * 1000)
        expect_status(done, 0)
        expect_equal(done.stdout, b"1000 bytes, then the end\n", "the answer after the half-close")


def input_is_sent_on_after_the_peer_has_ended_its_side():
    received = []
    seen = threading.Event()

    def serve(connection):
        connection.sendall(b"that is all from me\n")
        connection.shutdown(socket.SHUT_WR)
        received.append(read_all(connection))
        seen.set()

    with Server(serve) as server:
        with subprocess.Popen([CLIENT, "connect", server.address], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as client:
            # Standard output ends while standard input is still open.
            expect_equal(client.stdout.read(), b"that is all from me\n", "output")
            client.stdin.write(b"but not from me\n")
            client.stdin.close()
            expect_equal(client.wait(PATIENCE_S), 0, "exit status")
        expect(seen.wait(PATIENCE_S), "the server never saw the end")
        expect_equal(received, [b"but not from me\n"], "what the server read after its own end")


def much_comes_back_unchanged(path=None):
    with Server(echo, path) as server, tempfile.TemporaryFile(dir="/tmp") as source, \
            tempfile.TemporaryFile(dir="/tmp") as sink:
        digest = hashlib.sha256()
        for _ in range(MUCH >> 20):
            block = os.urandom(1 << 20)
            digest.update(block)
            source.write(block)
        source.seek(0)
        expect_status(run("connect", server.address, stdin=source, stdout=sink), 0)
        sink.seek(0)
        back = hashlib.sha256()
        size = 0
        while block := sink.read(1 << 20):
            back.update(block)
            size += len(block)
        expect_equal(size, MUCH, "bytes")
        expect_equal(back.hexdigest(), digest.hexdigest(), "sha256")


def much_comes_back_over_tcp():
    much_comes_back_unchanged()


def much_comes_back_over_a_unix_socket():
    with temporary_folder() as folder:
        much_comes_back_unchanged(os.path.join(folder, "echo.sock"))


def every_form_of_address_connects():
    with temporary_folder() as folder, Server(echo) as tcp, Server(echo, f"{folder}/a.sock") as path, \
            Server(echo, f"@connpool-client-{os.getpid()}") as abstract:
        for address in (tcp.address, f"127.0.0.1:{tcp.port}", path.address, f"{folder}/a.sock", abstract.address,
                        abstract.address[len("unix:"):]):
            done = run("connect", address, input=b"hello")
            expect_status(done, 0)
            expect_equal(done.stdout, b"hello", address)


def nobody_listening_is_said_with_every_address():
    holder, port = free_port()
    with holder:
        done = run("connect", f"tcp:127.0.0.1:{port}")
        expect_status(done, 1)
        expect(f"127.0.0.1:{port}: Connection refused".encode() in done.stderr, done.stderr)
        # The star is the loopback address of both families.
        done = run("connect", f"tcp:*:{port}")
        expect_status(done, 1)
        for address in (b"[::1]:", b"127.0.0.1:"):
            expect(address in done.stderr, f"{address} is missing: {done.stderr}")
    expect_status(run("connect", "/nowhere/at/all.sock"), 1)
    expect_status(run("connect", "no-such-host.invalid:80"), 1)


def the_second_address_is_tried_when_the_first_fails():
    with Server(echo) as server:
        # ::1 comes first and nobody listens there.
        done = run("connect", f"tcp:*:{server.port}", input=b"second")
        expect_status(done, 0)
        expect_equal(done.stdout, b"second", "output")
        expect_status(run("connect", "-4", f"tcp:*:{server.port}", input=b"x"), 0)
        done = run("connect", "-6", f"tcp:*:{server.port}")
        expect_status(done, 1)
        expect(b"127.0.0.1" not in done.stderr, f"-6 tried IPv4: {done.stderr}")


def a_reset_is_a_failure_after_what_had_arrived():
    def serve(connection):
        connection.sendall(b"partly")
        connection.recv(1)
        reset(connection)

    with Server(serve) as server:
        with subprocess.Popen([CLIENT, "connect", server.address], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as client:
            expect_equal(client.stdout.read(6), b"partly", "output")
            client.stdin.write(b"x")
            client.stdin.flush()
            expect_equal(client.wait(PATIENCE_S), 1, "exit status")
            expect(b"Connection reset" in client.stderr.read(), "no word of the reset")


def flood(connection):
    with contextlib.suppress(OSError):
        connection.sendall(b"y" * MUCH)


def stuck_output_does_not_stop_sending():
    received = threading.Event()

    def serve(connection):
        # Far more than a pipe takes; the thread for it is stuck until the client reads again.
        threading.Thread(target=flood, args=(connection,), daemon=True).start()
        for _ in range(MUCH >> 16):
            left = 1 << 16
            while left:
                left -= len(connection.recv(left))
        received.set()
        read_all(connection)

    with Server(serve) as server, tempfile.TemporaryFile(dir="/tmp") as source:
        source.truncate(MUCH)
        with subprocess.Popen([CLIENT, "connect", server.address], stdin=source, stdout=subprocess.PIPE) as client:
            expect(received.wait(PATIENCE_S), "sending stopped while nobody read the output")
            client.kill()


def shared_streams_stay_blocking():
    inner, outer = os.pipe()
    with Server(echo) as server:
        expect_status(run("connect", server.address, input=b"x", stdout=outer), 0)
    for fd in (inner, outer):
        expect(not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK, "a pipe of ours was made non-blocking")
        os.close(fd)


def a_terminal_works_and_stays_blocking():
    master, slave = pty.openpty()
    with Server(echo) as server:
        with subprocess.Popen([CLIENT, "connect", server.address], stdin=slave, stdout=slave) as client:
            os.write(master, b"typed\n")
            seen = b""
            # Once by the terminal's own echo, once by the server's.
            while seen.count(b"typed") < 2:
                seen += os.read(master, 1000)
            os.write(master, b"\x04")
            expect_equal(client.wait(PATIENCE_S), 0, "exit status")
    expect(not fcntl.fcntl(slave, fcntl.F_GETFL) & os.O_NONBLOCK, "the terminal was made non-blocking")
    os.close(slave)
    os.close(master)


def output_that_nobody_reads_ends_it():
    inner, outer = os.pipe()
    os.close(inner)
    with Server(echo) as server, tempfile.TemporaryFile(dir="/tmp") as source:
        source.truncate(1 << 20)
        done = run("connect", server.address, stdin=source, stdout=outer)
        expect_status(done, 1)
        expect(b"standard output" in done.stderr, done.stderr)
    os.close(outer)


def a_closed_standard_input_is_an_empty_one():
    with Server(echo) as server:
        done = subprocess.run(["sh", "-c", 'exec "$0" connect "$1" <&- 2>&1', CLIENT, server.address], check=False,
                              stdout=subprocess.PIPE, timeout=PATIENCE_S)
        expect_equal((done.returncode, done.stdout), (0, b""), "status and output")


def a_silent_peer_is_left_after_the_idle_time():
    with Server(read_all_and_wait) as server:
        done = run("connect", "--idle-timeout", "50ms", server.address)
        expect_status(done, 1)
        expect(b"idle" in done.stderr, done.stderr)


def read_all_and_wait(connection):
    read_all(connection)
    threading.Event().wait(PATIENCE_S)


main(end_of_input_is_passed_on_and_the_answer_read, input_is_sent_on_after_the_peer_has_ended_its_side,
     much_comes_back_over_tcp, much_comes_back_over_a_unix_socket, every_form_of_address_connects,
     nobody_listening_is_said_with_every_address, the_second_address_is_tried_when_the_first_fails,
     a_reset_is_a_failure_after_what_had_arrived, stuck_output_does_not_stop_sending, shared_streams_stay_blocking,
     a_terminal_works_and_stays_blocking, output_that_nobody_reads_ends_it, a_closed_standard_input_is_an_empty_one,
     a_silent_peer_is_left_after_the_idle_time)
