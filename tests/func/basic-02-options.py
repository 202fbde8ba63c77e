#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The command line: what each option prints and with which status it ends."""
import os
import socket
import subprocess
import tempfile

from cpharness import CONNPOOLD, Daemon, Skip, expect, expect_equal, expect_match, main, make_config, run_daemon

GOOD = make_config(
    listeners='{ name = "echo"; address = [ "tcp:127.0.0.1:0", "unix:/tmp/nowhere.sock" ]; service = "echo";'
              ' allow = [ "127.0.0.0/8", "::1" ]; idle_timeout = "5min"; busy_message = "a \\"quoted\\" line\\r\\n"; },'
              ' { name = "day"; address = "unix:@x"; pool = "jobs"; service = { type = "daytime"; };'
              ' socket_mode = "0600"; }',
    pools='jobs: { workers = 3; connections_per_worker = 1; queue_full = "reject"; queue_timeout = "1500ms"; };',
    daemon='max_connections = 1234; drain_timeout = "2s";')
BAD = """daemon: { drain_timeuot = "2s"; };
listeners: (
  { name = "echo"; address = "tcp:127.0.0.1:99999"; service = "echo"; },
  { name = "day"; address = "unix:@x"; pool = "none"; service = "daytime"; }
);
"""


def with_file(text, *args):
    with tempfile.NamedTemporaryFile("w", suffix=".conf", dir="/tmp", delete=False) as stream:
        stream.write(text)
    try:
        return run_daemon(*args, "-f", stream.name) + (stream.name,)
    finally:
        os.unlink(stream.name)


def test_help_goes_to_standard_output():
    for option in ("--help", "-h"):
        status, out, err = run_daemon(option)
        expect_equal((status, err), (0, ""), f"status and standard error of {option}")
        for word in ("Usage", "--check", "--dump-config", "--help-config", "--version"):
            expect(word in out, f"{option} names {word}: {out}")


def test_version_names_program_and_number():
    status, out, err = run_daemon("--version")
    expect_equal((status, err), (0, ""), "status and standard error")
    expect_match(r"^connpoold \d+\.\d+", out, "version")


def test_unknown_options_and_words_end_with_2():
    for args in (["--no-such-option"], ["-f"], ["stray"], ["--check", "stray"]):
        status, out, err = run_daemon(*args)
        expect_equal((status, out), (2, ""), f"status and standard output of {args}")
        expect(err.strip(), f"{args}: standard error says why")


def test_help_that_can_not_be_written_is_not_a_success():
    with open("/dev/full", "wb") as full:
        for option in ("--help", "--version", "--help-config"):
            done = subprocess.run([CONNPOOLD, option], stdout=full, stderr=subprocess.DEVNULL, check=False, timeout=60)
            expect(done.returncode != 0, f"{option} >/dev/full ended with 0")


def test_check_of_a_good_file_ends_with_0():
    for option in ("--check", "-t"):
        status, _, err, _ = with_file(GOOD, option)
        expect_equal(status, 0, f"status of {option} ({err})")


def test_check_of_a_bad_file_names_every_error_and_ends_with_78():
    status, _, err, path = with_file(BAD, "--check")
    expect_equal(status, 78, "status")
    expect_match(rf"{path}:1: .*drain_timeuot.*drain_timeout", err, "the misspelt key")
    expect_match(rf"{path}:3: .*99999", err, "the port out of range")
    expect_match(rf"{path}:4: .*none", err, "the pool that is not there")


def test_syntax_error_names_its_line():
    status, _, err, path = with_file("listeners: (\n  { name = ; }\n);\n", "--check")
    expect_equal(status, 78, "status")
    expect_match(rf"{path}:2", err, "the place")


def test_file_that_is_not_there_ends_with_78():
    status, _, err = run_daemon("--check", "-f", "/nonexistent/connpoold.conf")
    expect_equal(status, 78, "status")
    expect_match(r"/nonexistent/connpoold.conf.*No such file", err, "why")


def test_starting_with_a_bad_file_ends_with_78_and_serves_nothing():
    with Daemon(BAD, wait_ready=False) as daemon:
        expect_equal(daemon.wait_exit(), 78, "status")
        expect(not daemon.log.find("listening on"), "nothing listens")
        daemon.wait_log("drain_timeout")


def test_start_that_fails_ends_with_1():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        listener = f'{{ name = "echo"; address = "tcp:127.0.0.1:{port}"; service = "echo"; }}'
        with Daemon(listeners=listener, wait_ready=False) as daemon:
            expect_equal(daemon.wait_exit(), 1, "status")


def test_dump_config_is_read_again_and_gives_the_same():
    status, first, err, _ = with_file(GOOD, "--dump-config")
    expect_equal(status, 0, f"status ({err})")
    status, second, err, _ = with_file(first, "--dump-config")
    expect_equal(status, 0, f"status of the second ({err})")
    expect_equal(second, first, "dump of the dump")
    for text in ("1500ms", "max_connections = 1234", '"5min"', '"0600"', "127.0.0.0/8", '\\"quoted\\"', "stack_size"):
        expect(text in first, f"the dump holds {text}:\n{first}")


def test_dumped_config_can_be_served():
    status, text, err, _ = with_file(GOOD.replace("/tmp/nowhere.sock", "@DIR@/a.sock"), "--dump-config")
    expect_equal(status, 0, f"status ({err})")
    with Daemon(text) as daemon, daemon.connect("echo") as client:
        client.expect_echo()


def test_dump_config_of_a_bad_file_ends_with_78():
    status, out, _, _ = with_file(BAD, "--dump-config")
    expect_equal((status, out), (78, ""), "status and standard output")


def test_help_config_lists_the_options_with_default_and_range():
    status, out, err = run_daemon("--help-config")
    expect_equal((status, err), (0, ""), "status and standard error")
    for word in ("drain_timeout", "connections_per_worker", "queue_full", "max_per_source", "busy_message", "100000"):
        expect(word in out, f"--help-config names {word}")


def test_reads_the_file_of_the_system_when_none_is_named():
    status, _, err = run_daemon("--check")
    if status == 0:
        raise Skip("this machine has a config file of its own")
    expect_equal(status, 78, "status")
    expect_match(r"connpoold\.conf", err, "the file it looked for")


main(globals())
