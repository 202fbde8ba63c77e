#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a check service tells its clients: in each format, of a command that is content, one that is not, and one that
never says so."""
import os
import shutil
import subprocess

from checklib import ask, check, daemon_with, expect_no_program, http, programs_of, tell
from cpharness import (LIMIT, Skip, eventually, expect, expect_equal, expect_match, make_config, main, run_daemon)

HTTP = 'format = "http"; max_age = 0;'


def test_plain_text_is_the_output():
    with daemon_with(check(more="max_age = 0;")) as daemon:
        tell(daemon, "one\ntwo", 0)
        expect_equal(ask(daemon), "one\ntwo", "answer")
        tell(daemon, "bad\n", 7)
        expect_equal(ask(daemon, data=b"GET / HTTP/1.0\r\n\r\n"), "bad\n", "answer, to one that has asked")
        tell(daemon, "", 7)
        expect_equal(ask(daemon), "exit status 7\n", "answer of one that says nothing")
        tell(daemon, "", 0)
        expect_equal(ask(daemon), "", "answer of one that has nothing to say")


def test_http_says_200_or_503():
    with daemon_with(check(more=HTTP)) as daemon:
        tell(daemon, "all is well\n")
        status, fields, body = http(daemon)
        expect_equal((status, body), (200, "all is well\n"), "answer")
        date = fields.pop("Date")
        expect_match(r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$", date, "date")
        expect_equal(fields, {"Content-Type": "text/plain", "Content-Length": "12", "Cache-Control": "no-store",
                              "Age": "0", "Connection": "close"}, "fields")
        tell(daemon, "no room left\n", 1)
        status, fields, body = http(daemon, request="OPTIONS / HTTP/1.0\r\n\r\n")
        expect_equal((status, fields["Content-Length"], body), (503, "13", "no room left\n"), "answer")
        status, fields, body = http(daemon, request="HEAD /any HTTP/1.1\nHost: a\n\n")
        expect_equal((status, fields["Content-Length"], body), (503, "13", ""), "answer to HEAD")


def test_curl_is_content():
    curl = shutil.which("curl")
    if not curl:
        raise Skip("there is no curl here")
    with daemon_with(check(more=HTTP)) as daemon:
        tell(daemon, "fine\n")
        url = f"http://127.0.0.1:{daemon.port('c')}/"
        for more in ((), ("-I",), ("-0",), ("-d", "x=1")):
            done = subprocess.run([curl, "-s", "-o", "/dev/null", "-w", "%{http_code}", *more, url], check=True,
                                  stdout=subprocess.PIPE, text=True, timeout=LIMIT)
            expect_equal(done.stdout, "405" if "-d" in more else "200", f"code for curl {more}")


def test_clients_that_do_not_ask_are_answered_too():
    with daemon_with(check(more=HTTP)) as daemon:
        tell(daemon, "fine\n")
        expect_match(r"\AHTTP/1\.1 200 OK\r\n(?s:.*)\r\n\r\nfine\n\Z", ask(daemon), "answer to silence")
        with daemon.connect("c") as client:
            client.shutdown_write()
            expect_match(r"\AHTTP/1\.1 200 OK\r\n", client.recv_all().decode(), "answer to one that has ended its side")


def test_what_is_no_request_is_refused():
    with daemon_with(check(more=HTTP)) as daemon:
        tell(daemon, "fine\n")
        for request, code in (("hello\r\n", 400), ("\x16\x03\x01\x02\x00\x01\x00", 400), ("GET /\r\n", 400),
                              ("DELETE / HTTP/1.1\r\n\r\n", 405),
                              ("GET / HTTP/1.1\r\nX: " + 10000 * "x", 431)):
            status, fields, body = http(daemon, request=request)
            expect_equal((status, int(fields["Content-Length"])), (code, len(body)), f"answer to {request[:30]!r}")
        expect(not os.path.exists(daemon.dir + "/runs"), "none of them brought about a run")


def test_a_head_that_does_not_come_is_not_waited_for():
    with daemon_with(check(more=HTTP)) as daemon, daemon.connect("c") as client:
        client.send(b"GET / HTTP/1.1\r\n")
        expect_match(r"\AHTTP/1\.1 408 Request Timeout\r\n", client.recv_all().decode(), "answer")


def test_an_agent_says_up_or_down():
    with daemon_with(check(more='format = "agent"; max_age = 0;')) as daemon:
        tell(daemon, "all is well\n")
        expect_equal(ask(daemon), "up\n", "answer")
        expect_equal(ask(daemon, data=b"are you there?\n"), "up\n", "answer to agent-send")
        tell(daemon, "disk full\nand more\n", 2)
        expect_equal(ask(daemon), "down #disk full\n", "answer")
        tell(daemon, "", 2)
        expect_equal(ask(daemon), "down #exit status 2\n", "answer")
        tell(daemon, "drain\n")
        expect_equal(ask(daemon), "drain\n", "answer")


def test_a_command_that_can_not_be_run_is_down():
    with daemon_with(check("h", command=["/nonexistent/check"], more=HTTP),
                     check("a", command=["/nonexistent/check"], more='format = "agent";')) as daemon:
        status, _, body = http(daemon, "h")
        expect_equal(status, 503, "status")
        expect_match(r"/nonexistent/check.*No such file or directory\n\Z", body, "body")
        expect_match(r"\Adown #.*No such file or directory\n\Z", ask(daemon, "a"), "answer")
        daemon.wait_log(r"listener 'h': check is bad: .*No such file or directory")


def test_a_signal_is_down():
    with daemon_with(check(script="echo half; kill -KILL $$", more=HTTP)) as daemon:
        status, _, body = http(daemon)
        expect_equal(status, 503, "status")
        expect_match(r"\A[^\n]*KILL[^\n]*\n\Z", body, "body")


def test_a_run_that_takes_too_long_is_ended_with_all_its_processes():
    script = "trap '' TERM; sleep 1000 & echo begun; while true; do sleep 1000; done"
    with daemon_with(check(script=script, more=HTTP + ' timeout = "200ms"; kill_timeout = "200ms";')) as daemon:
        status, _, body = http(daemon)
        expect_equal((status, body), (503, "timed out after 200ms\n"), "answer")
        expect_no_program(daemon)
        status, _, body = http(daemon)
        expect_equal((status, body), (503, "timed out after 200ms\n"), "the next one")
        expect_no_program(daemon)


def test_children_left_behind_do_not_keep_the_answer():
    with daemon_with(check(script="sleep 1000 & echo fine", more=HTTP)) as daemon:
        status, _, body = http(daemon)
        expect_equal((status, body), (200, "fine\n"), "answer")
        expect_no_program(daemon)


def test_much_output_is_cut_and_said_so():
    script = "i=0; while [ $i -lt 30000 ]; do echo 'line of output'; i=$((i + 1)); done; echo too much >&2"
    with daemon_with(check(script=script), check("s", script=script, more='max_output = "1KiB";'),
                     check("l", script=script, more='max_output = "1MiB";')) as daemon:
        expect_equal(len(ask(daemon)), 65536, "bytes of the default")
        expect_equal(len(ask(daemon, "s")), 1024, "bytes")
        expect_equal(len(ask(daemon, "l")), 450000, "bytes of one that is not cut")
        daemon.wait_log(r"listener 's': the output of its check was cut at max_output, 1KiB")
        daemon.wait_log(r"listener 'l': check: too much")
        expect_equal(len(daemon.log.find(r"was cut at")), 2, "lines about a cut")


def test_environment_and_place_are_those_of_the_section():
    script = 'echo "$WHO $(pwd) $(umask) ${TCPREMOTEIP-none}"; test -t 0 || read line || echo nothing'
    more = 'environment = [ "WHO=me" ]; directory = "/usr"; umask = "0077";'
    with daemon_with(check(script=script, more=more)) as daemon:
        expect_equal(ask(daemon), "me /usr 0077 none\nnothing\n", "answer")


def test_a_wrong_section_is_an_error_with_its_line():
    for more, message in (('command = [ "sh" ];', r":3: .*command: \"sh\" is no path"),
                          ('command = [ "/bin/sh" ]; user = "nosuchuser";', r":3: .*user: there is no user"),
                          ('max_age = "1s";', r":3: .*command"),
                          ('command = [ "/bin/sh" ]; format = "xml";', r":3: .*format: .*\"plain\", \"http\" or")):
        path = os.path.join("/tmp", f"cp-check-{os.getpid()}.conf")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(make_config(listeners='{ name = "c"; address = "tcp:127.0.0.1:0"; service = { type = "check"; '
                                     + more + " }; }"))
        try:
            status, _, err = run_daemon("--check", "-f", path)
        finally:
            os.unlink(path)
        expect_equal(status, 78, "exit status")
        expect_match(message, err, "the message")


def test_a_stop_does_not_wait_for_a_run():
    script = "trap '' TERM; echo run >> @DIR@/runs; while true; do sleep 1000; done"
    with daemon_with(check(script=script, more='kill_timeout = "1h";')) as daemon:
        client = daemon.connect("c")
        eventually(lambda: os.path.exists(daemon.dir + "/runs"), lambda: "the command runs")
        programs = programs_of(daemon)
        expect_equal(daemon.stop(), 0, "exit status")
        client.close()
        eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in programs),
                   lambda: f"all of {programs} have ended")


main(globals())
