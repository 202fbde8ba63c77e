#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""connpool-client bench: the sums add up, whatever the server does, and no wrong byte goes unseen."""
import json
import os
import signal
import subprocess
import threading

from clientlib import (CLIENT, PATIENCE_S, Server, echo, expect, expect_equal, expect_status, free_port, main,
                       read_all, reset, run, temporary_folder)


def bench(address, *args, status):
    done = run("bench", "--json", address, *args)
    expect_status(done, status)
    report = json.loads(done.stdout)
    check_sums(report)
    return report


def check_sums(report):
    expect_equal(sum(report["errors"].values()), report["failed"], "sum of the errors by kind")
    expect_equal(report["requests"], report["ok"] + report["failed"], "requests")
    latency = [report["latency_us"][key] for key in ("min", "p50", "p90", "p99", "p99.9", "max")]
    expect_equal(latency, sorted(latency), "quantiles in order")
    if report["ok"]:
        expect(latency[0] > 0, "the least latency is nothing")
        expect(latency[0] <= report["latency_us"]["mean"] <= latency[-1], "the mean is outside")


def requests_are_shared_by_connections_and_threads():
    with Server(echo) as server:
        report = bench(server.address, "-c", "8", "-t", "2", "-N", "1001", status=0)
        expect_equal((report["ok"], report["connects"]), (1001, 8), "requests and connections")
        expect_equal(server.connections, 8, "connections the server saw")
        expect_equal(report["config"]["connections"], 8, "the config in the report")


def each_request_may_have_its_own_connection():
    with temporary_folder() as folder, Server(echo, f"{folder}/x.sock") as server:
        report = bench(server.address, "-c", "4", "-N", "200", "--reconnect", status=0)
        expect_equal((report["ok"], report["connects"], server.connections), (200, 200, 200), "one for each")


def large_requests_make_the_round():
    with Server(echo) as server:
        report = bench(server.address, "-c", "2", "-N", "4", "-s", "8MiB", status=0)
        expect_equal(report["ok"], 4, "requests")


def a_rate_is_kept():
    with Server(echo) as server:
        report = bench(server.address, "-c", "4", "-t", "2", "-r", "500", "-d", "1s", status=0)
        expect_equal(report["requests"] + report["not_sent"], 500, "requests that were due")
        expect(report["ok"] > 0, "none was sent")


def a_stall_counts_from_when_requests_were_due():
    """One answer of ten comes 200 ms late; on one connection the nine behind it were due meanwhile."""
    def serve(connection):
        served = 0
        while data := connection.recv(100):
            if served == 0:
                threading.Event().wait(0.2)
            connection.sendall(data)
            served += 1

    with Server(serve) as server:
        report = bench(server.address, "-c", "1", "-r", "100", "-N", "10", "-s", "8", status=0)
        # The one in the middle was due at 40 or 50 ms and can't have had its answer before 200 ms.
        expect(report["latency_us"]["p50"] >= 140e3, f"the wait is left out: {report['latency_us']}")


def misbehaving(kind, serve, *args):
    with Server(serve) as server:
        report = bench(server.address, "-c", "3", "-N", "30", *args, status=1)
        expect_equal((report["errors"][kind], report["ok"]), (30, 0), f"{kind} and ok of {report['errors']}")


def one_wrong_bit_is_corruption():
    def serve(connection):
        while data := connection.recv(1 << 16):
            connection.sendall(data[:-1] + bytes([data[-1] ^ 1]))

    misbehaving("corrupted", serve)


def one_wrong_byte_in_a_long_stream_is_found():
    def serve(connection):
        count = 0
        while data := connection.recv(1 << 16):
            if count <= 700000 < count + len(data):
                place = 700000 - count
                data = data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1:]
            count += len(data)
            connection.sendall(data)

    with Server(serve) as server:
        report = bench(server.address, "-N", "1", "-s", "1MB", status=1)
        expect_equal(report["errors"]["corrupted"], 1, "corrupted")


def answers_of_another_connection_are_corruption():
    first = []

    def serve(connection):
        while data := connection.recv(1 << 16):
            first.append(data)
            connection.sendall(first[0])

    with Server(serve) as server:
        report = bench(server.address, "-c", "2", "-N", "2", status=1)
        expect_equal((report["ok"], report["errors"]["corrupted"]), (1, 1), "ok and corrupted")


def a_byte_too_many_is_corruption():
    def serve(connection):
        while data := connection.recv(1 << 16):
            connection.sendall(data + b"!")

    misbehaving("corrupted", serve)


def a_reset_is_a_reset():
    def serve(connection):
        connection.recv(1 << 16)
        reset(connection)

    misbehaving("reset", serve)


def half_an_answer_is_closed_early():
    def serve(connection):
        connection.sendall(connection.recv(1 << 16)[:10])

    misbehaving("closed_early", serve)


def no_answer_times_out():
    misbehaving("timed_out", read_all, "--timeout", "50ms")


def nobody_listening_is_refused_at_once():
    holder, port = free_port()
    with holder:
        # Were it not at once, it would take the hour.
        report = bench(f"127.0.0.1:{port}", "-c", "5", "-d", "1h", status=1)
        expect_equal((report["requests"], report["errors"]["refused"]), (5, 5), "requests and refused")
        report = bench(f"127.0.0.1:{port}", "-c", "2", "-N", "4", "-R", status=1)
        expect_equal((report["requests"], report["errors"]["refused"]), (4, 4), "requests and refused, reconnecting")


def the_second_address_is_used():
    with Server(echo) as server:
        report = bench(f"tcp:*:{server.port}", "-c", "2", "-N", "20", "-R", status=0)
        expect_equal(report["ok"], 20, "requests")


def an_interrupt_ends_it_with_its_report():
    started = threading.Event()

    def serve(connection):
        while data := connection.recv(1 << 16):
            started.set()
            connection.sendall(data)

    with Server(serve) as server:
        with subprocess.Popen([CLIENT, "bench", "--json", "-d", "1h", server.address],
                              stdout=subprocess.PIPE) as client:
            expect(started.wait(PATIENCE_S), "it never began")
            os.kill(client.pid, signal.SIGINT)
            report = json.loads(client.stdout.read())
            expect_equal(client.wait(PATIENCE_S), 0 if report["ok"] else 1, "exit status")
        check_sums(report)
        expect_equal(report["failed"], 0, "failures")


def the_text_has_what_the_json_has():
    with Server(echo) as server:
        done = run("bench", server.address, "-N", "50")
        expect_status(done, 0)
        for part in (b"50 ok, 0 failed", b"requests/s", b"p50 ", b"p90 ", b"p99 ", b"p99.9 ", b"max "):
            expect(part in done.stdout, f"no {part!r} in {done.stdout.decode()}")


main(requests_are_shared_by_connections_and_threads, each_request_may_have_its_own_connection,
     large_requests_make_the_round, a_rate_is_kept, a_stall_counts_from_when_requests_were_due,
     one_wrong_bit_is_corruption, one_wrong_byte_in_a_long_stream_is_found,
     answers_of_another_connection_are_corruption, a_byte_too_many_is_corruption, a_reset_is_a_reset,
     half_an_answer_is_closed_early, no_answer_times_out, nobody_listening_is_refused_at_once,
     the_second_address_is_used, an_interrupt_ends_it_with_its_report, the_text_has_what_the_json_has)
