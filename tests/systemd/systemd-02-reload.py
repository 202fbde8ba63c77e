#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reload under systemd: a good one is in force, a bad one fails where it was asked for and changes nothing."""
from boxlib import ECHO, Journal, UNIT, eventually, expect, expect_equal, expect_match, main, service

SECOND = '{ name = "second"; address = "tcp:127.0.0.1:7008"; service = "echo"; }'
BROKEN = '{ name = "echo"; address = "tcp:127.0.0.1:7007"; service = "echo"; backlog = "many"; }'


def test_a_good_reload_is_in_force():
    box = service()
    with Journal(box) as journal:
        box.configure(listeners=f"{ECHO}, {SECOND}")
        box.systemctl("reload", UNIT)
        journal.wait_for("RELOADED")
        expect_equal(box.echo("tcp:127.0.0.1:7008", "new"), "new", "answer of the new listener")
        expect_equal(box.echo("tcp:127.0.0.1:7007", "old"), "old", "answer of the old listener")
        pid = box.show("MainPID")
        box.configure(listeners=ECHO)
        box.systemctl("reload", UNIT)
        journal.wait(lambda record: "second" in record.get("MESSAGE", "") and "removed" in record["MESSAGE"],
                     "that the listener was removed")
    expect_equal(box.show("MainPID"), pid, "process")
    eventually(lambda: box.show("ActiveState") == "active", lambda: f"active; it is {box.show('ActiveState')}")


def test_connections_outlive_a_reload():
    box = service()
    client = box.start(["connpool-client", "connect", "tcp:127.0.0.1:7007"])
    client.stdin.write(b"before\n")
    expect_equal(client.stdout.readline(), b"before\n", "answer")
    with Journal(box) as journal:
        box.configure(listeners=SECOND)
        box.systemctl("reload", UNIT)
        journal.wait_for("RELOADED")
    client.stdin.write(b"after\n")
    expect_equal(client.stdout.readline(), b"after\n", "answer after its listener was removed")
    client.stdin.close()
    expect_equal(client.wait(), 0, "exit status of the client")


def test_systemctl_reload_fails_with_a_bad_configuration():
    box = service()
    with Journal(box) as journal:
        box.configure(listeners=BROKEN)
        expect(box.systemctl("reload", UNIT, check=False).returncode != 0, "systemctl reload fails")
        record = journal.wait(lambda entry: "connpoold.conf:" in entry.get("MESSAGE", ""), "file and line of the error")
    expect_match(r"connpoold\.conf:\d+: .*backlog", record["MESSAGE"], "message")
    expect_equal(box.show("ActiveState"), "active", "state")
    expect_equal(box.echo("tcp:127.0.0.1:7007", "old"), "old", "answer under the old configuration")


def test_the_daemon_keeps_its_configuration_and_says_why():
    # A SIGHUP from elsewhere, with no check before it.
    box = service()
    with Journal(box) as journal:
        box.configure(listeners=f"{BROKEN}, {SECOND}")
        box.systemctl("kill", "--kill-who=main", "-s", "HUP", UNIT)
        error = journal.wait_for("CONFIG_ERROR")
        expect_match(r"connpoold\.conf:\d+: .*backlog", error["MESSAGE"], "message")
        expect_equal(error["PRIORITY"], "3", "priority")
        failed = journal.wait_for("RELOAD_FAILED")
        expect_match("keeping the old configuration", failed["MESSAGE"], "message")
    expect_equal(box.show("ActiveState"), "active", "state")
    expect_equal(box.echo("tcp:127.0.0.1:7007", "old"), "old", "answer under the old configuration")
    refused = box.run(["connpool-client", "send", "tcp:127.0.0.1:7008", "new"], check=False)
    expect(refused.returncode != 0, "the new listener is not there")


def test_an_address_that_is_taken_fails_the_reload():
    box = service()
    taken = box.start(["socat", "-u", "TCP-LISTEN:7008,bind=127.0.0.1", "STDOUT"])
    eventually(lambda: "7008" in box.run(["ss", "-Hltn"]).stdout, lambda: "socat listens")
    with Journal(box) as journal:
        box.configure(listeners=f"{ECHO}, {SECOND}")
        box.systemctl("reload", UNIT, check=False)
        failed = journal.wait_for("RELOAD_FAILED")
    taken.kill()
    taken.communicate()
    expect_match(r"second.*7008", failed["MESSAGE"], "message")
    expect_equal(box.echo("tcp:127.0.0.1:7007", "old"), "old", "answer under the old configuration")


main(globals())
