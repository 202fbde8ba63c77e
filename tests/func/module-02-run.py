#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""connpool-run: a module without a daemon, on pipes, on a socket as under inetd, on an address."""
import os
import re
import signal
import socket
import subprocess
import tempfile

from cpharness import (LIMIT, TOP_BUILDDIR, connect_to, expect, expect_equal, expect_match, main)

RUN = os.path.join(TOP_BUILDDIR, "src", "connpool-run")
MODULES = os.path.join(TOP_BUILDDIR, "tests", "modules")
CLOSED = r"connection 1 from \S+ on listener 'run' closed: ([a-z-]+) "


def module(name):
    return os.path.join(MODULES, name + ".so")


def run(*args, data=b"", **more):
    """Status, standard output, standard error."""
    more.setdefault("input", data)
    done = subprocess.run([RUN, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT, check=False,
                          **more)
    return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")


class Running:
    """connpool-run on an address."""

    def __init__(self, *args):
        self.process = subprocess.Popen([RUN, "-a", "tcp:127.0.0.1:0", *args], stdin=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE)
        line = self.process.stderr.readline().decode()
        self.address = expect_match(r"listening on (\S+)", line, "the first line").group(1)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def end(self, number):
        self.process.send_signal(number)
        log = self.process.stderr.read().decode()
        return self.process.wait(timeout=LIMIT), log


# ---- standard input and output ---------------------------------------------------------------------


def test_pipes_are_served():
    status, out, err = run("-o", "greeting=good day", "-o", "patience=1ms", module("example"), data=b"world\n")
    expect_equal((status, out), (0, b"who are you?\ngood day, world\n"), f"status and output ({err})")
    expect_equal(expect_match(CLOSED, err, "the log").group(1), "service", "end")
    expect_match(r"service 'greet' counted greeted=1", err, "the counters")


def test_files_are_served():
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as target:
        source.write(b"settings\n")
        source.seek(0)
        done = subprocess.run([RUN, "-q", "-o", "names=a", "-o", "names=b", "-o", "patience=2s", module("probe-one")],
                              stdin=source, stdout=target, stderr=subprocess.PIPE, timeout=LIMIT, check=False)
        target.seek(0)
        expect_equal((done.returncode, target.read(), done.stderr), (0, b"0 3 4096 2000 hello a+b+ 1\n", b""),
                     "status, output and errors")


def test_input_that_never_ends_does_not_hold_it_up():
    reader, writer = os.pipe()
    try:
        os.write(writer, b"leave\n")
        status, out, _ = run(module("probe-one"), input=None, stdin=reader)
        expect_equal((status, out), (0, b""), "status and output")
    finally:
        os.close(reader)
        os.close(writer)


def test_output_that_nobody_reads_is_an_error():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([RUN, module("example")], input=b"", stdout=writer, stderr=subprocess.PIPE, timeout=LIMIT,
                          check=False)
    os.close(writer)
    expect_equal(done.returncode, 1, "status")
    expect_match(r"cannot write to standard output", done.stderr.decode(), "why")


def test_a_socket_is_served_as_it_is():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen([RUN, "-q", module("probe-one")], stdin=theirs, stdout=theirs)
        for number in range(1, 3):
            ours.sendall(b"reply\n")
            expect_equal(ours.recv(100), b"one\n", f"reply {number}")
        ours.shutdown(socket.SHUT_WR)
        expect_equal(process.wait(timeout=LIMIT), 0, "status")
        expect(theirs.getblocking(), "the socket is what it was")


def test_a_client_over_tcp_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, name = server.accept()
        with accepted:
            process = subprocess.Popen([RUN, module("probe-one")], stdin=accepted, stdout=accepted,
                                       stderr=subprocess.PIPE)
        client.sendall(b"reply\n")
        expect_equal(client.recv(100), b"one\n", "reply")
        client.shutdown(socket.SHUT_WR)
        log = process.stderr.read().decode()
        expect_equal(process.wait(timeout=LIMIT), 0, "status")
        process.stderr.close()
        expect_match(rf"connection 1 from {re.escape(name[0])}:{name[1]} .* closed: client ", log, "the log")


# ---- an address ----------------------------------------------------------------------------------------


def test_an_address_is_served_until_a_signal():
    for number in (signal.SIGINT, signal.SIGTERM):
        with Running(module("probe-two")) as running:
            clients = [connect_to(running.address) for _ in range(5)]
            for client in clients:
                client.send(b"reply\n")
            for client in clients:
                expect_equal(client.recv_exactly(4), b"two\n", "reply")
            clients.pop().close()
            status, log = running.end(number)
            expect_equal(status, 0, f"status ({log})")
            for client in clients:
                client.expect_end()
                client.close()
            expect_equal(log.count("closed: drain"), 4, "connections that were ended")
            expect_match(r"service 'probe' counted commands=\d", log, "the counters")


def test_an_address_that_can_not_be_had():
    with Running(module("probe-two")) as running:
        status, _, err = run("-a", running.address, module("probe-two"))
        expect_equal(status, 1, "status")
        expect_match(r"^connpool-run: .*Address already in use", err, "why")


# ---- faults ----------------------------------------------------------------------------------------------


def test_a_handler_that_fails_is_status_1():
    status, out, err = run(module("probe-one"), data=b"what?\n")
    expect_equal((status, out), (1, b""), "status and output")
    expect_equal(expect_match(CLOSED, err, "the log").group(1), "error", "end")


def test_what_is_wrong_with_a_module_is_status_78():
    for args, words in (((module("broken-abi"),), r"broken-abi\.so: it was compiled for ABI"),
                        (("no.so",), r"no\.so: cannot open: No such file"),
                        (("-o", "tims=1", module("probe-one")), r"tims: unknown option, did you mean 'times'\?"),
                        (("-o", "times=x", module("probe-one")), r'times: "x" is not understood, expected a number'),
                        (("-o", "times", module("probe-one")), r"times: expected NAME=VALUE"),
                        (("-o", "refuse=no bread", module("probe-one")), r"service 'probe': cannot: no bread"),
                        (("-a", "tcp:here", module("probe-one")), r"tcp:here")):
        status, out, err = run(*args)
        expect_equal((status, out), (78, b""), f"status and output of {args}")
        expect_match(rf"^connpool-run: .*{words}", err, f"what {args} says")


def test_command_lines():
    for args in ((), ("a.so", "b.so"), ("-x", "a.so"), ("-a",)):
        status, out, err = run(*args)
        expect_equal((status, out), (2, b""), f"status and output of {args}")
        expect_match(r"--help", err, "a hint")
    expect_match(r"^Usage: connpool-run", run("--help")[1].decode(), "the help")
    expect_match(r"^connpool-run \(connpoold \d", run("--version")[1].decode(), "the version")


main(globals())
