#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gdb and valgrind find a module's functions by name, and gdb does not hang on the name that the loader has for it."""
import os
import shutil
import subprocess

from cpharness import LIMIT, SANITIZERS, TOP_BUILDDIR, Daemon, Skip, expect_match, main

MODULES = os.path.join(TOP_BUILDDIR, "tests", "modules")
RUN = os.path.join(TOP_BUILDDIR, "src", "connpool-run")


def gdb(*args):
    """What it prints; without files of the user's, without asking servers for symbols."""
    if SANITIZERS:
        raise Skip("this is for a plain build")
    if not shutil.which("gdb"):
        raise Skip("there is no gdb")
    done = subprocess.run(["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", *args],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=3 * LIMIT,
                          check=False)
    text = done.stdout.decode("utf-8", "replace")
    if "ptrace: Operation not permitted" in text:
        raise Skip("ptrace(2) is not allowed here")
    return text


def test_gdb_attaches_to_a_daemon_inside_a_module():
    module = os.path.join(MODULES, "rude.so")
    with Daemon(wait_ready=False, listeners='{ name = "m"; address = "tcp:127.0.0.1:0"; service = { type = "module"; '
                f'path = "{module}"; pipe = "@DIR@/pipe"; }}; }}',
                pools='main: { workers = 1; stall_warning = "50ms"; };') as daemon:
        daemon.wait_ready()
        os.mkfifo(daemon.dir + "/pipe")
        with daemon.connect("m") as client:
            client.send(b"hold\n")
            daemon.wait_log("worker 0 has been held")
            text = gdb("-p", str(daemon.process.pid), "-ex", "info sharedlibrary", "-ex", "thread apply all bt")
            expect_match(rf"Yes\s+(\(\*\) +)?/proc/{daemon.process.pid}/fd/\d+", text, "the module among the libraries")
            expect_match(r"#\d+ +0x[0-9a-f]+ in (hold|serve) \(", text, "a frame of the module")
            with open(daemon.dir + "/pipe", "w", encoding="ascii") as pipe:
                pipe.write("x")
            client.recv_all()


def test_gdb_runs_a_module_to_its_crash():
    module = os.path.join(MODULES, "crash.so")
    folder = os.path.join(TOP_BUILDDIR, "tests", "modules")
    command = os.path.join(folder, f"gdb-input-{os.getpid()}")
    with open(command, "w", encoding="ascii") as stream:
        stream.write("null\n")
    try:
        text = gdb("-ex", f"run {module} < {command}", "-ex", "bt", "-ex", "info sharedlibrary", RUN)
    finally:
        os.unlink(command)
    expect_match(r"#0 .*crash_on_null \(\)", text, "the innermost frame")
    expect_match(r"#\d+ .*serve \(conn=0x", text, "its caller")
    expect_match(r"Yes\s+\S*/crash\.so", text, "the module among the libraries")


def test_valgrind_names_a_modules_function():
    if SANITIZERS:
        raise Skip("this is for a plain build")
    if not shutil.which("valgrind"):
        raise Skip("there is no valgrind")
    done = subprocess.run(["valgrind", RUN, os.path.join(MODULES, "crash.so")], input=b"null\n", stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=3 * LIMIT, check=False)
    text = done.stderr.decode("utf-8", "replace")
    expect_match(r"Invalid write of size 4\n==\d+==    at 0x[0-9A-F]+: crash_on_null \(crash\.c:\d+\)", text, "error")


main(globals())
