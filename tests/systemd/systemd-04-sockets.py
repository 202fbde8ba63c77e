#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sockets from systemd: a start at the first connection, and clients that wait while the daemon restarts."""
from boxlib import ECHO, Journal, UNIT, expect, expect_equal, main, shared, stopped

SOCKET = "connpoold.socket"
PASSED = '{ name = "passed"; address = "systemd:echo"; service = "echo"; }'


def with_socket():
    box = shared()
    stopped(box)
    box.configure(listeners=PASSED)
    box.systemctl("start", SOCKET)
    return box


def test_the_first_connection_starts_the_daemon():
    box = with_socket()
    expect_equal(box.show("ActiveState"), "inactive", "state before")
    with Journal(box) as journal:
        expect_equal(box.echo("tcp:127.0.0.1:7007", "hello"), "hello", "answer")
        record = journal.wait_for("CONNECTION_CLOSED")
    expect_equal(record["LISTENER"], "passed", "LISTENER=")
    expect_equal(box.show("ActiveState"), "active", "state after")


def test_ipv4_and_ipv6_come_through_one_socket():
    box = with_socket()
    expect_equal(box.echo("tcp:127.0.0.1:7007", "four"), "four", "answer over IPv4")
    if box.run(["ip", "-6", "addr", "show", "dev", "lo"]).stdout.strip():
        expect_equal(box.echo("tcp:[::1]:7007", "six"), "six", "answer over IPv6")


def test_a_client_waits_while_the_daemon_restarts():
    box = with_socket()
    expect_equal(box.echo("tcp:127.0.0.1:7007", "hello"), "hello", "answer")
    pid = box.show("MainPID")
    box.systemctl("kill", "--kill-who=main", "-s", "KILL", UNIT)
    # Between the two the socket is systemd's, and nobody is refused.
    expect_equal(box.echo("tcp:127.0.0.1:7007", "again"), "again", "answer of the next one")
    expect(box.show("MainPID") != pid, "it is another process")


def test_a_reload_keeps_the_socket():
    box = with_socket()
    expect_equal(box.echo("tcp:127.0.0.1:7007", "hello"), "hello", "answer")
    with Journal(box) as journal:
        box.configure(listeners=f"{PASSED}, " + ECHO.replace("7007", "7008"))
        box.systemctl("reload", UNIT)
        journal.wait_for("RELOADED")
    expect_equal(box.echo("tcp:127.0.0.1:7007", "hello"), "hello", "answer after the reload")
    expect_equal(box.echo("tcp:127.0.0.1:7008", "hello"), "hello", "answer of the new listener")


def test_a_socket_that_was_not_passed_is_named():
    box = shared()
    stopped(box)
    box.configure(listeners=PASSED.replace("systemd:echo", "systemd:other"))
    with Journal(box) as journal:
        expect(box.systemctl("start", UNIT, check=False).returncode != 0, "systemctl start fails")
        journal.wait(lambda record: "systemd:other" in record.get("MESSAGE", ""), "a message that names systemd:other")


main(globals())
