#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The journal: fields and ids of the records, and the catalog's explanations."""
import os
import re

from boxlib import Journal, TOP_SRCDIR, event_id, expect, expect_equal, expect_match, main, service, shared


def closed_record(box, address):
    with Journal(box) as journal:
        expect_equal(box.echo(address, "hello"), "hello", "answer")
        return journal.wait_for("CONNECTION_CLOSED")


def test_a_closed_connection_has_its_fields():
    record = closed_record(service(), "tcp:127.0.0.1:7007")
    for name, pattern in (("LISTENER", "echo"), ("SERVICE", "echo"), ("CLIENT", r"(tcp:)?127\.0\.0\.1:\d+"),
                          ("CONNECTION", r"\d+"), ("DURATION_USEC", r"\d+"), ("QUEUED_USEC", r"\d+"), ("BYTES_IN", "6"),
                          ("BYTES_OUT", "6"), ("END", "client"), ("PRIORITY", "6"),
                          ("SYSLOG_IDENTIFIER", "connpoold"), ("_SYSTEMD_UNIT", r"connpoold\.service"),
                          ("_TRANSPORT", "journal")):
        expect(name in record, f"{name}= is there")
        expect(re.fullmatch(pattern, record[name]), f"{name}={record[name]} is {pattern}")


def test_a_unix_client_is_recorded_too():
    record = closed_record(service(), "unix:/run/connpoold/echo.sock")
    expect_match("unix", record["CLIENT"], "CLIENT=")


def test_a_proxied_connection_has_the_fields_of_its_whole_way():
    """A client of one listener is passed on, with a PROXY header, to a server that is another one."""
    listeners = '''
        { name = "front"; address = "tcp:127.0.0.1:7010"; service = { type = "proxy"; upstream = "back"; }; },
        { name = "back"; address = "tcp:127.0.0.1:7007"; service = "echo";
          accept_proxy = true; trusted_proxies = "127.0.0.0/8"; }'''
    upstreams = 'upstreams: { back: { servers = ( { address = "tcp:127.0.0.1:7007"; send_proxy = "v2"; } ); }; };'
    box = service(listeners=listeners, more=upstreams)
    with Journal(box) as journal:
        expect_equal(box.echo("tcp:127.0.0.1:7010", "hello"), "hello", "answer")
        front = journal.wait_for("CONNECTION_CLOSED", lambda entry: entry["LISTENER"] == "front")
    with Journal(box) as journal:
        expect_equal(box.echo("tcp:127.0.0.1:7010", "hello"), "hello", "answer")
        back = journal.wait_for("CONNECTION_CLOSED", lambda entry: entry["LISTENER"] == "back")
    expect_equal(front["SERVER"], "tcp:127.0.0.1:7007", "SERVER=")
    expect_match(r"^\d+$", front["CONNECT_USEC"], "CONNECT_USEC=")
    expect("PROXY" not in front, "PROXY= where there was no header")
    expect_match(r"^127\.0\.0\.1:\d+$", back["PROXY"], "PROXY=")
    expect_match(r"^127\.0\.0\.1:\d+$", back["CLIENT"], "CLIENT=")
    expect(back["PROXY"] != back["CLIENT"], "the proxy is not the client")


def test_connections_are_numbered():
    box = service()
    with Journal(box) as journal:
        for _ in range(3):
            box.echo("tcp:127.0.0.1:7007", "hello")
        numbers = []
        for _ in range(3):
            record = journal.wait_for("CONNECTION_CLOSED", lambda entry: entry["CONNECTION"] not in numbers)
            numbers.append(record["CONNECTION"])


def test_start_and_stop_are_recorded():
    box = shared()
    with Journal(box) as journal:
        service()
        listening = journal.wait_for("LISTENING")
        expect_equal(listening["LISTENER"], "echo", "LISTENER=")
        expect_match("7007|echo.sock", listening["ADDRESS"], "ADDRESS=")
        journal.wait_for("STARTED", lambda record: record["_PID"] == box.show("MainPID"))
        box.systemctl("stop", "connpoold.service")
        journal.wait_for("STOPPING")
        journal.wait_for("STOPPED")


def test_records_of_connections_can_be_left_out():
    box = service(log="connections = false;")
    with Journal(box) as journal:
        expect_equal(box.echo("tcp:127.0.0.1:7007", "hello"), "hello", "answer")
        box.systemctl("stop", "connpoold.service")
        journal.wait_for("STOPPED")
        kinds = [record.get("MESSAGE_ID") for record in journal.records]
    expect(event_id("CONNECTION_CLOSED") not in kinds, "no record of the connection")


def test_the_catalog_explains():
    box = service()
    with Journal(box) as journal:
        box.configure(listeners="nonsense")
        box.systemctl("kill", "--kill-who=main", "-s", "HUP", "connpoold.service")
        journal.wait_for("RELOAD_FAILED")
    shown = box.run(["journalctl", "-x", "-n", "50", "-u", "connpoold.service"]).stdout
    expect_match("connpoold could not reload; the old configuration stays in force", shown, "journalctl -x")
    expect_match("The configuration of connpoold has an error", shown, "journalctl -x")


def test_all_of_the_catalog_is_known_to_the_journal():
    box = shared()
    with open(os.path.join(TOP_SRCDIR, "systemd", "connpoold.catalog"), encoding="utf-8") as stream:
        entries = re.findall(r"^-- (\w+)\nSubject: (.*)$", stream.read(), re.M)
    expect(entries, "entries in the catalog")
    for number, subject in entries:
        expect_equal(re.search("Subject: (.*)", box.run(["journalctl", "--dump-catalog", number]).stdout).group(1),
                     subject, f"subject of {number}")


main(globals())
