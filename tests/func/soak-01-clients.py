#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients that others wrote: each finds what it expects. A test is skipped where its program is not installed."""
import hashlib
import os
import socket
import subprocess
import threading

from cpharness import Daemon, eventually, expect, expect_equal, main
from soaklib import Crowd, holdable, need_program, size

LISTENERS = ('{ name = "echo"; address = "tcp:127.0.0.1:0"; service = "echo"; backlog = 20000; },'
             '{ name = "unix"; address = "unix:@DIR@/echo.sock"; service = "echo"; },'
             '{ name = "daytime"; address = "tcp:127.0.0.1:0"; service = "daytime"; }')
STREAM_BYTES = size(64, 1024) << 20
REQUESTS = size(20000, 1000000)
# Of a foreign program, in seconds.
PATIENCE = 600
TEXT = b"".join(b"line %d of a text that is not short\n" % number for number in range(2000))


def serving():
    return Daemon(listeners=LISTENERS, pools="main: { connections_per_worker = 20000; };", log="connections = false;")


def run(command, data=b""):
    """Standard output of a program that must end well."""
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE,
                          check=False)
    expect_equal(done.returncode, 0, f"exit status of {command} ({done.stderr.decode()})")
    return done.stdout


# ---- redis-benchmark: its PING is what an echo server answers correctly -----------------------


def redis_benchmark(clients, pipeline, requests=REQUESTS):
    program = need_program("redis-benchmark")
    with serving() as daemon:
        text = run([program, "-p", str(daemon.port("echo")), "-t", "ping_mbulk", "-n", str(requests),
                    "-c", str(clients), "-P", str(pipeline), "--csv"]).decode()
        line = [line for line in text.splitlines() if "PING" in line]
        expect(line, f"no result: {text}")
        print(f"  -c {clients} -P {pipeline}: {line[0]}")
        expect("rror" not in text, text)


def test_redis_benchmark_with_one_connection():
    redis_benchmark(1, 1, REQUESTS // 4)


def test_redis_benchmark_with_many_connections():
    for clients in (50, size(200, 1000)):
        redis_benchmark(clients, 1)


def test_redis_benchmark_with_requests_in_a_row():
    redis_benchmark(50, 16)


# ---- one connection each --------------------------------------------------------------------


def test_socat():
    socat = need_program("socat")
    with serving() as daemon:
        for address in (f"TCP:127.0.0.1:{daemon.port('echo')}", f"UNIX-CONNECT:{daemon.dir}/echo.sock"):
            expect_equal(run([socat, "-t", "30", "STDIO", address], TEXT), TEXT, "echo")


def test_ncat():
    ncat = need_program("ncat")
    with serving() as daemon:
        expect_equal(run([ncat, "127.0.0.1", str(daemon.port("echo"))], TEXT), TEXT, "echo")
        expect_equal(run([ncat, "-U", f"{daemon.dir}/echo.sock"], TEXT), TEXT, "echo")


def test_nc():
    nc = need_program("nc.openbsd")
    with serving() as daemon:
        expect_equal(run([nc, "-N", "127.0.0.1", str(daemon.port("echo"))], TEXT), TEXT, "echo")
        expect_equal(run([nc, "-N", "-U", f"{daemon.dir}/echo.sock"], TEXT), TEXT, "echo")
        expect(len(run([nc, "-d", "127.0.0.1", str(daemon.port("daytime"))])) > 10, "a date")


def test_curl():
    curl = need_program("curl")
    with serving() as daemon:
        expect(len(run([curl, "-sN", f"telnet://127.0.0.1:{daemon.port('daytime')}"])) > 10, "a date")


def test_python_line_by_line():
    with serving() as daemon, socket.create_connection(("127.0.0.1", daemon.port("echo"))) as sock:
        with sock.makefile("rwb") as stream:
            for number in range(100):
                stream.write(b"number %d\n" % number)
                stream.flush()
                expect_equal(stream.readline(), b"number %d\n" % number, "line")


# ---- a long stream ----------------------------------------------------------------------------


def feed(stream, digest):
    """Bytes that differ everywhere, and what they are."""
    block, left = os.urandom(1 << 20), STREAM_BYTES
    while left:
        part = left.to_bytes(8, "big") + block[8:]
        digest.update(part)
        stream.write(part)
        left -= len(part)
    stream.close()


def stream_through(where):
    socat = need_program("socat")
    with serving() as daemon:
        process = subprocess.Popen([socat, "-t", "60", "-b", "262144", "STDIO", where(daemon)], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        sent, received, count = hashlib.sha256(), hashlib.sha256(), 0
        feeder = threading.Thread(target=feed, args=(process.stdin, sent))
        feeder.start()
        while part := process.stdout.read1(1 << 20):
            received.update(part)
            count += len(part)
        feeder.join()
        process.stdout.close()
        expect_equal(process.wait(), 0, "socat's exit status")
        expect_equal(count, STREAM_BYTES, "bytes that came back")
        expect_equal(received.hexdigest(), sent.hexdigest(), "sha256 of what came back")
        print(f"  {STREAM_BYTES >> 20} MiB, sha256 {sent.hexdigest()[:16]}... both ways")


def test_a_long_stream_over_tcp():
    stream_through(lambda daemon: f"TCP:127.0.0.1:{daemon.port('echo')}")


def test_a_long_stream_over_a_unix_socket():
    stream_through(lambda daemon: f"UNIX-CONNECT:{daemon.dir}/echo.sock")


# ---- many at once ---------------------------------------------------------------------------------


def test_a_hold():
    """So many connections open at once, in another process; all of them are spoken with, more than once."""
    count = holdable(size(2000, 10000))
    with serving() as daemon:
        before = daemon.fd_count()
        with Crowd(daemon.addresses("echo")[0], spread=True) as crowd:
            expect_equal(crowd.expect_well("open", count)["open"], count, "open")
            for _ in range(3):
                crowd.expect_well("echo", 100)
            expect(daemon.fd_count() >= before + count, "they are all there")
            print(f"  {count} connections held, {daemon.fd_count()} descriptors")
            crowd.expect_well("close")
        eventually(lambda: daemon.fd_count() <= before + 1, lambda: f"{daemon.fd_count()} descriptors, {before} before")


main(globals())
