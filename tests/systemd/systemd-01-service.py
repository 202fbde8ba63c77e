#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The installed unit: start and readiness, whose rights the daemon has, start that fails, stop with drain."""
from boxlib import Journal, UNIT, ECHO, expect, expect_equal, expect_match, main, service, shared, stopped


def test_start_returns_when_the_sockets_are_open():
    box = service()
    expect_equal(box.show("ActiveState"), "active", "state")
    expect_equal(box.echo("tcp:127.0.0.1:7007", "hello"), "hello", "answer over TCP")
    expect_equal(box.echo("unix:/run/connpoold/echo.sock", "hello"), "hello", "answer over a Unix socket")


def test_status_counts_listeners_and_connections():
    box = service()
    expect_match(r"^serving: 1 listener, \d+ connections?, \d+ queued$", box.show("StatusText"), "STATUS=")


def test_the_daemon_has_its_own_user_and_one_capability():
    box = service(listeners='{ name = "low"; address = "tcp:127.0.0.1:7"; service = "echo"; }')
    with open(f"/proc/{box.main_pid()}/status", encoding="utf-8") as stream:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in stream if ":\t" in line)
    expect(status["Uid"].split() == [box.run(["id", "-u", "connpoold"]).stdout.strip()] * 4, f"user: {status['Uid']}")
    for kind in ("CapEff", "CapPrm", "CapBnd"):
        expect_equal(int(status[kind], 16), 1 << 10, kind + " (CAP_NET_BIND_SERVICE)")
    expect_equal(box.echo("tcp:127.0.0.1:7", "low"), "low", "answer on a port below 1024")


def test_a_configuration_with_errors_does_not_start():
    box = shared()
    stopped(box)
    box.configure(listeners='{ name = "echo"; addres = "tcp:127.0.0.1:7007"; service = "echo"; }')
    with Journal(box) as journal:
        done = box.systemctl("start", UNIT, check=False)
        expect(done.returncode != 0, "systemctl start fails")
        record = journal.wait(lambda entry: "connpoold.conf:" in entry.get("MESSAGE", ""), "file and line of the error")
    expect_match(r"connpoold\.conf:\d+: .*addres", record["MESSAGE"], "message")
    expect_equal(box.show("Result"), "exit-code", "result")


def test_a_configuration_error_is_not_retried():
    box = shared()
    stopped(box)
    box.configure(listeners="nonsense")
    with Journal(box) as journal:
        expect(box.systemctl("start", UNIT, check=False).returncode != 0, "systemctl start fails")
        record = journal.wait(lambda entry: "connpoold.conf:" in entry.get("MESSAGE", ""), "file and line of the error")
    expect_equal(record["PRIORITY"], "3", "priority")
    expect_match(r"connpoold\.conf:\d+", record["MESSAGE"], "message")
    expect_equal(box.show("ExecMainStatus"), "78", "exit status")
    expect_equal(box.show("ActiveState"), "failed", "state")
    expect_equal(box.show("NRestarts"), "0", "restarts")


def test_stop_lets_connections_end():
    box = service(daemon='drain_timeout = "1h";', listeners=ECHO)
    with Journal(box) as journal:
        client = box.start(["connpool-client", "connect", "tcp:127.0.0.1:7007"])
        client.stdin.write(b"one\n")
        expect_equal(client.stdout.readline(), b"one\n", "answer")
        box.systemctl("stop", "--no-block", UNIT)
        journal.wait_for("STOPPING")
        client.stdin.write(b"two\n")
        expect_equal(client.stdout.readline(), b"two\n", "answer while stopping")
        refused = box.run(["connpool-client", "send", "tcp:127.0.0.1:7007", "late"], check=False)
        expect(refused.returncode != 0, "new connections are refused while stopping")
        client.stdin.close()
        expect_equal(client.wait(), 0, "exit status of the client")
        journal.wait_for("STOPPED")
    box.systemctl("stop", UNIT)
    expect_equal((box.show("ActiveState"), box.show("Result")), ("inactive", "success"), "state and result")
    expect_equal(box.show("ExecMainStatus"), "0", "exit status")


def test_stop_closes_what_does_not_end_in_time():
    box = service(daemon='drain_timeout = "100ms";')
    with Journal(box) as journal:
        client = box.start(["connpool-client", "connect", "tcp:127.0.0.1:7007"])
        client.stdin.write(b"one\n")
        expect_equal(client.stdout.readline(), b"one\n", "answer")
        box.systemctl("stop", UNIT)
        journal.wait_for("DRAIN_TIMEOUT")
        journal.wait_for("CONNECTION_CLOSED", lambda record: record["END"] == "drain")
    client.stdin.close()
    client.wait()
    expect_equal(box.show("Result"), "success", "result")


main(globals())
