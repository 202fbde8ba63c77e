#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""connpool-client's command line: --help and the manual page name the same options, wrong words end with status 2."""
import os
import re

from clientlib import TOP_SRCDIR, Server, echo, expect, expect_equal, expect_status, main, run

PAGE = os.path.join(TOP_SRCDIR, "man", "connpool-client.1")


def options_of_help():
    done = run("--help")
    expect_status(done, 0)
    found = re.findall(r"^  -(\w), --([\w-]+)(?: ([A-Z]+))? ", done.stdout.decode(), re.M)
    return {(short, name, value.lower()) for short, name, value in found}


def help_and_manual_page_have_the_same_options():
    with open(PAGE, encoding="utf-8") as page:
        text = page.read()
    described = {(short, name, value or "")
                 for short, name, value in re.findall(r"^\.It Fl (\w) , -([\w-]+)(?: Ar (\w+))?$", text, re.M)}
    helped = options_of_help()
    expect(len(helped) >= 15, f"too few options in --help: {helped}")
    expect_equal(sorted(described ^ helped), [], "options that only one of both names")
    synopsis = text[text.index(".Sh SYNOPSIS"):text.index(".Sh DESCRIPTION")]
    shown = set("".join(re.findall(r"Fl (\w+)", synopsis)))
    expect_equal(shown, {short for short, _, _ in helped}, "short options in the synopsis")


def help_and_manual_page_have_the_same_defaults():
    with open(PAGE, encoding="utf-8") as page:
        text = page.read()
    shown = run("--help").stdout.decode()
    for name, default in re.findall(r"^  -\w, --([\w-]+) [A-Z]+ .*\((\w+)[^)]*\)$", shown, re.M):
        entry = re.search(rf"^\.It Fl \w , -{name} .*?(?=^\.It|^\.El)", text, re.M | re.S).group(0)
        expect(re.search(rf"^Default: {default}\b|^Default: no limit", entry, re.M) is not None,
               f"--{name}: default {default} in --help, but not in the manual page")


def help_and_version_succeed():
    for args in (["--help"], ["-h"], ["bench", "--help"], ["--version"], ["send", "-V"]):
        done = run(*args)
        expect_status(done, 0)
        expect(done.stdout.startswith((b"Usage: connpool-client", b"connpool-client (connpoold) ")), done.stdout)
    with open("/dev/full", "wb") as full:
        expect_status(run("--help", stdout=full), 1)


def wrong_command_lines_end_with_2():
    for line in ("", "fly 127.0.0.1:1", "connect", "send", "send 127.0.0.1:1", "bench", "connect 127.0.0.1",
                 "connect 127.0.0.1:1 more", "connect 127.0.0.1:0", "connect systemd:echo", "connect --fly 127.0.0.1:1",
                 "connect -c 2 127.0.0.1:1", "bench -c 127.0.0.1:1", "bench -c 0 127.0.0.1:1", "bench -c x 127.0.0.1:1",
                 "bench -t 2 127.0.0.1:1", "bench -d never 127.0.0.1:1", "bench -s -1 127.0.0.1:1", "bench -r 0 a:1",
                 "connect -4 -6 127.0.0.1:1", "connect -4 @x", "bench --json=1 127.0.0.1:1", "-4 connect 127.0.0.1:1"):
        done = run(*line.split())
        expect_status(done, 2)
        expect_equal(done.stdout, b"", f"output of '{line}'")
        expect(done.stderr.startswith(b"connpool-client: ") and b"--help" in done.stderr, done.stderr)


def options_may_follow_the_address():
    with Server(echo) as server:
        expect_status(run("bench", server.address, "-c2", "--requests=5", "--js"), 0)


main(help_and_manual_page_have_the_same_options, help_and_manual_page_have_the_same_defaults,
     help_and_version_succeed, wrong_command_lines_end_with_2, options_may_follow_the_address)
