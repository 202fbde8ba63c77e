#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A real HAProxy asks check services how its servers are: by agent-check, which drains one and takes it down, and by
httpchk, in the ways that it is configured for clustercheck and its like."""
import csv
import os
import shutil
import signal
import socket
import subprocess
import tempfile

from checklib import check, daemon_with, tell
from cpharness import LIMIT, Failure, Skip, eventually, expect_equal, expect_match, main

ECHO = '{ name = "%s"; address = "tcp:127.0.0.1:0"; service = "echo"; }'
EVERY = "inter 50ms fastinter 50ms downinter 50ms"


class Haproxy:
    """One with a front of Unix sockets, so that it needs no port."""

    def __init__(self, servers, options=""):
        self.executable = shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")
        if not self.executable:
            raise Skip("there is no haproxy here")
        self.folder = tempfile.mkdtemp(prefix="cp-", dir="/tmp")
        self.process = None
        with open(self.folder + "/cfg", "w", encoding="ascii") as stream:
            stream.write(f"global\n stats socket {self.folder}/stats level admin\n"
                         f"defaults\n mode tcp\n timeout connect {LIMIT}s\n timeout client {LIMIT}s\n"
                         f" timeout server {LIMIT}s\n timeout check {LIMIT}s\n"
                         f"listen front\n bind unix@{self.folder}/front\n balance roundrobin\n{options}"
                         + "".join(f" server {server}\n" for server in servers))

    def __enter__(self):
        with open(self.folder + "/output", "wb") as output:
            self.process = subprocess.Popen([self.executable, "-db", "-f", self.folder + "/cfg"], stdout=output,
                                            stderr=output, stdin=subprocess.DEVNULL)
        eventually(self.listens, lambda: "haproxy listens")
        return self

    def __exit__(self, *unused):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(LIMIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def listens(self):
        if self.process.poll() is not None:
            with open(self.folder + "/output", encoding="utf-8") as stream:
                raise Failure(f"haproxy has ended: {stream.read()}")
        return os.path.exists(self.folder + "/stats") and os.path.exists(self.folder + "/front")

    def connect(self, where="front"):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.settimeout(LIMIT)
        sock.connect(os.path.join(self.folder, where))
        return sock

    def server(self, name):
        """Its row of "show stat"."""
        with self.connect("stats") as sock:
            sock.sendall(b"show stat\n")
            text = b"".join(iter(lambda: sock.recv(65536), b"")).decode()
        rows = csv.DictReader(text.removeprefix("# ").splitlines())
        return next(row for row in rows if row["pxname"] == "front" and row["svname"] == name)

    def wait_status(self, name, pattern):
        """Until it is so; the row."""
        rows = []

        def is_so():
            rows.append(self.server(name))
            return expect_status(pattern, rows[-1]["status"])
        eventually(is_so, lambda: f"{name} is {pattern}, but it is {rows[-1]['status']}, {rows[-1]}")
        return rows[-1]


def expect_status(pattern, status):
    try:
        return expect_match(pattern, status)
    except Failure:
        return None


def echo(sock):
    sock.sendall(b"hello\n")
    expect_equal(sock.recv(6, socket.MSG_WAITALL), b"hello\n", "echo")


def who_serves(daemon, haproxy, count=6):
    """The listeners that new connections come to."""
    served = set()
    for _ in range(count):
        mark = daemon.log.mark()
        with haproxy.connect() as sock:
            echo(sock)
        served.add(daemon.log.wait(r"on listener '(one|two)' closed", since=mark).group(1))
    return served


def test_agent_check_drains_a_server():
    with daemon_with(ECHO % "one", ECHO % "two", check("agent", more='format = "agent"; max_age = "20ms";')) as daemon:
        agent = f"agent-check agent-port {daemon.port('agent')} agent-inter 50ms"
        tell(daemon, "up\n")
        with Haproxy([f"one 127.0.0.1:{daemon.port('one')} {agent}",
                      f"two 127.0.0.1:{daemon.port('two')}"]) as haproxy:
            eventually(lambda: haproxy.server("one")["agent_status"] == "L7OK", lambda: "the agent has answered")
            expect_equal(who_serves(daemon, haproxy), {"one", "two"}, "who serves")
            with haproxy.connect() as first, haproxy.connect() as second:
                echo(first)
                echo(second)
                tell(daemon, "drain\n")
                haproxy.wait_status("one", r"^DRAIN")
                expect_equal(who_serves(daemon, haproxy), {"two"}, "who serves while it is drained")
                # One of these is on the server that is drained.
                echo(first)
                echo(second)
            tell(daemon, "ready\n")
            haproxy.wait_status("one", r"^UP|^no check")
            expect_equal(who_serves(daemon, haproxy), {"one", "two"}, "who serves again")


def test_agent_check_takes_a_server_down_and_says_why():
    with daemon_with(ECHO % "one", ECHO % "two", check("agent", more='format = "agent"; max_age = "20ms";')) as daemon:
        agent = f"agent-check agent-port {daemon.port('agent')} agent-inter 50ms agent-send ask\\n"
        with Haproxy([f"one 127.0.0.1:{daemon.port('one')} {agent}",
                      f"two 127.0.0.1:{daemon.port('two')}"]) as haproxy:
            eventually(lambda: haproxy.server("one")["agent_status"] == "L7OK", lambda: "the agent has answered")
            tell(daemon, "disk full\n", 2)
            haproxy.wait_status("one", r"^DOWN \(agent\)")
            eventually(lambda: "disk full" in haproxy.server("one")["last_agt"],
                       lambda: f"haproxy knows why: {haproxy.server('one')}")
            expect_equal(who_serves(daemon, haproxy), {"two"}, "who serves while it is down")
            tell(daemon, "well again\n")
            haproxy.wait_status("one", r"^UP|^no check")


def check_by(options):
    with daemon_with(ECHO % "one", check("health", more='format = "http"; max_age = "20ms";')) as daemon:
        tell(daemon, "fine\n")
        with Haproxy([f"one 127.0.0.1:{daemon.port('one')} check port {daemon.port('health')} rise 1 fall 1 {EVERY}"],
                     options) as haproxy:
            row = haproxy.wait_status("one", r"^UP")
            tell(daemon, "not synced\n", 1)
            row = haproxy.wait_status("one", r"^DOWN")
            tell(daemon, "fine\n")
            haproxy.wait_status("one", r"^UP")
        return row


def test_httpchk():
    expect_equal(check_by(" option httpchk\n")["check_code"], "503", "code")


def test_httpchk_by_other_methods():
    for options in (" option httpchk HEAD /\n",
                    " option httpchk\n http-check send meth GET uri /health ver HTTP/1.1 hdr Host a\n"
                    " http-check expect status 200\n"):
        expect_equal(check_by(options)["check_code"], "503", f"code for {options}")


def test_tcp_check_that_says_nothing():
    check_by(" option tcp-check\n tcp-check connect\n tcp-check expect string 200\\ OK\n")


main(globals())
