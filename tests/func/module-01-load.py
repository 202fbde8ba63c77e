#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Modules: loaded, checked by their own tables, replaced by a reload, and never able to change under the daemon."""
import os
import re
import shutil
import subprocess
import tempfile
import threading

from cpharness import (CONNPOOLD, TOP_BUILDDIR, TOP_SRCDIR, Daemon, Skip, eventually, expect, expect_equal,
                       expect_match, main, make_config, run_daemon, scaled)

MODULES = os.path.join(TOP_BUILDDIR, "tests", "modules")


def module(name):
    return os.path.join(MODULES, name + ".so")


def listener(path, options="", name="m"):
    return f'{{ name = "{name}"; address = "tcp:127.0.0.1:0";\n' \
           f'service = {{ type = "module"; path = "{path}";\n{options} }}; }}'


def check(listeners, action="--check"):
    """Status, standard output, and standard error without the file's folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "c.conf")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(f"listeners: (\n{listeners}\n);\n")
        status, out, err = run_daemon(action, "-f", path)
        return status, out, err.replace(folder + "/", "")


def expect_error(listeners, line, words):
    status, _, err = check(listeners)
    expect_equal(status, 78, f"status ({err})")
    expect_match(rf"^c\.conf:{line}: listeners\.\(0\)\.service\.{words}", err, "the error")
    expect_equal(err.count("\n"), 1, f"lines of errors in {err}")


def ask(client, command):
    client.send(command.encode() + b"\n")
    reply = b""
    while not reply.endswith(b"\n"):
        reply += client.recv_some() or b"(end)\n"
    return reply.decode().rstrip("\n")


def trace_of(path):
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read().split("\n")[:-1]
    except FileNotFoundError:
        return []


def mapped_copies(daemon):
    """How many copies of modules the daemon has mapped."""
    with open(f"/proc/{daemon.process.pid}/maps", encoding="utf-8") as stream:
        return len(set(re.findall(r"(\d+) +/memfd:\S*\.so", stream.read())))


# ---- options ---------------------------------------------------------------------------------------


def test_settings_are_what_the_section_says():
    options = 'loud = true; times = 7; room = "8KiB"; patience = 2; greeting = "hi"; ' \
              'names = [ "a", "b" ]; mood = "sad";'
    with Daemon(listeners=listener(module("probe-one"), options)) as daemon, daemon.connect("m") as client:
        expect_equal(ask(client, "settings"), "1 7 8192 2000 hi a+b+ 2", "settings")


def test_settings_are_the_modules_defaults():
    with Daemon(listeners=listener(module("probe-one"))) as daemon, daemon.connect("m") as client:
        expect_equal(ask(client, "settings"), "0 3 4096 1500 hello  1", "settings")


def test_options_are_checked_as_all_others_are():
    probe = module("probe-one")
    expect_error(listener(probe, "times = 10;"), 4, r"times: 10 is out of range, expected a number from 1 to 9")
    expect_error(listener(probe, "\n\ngreting = \"x\";"), 6, r"greting: unknown option, did you mean 'greeting'\?")
    expect_error(listener(probe, "greeting = 3;"), 4, r"greeting: is a number, expected a string")
    expect_error(listener(probe, 'mood = "odd";'), 4, r'mood: "odd" is not understood, expected "glad" or "sad"')
    expect_error(listener(probe, 'room = "2GiB";'), 4, r'room: "2GiB" is out of range')
    expect_error('{ name = "m"; address = "tcp:*:0"; service = { type = "module"; x = 1; }; }', 2, r"path: is missing")
    expect_error('{ name = "m"; address = "tcp:*:0"; service = { type = "module"; path = 1; }; }', 2,
                 r"path: is a number")
    expect_error('{ name = "m"; address = "tcp:*:0"; service = "module"; }', 2, r"path: is missing")


def test_dump_shows_the_modules_options_and_can_be_read_again():
    status, out, err = check(listener(module("probe-one"), 'times = 4; names = "a";'), "--dump-config")
    expect_equal(status, 0, f"status ({err})")
    expect_match(r'times = 4; room = "4KiB"; patience = "1500ms"; greeting = "hello"; names = "a"; mood = "glad"', out,
                 "the dump")
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as again:
        again.write(out)
        again.flush()
        expect_equal(run_daemon("--dump-config", "-f", again.name)[1], out, "the dump of the dump")


# ---- modules that can't be taken -------------------------------------------------------------------


def test_faults_are_errors_with_their_line():
    for name, words in (("abi", r"it was compiled for ABI \d+ of connpoold/handler.h, this is ABI \d+"),
                        ("object", r"is an object file, no shared object: link it \(cc -shared\)"),
                        ("flags", r"its handler has flags that this connpoold does not know"),
                        ("counters", r"the name of a counter is not made of small letters"),
                        ("symbol", r'it has no symbol "connpoold_handler"'),
                        ("undefined", r"cannot load it: undefined symbol: there_is_no_such_call"),
                        ("serve", r"its handler has no serve\(\)"),
                        ("table", r'its option "Greeting": its name is not made of')):
        path = module("broken-" + name)
        expect_error(listener(path), 3, rf"path: {re.escape(path)}: {words}")


def test_what_is_no_module_is_an_error():
    with tempfile.TemporaryDirectory() as folder:
        text, half, empty = (os.path.join(folder, name) for name in ("text.so", "half.so", "empty.so"))
        with open(text, "wb") as stream:
            stream.write(b"#!/bin/sh\n" * 100)
        with open(module("probe-one"), "rb") as whole, open(half, "wb") as stream:
            stream.write(whole.read()[:9000])
        with open(empty, "wb"):
            pass
        expect_error(listener(text), 3, r"path: .*text\.so: is not a shared object")
        expect_error(listener(half), 3, r"path: .*half\.so: is not whole")
        expect_error(listener(empty), 3, r"path: .*empty\.so: is not a shared object")
        expect_error(listener(folder), 3, r"path: .*: is not a file")
        expect_error(listener(folder + "/none.so"), 3, r"path: .*none\.so: cannot open: No such file")


def test_a_relative_path_begins_at_the_config_file():
    with Daemon(wait_ready=False, listeners='{ name = "x"; address = "tcp:127.0.0.1:0"; service = "echo"; }') as daemon:
        daemon.wait_ready()
        os.mkdir(daemon.dir + "/sub")
        shutil.copy(module("probe-two"), daemon.dir + "/sub/p.so")
        daemon.reload(listeners=listener("sub/p.so"))
        with daemon.connect("m") as client:
            expect_equal(ask(client, "reply"), "two", "reply")
    expect_error(listener("nowhere.so"), 3, r"path: nowhere\.so: cannot open: No such file")


def test_configure_that_refuses_keeps_the_daemon_from_starting():
    with Daemon(listeners=listener(module("probe-one"), 'refuse = "no tables";'), wait_ready=False) as daemon:
        expect_equal(daemon.wait_exit(), 1, "status")
        daemon.wait_log(r"cannot start: .*connpoold\.conf:3: listener 'm': service 'probe': cannot: no tables")


def test_configure_that_refuses_keeps_the_old_config():
    probe = module("probe-one")
    with Daemon(listeners=listener(probe)) as daemon, daemon.connect("m") as client:
        line = daemon.reload(listeners=listener(probe, 'refuse = "not now";'))
        expect_match(r"reload failed: .*connpoold\.conf:3: listener 'm': service 'probe': cannot: not now, keeping",
                     line, "the log")
        line = daemon.reload(listeners=listener(probe, 'refuse = "";'))
        expect_match(r"service 'probe': Not a directory, keeping", line, "the log, with errno alone")
        line = daemon.reload(listeners=listener(module("broken-abi")))
        expect_match(r"reload failed", line, "the log")
        expect_equal(ask(client, "reply"), "one", "reply")
        with daemon.connect("m") as other:
            expect_equal(ask(other, "reply"), "one", "reply to a new one")


# ---- reload -------------------------------------------------------------------------------------------


def test_reload_takes_the_new_file_and_connections_keep_the_old_one():
    with Daemon(wait_ready=False, listeners='{ name = "x"; address = "tcp:127.0.0.1:0"; service = "echo"; }') as daemon:
        daemon.wait_ready()
        path, trace = daemon.dir + "/m.so", daemon.dir + "/trace"
        config = make_config(listeners=listener(path, f'trace = "{trace}";'),
                             pools="main: { workers = 1; };")
        shutil.copy(module("probe-one"), path)
        daemon.reload(config)
        old = daemon.connect("m")
        expect_equal(ask(old, "reply"), "one", "reply")
        expect_equal(ask(old, "worker"), "worker 1", "state of the worker")
        # In place: the very file that was loaded.
        shutil.copyfile(module("probe-two"), path)
        expect_equal(ask(old, "reply"), "one", "reply before the reload")
        mark = daemon.log.mark()
        daemon.reload(config)
        daemon.wait_log(r"reloaded: listener 'm': service changed, for new connections", since=mark)
        with daemon.connect("m") as new:
            expect_equal(ask(new, "reply"), "two", "reply to a new one")
            expect_equal(ask(old, "reply"), "one", "reply to an old one")
            expect_equal(mapped_copies(daemon), 2, "copies mapped")
            expect_equal(ask(old, "count"), "counted", "count")
            mark = daemon.log.mark()
            old.close()
            daemon.wait_log(r"listener 'm': service 'probe' counted connections=40 commands=5", since=mark)
            eventually(lambda: mapped_copies(daemon) == 1, lambda: "the old module is unmapped")
            expect_equal(ask(new, "reply"), "two", "reply")
        expect_equal(trace_of(trace), ["one configure", "one worker_start", "two configure", "one worker_end",
                                       "one release"], "what was called")
        daemon.stop()
        expect_equal(trace_of(trace)[-1], "two release", "what was called last")


def test_an_unchanged_module_is_not_loaded_twice():
    probe = module("probe-one")
    both = listener(probe) + "," + listener(probe, name="n")
    with Daemon(listeners=both) as daemon, daemon.connect("m") as client:
        expect_equal(ask(client, "reply"), "one", "reply")
        expect_equal(mapped_copies(daemon), 1, "copies mapped")
        fds = daemon.fd_count()
        for _ in range(5):
            mark = daemon.log.mark()
            daemon.reload()
            daemon.wait_log(r"reloaded: 0 changes", since=mark)
        expect_equal(mapped_copies(daemon), 1, "copies mapped")
        # The reserve is taken back after the line in the log.
        eventually(lambda: daemon.fd_count() == fds, lambda: f"{fds} descriptors; there are {daemon.fd_count()}")


def test_a_module_that_can_not_be_unloaded_is_replaced_all_the_same():
    with Daemon(wait_ready=False, listeners='{ name = "x"; address = "tcp:127.0.0.1:0"; service = "echo"; }') as daemon:
        daemon.wait_ready()
        path = daemon.dir + "/m.so"
        replies = []
        for name in ("kept-one", "kept-two", "probe-one", "kept-two", "kept-one"):
            shutil.copyfile(module(name), path)
            expect_match(r"reloaded: ", daemon.reload(listeners=listener(path)), "the log")
            with daemon.connect("m") as client:
                replies.append(ask(client, "reply"))
        expect_equal(replies, ["one", "two", "one", "two", "one"], "replies")
        daemon.wait_log(r"service 'probe': its module stays in memory, because it can't be unloaded")


def test_configure_is_undone_when_a_later_one_refuses():
    probe = module("probe-one")
    with tempfile.TemporaryDirectory() as folder:
        trace = f'trace = "{folder}/trace";'
        both = [listener(probe, trace, name="a"), listener(probe, trace, name="b")]
        with Daemon(listeners=",\n".join(both)) as daemon:
            expect_equal(trace_of(folder + "/trace"), ["one configure"] * 2, "at the start")
            both[1] = listener(probe, trace + ' refuse = "no";', name="b")
            expect_match(r"reload failed", daemon.reload(listeners=",\n".join(both)), "the log")
            expect_equal(trace_of(folder + "/trace"), ["one configure"] * 3 + ["one release"], "a reload refused")
            daemon.stop()
            expect_equal(trace_of(folder + "/trace")[4:], ["one release"] * 2, "the end")


def test_modules_change_under_load():
    with Daemon(wait_ready=False, listeners='{ name = "x"; address = "tcp:127.0.0.1:0"; service = "echo"; }',
                log='connections = false;') as daemon:
        daemon.wait_ready()
        path, trace = daemon.dir + "/m.so", daemon.dir + "/trace"
        config = make_config(listeners=listener(path, f'trace = "{trace}";'), log="connections = false;",
                             pools="main: { workers = 4; };")
        shutil.copy(module("probe-one"), path)
        daemon.reload(config)
        is_over, strange, served = threading.Event(), [], []

        def visit():
            while not is_over.is_set() and not strange:
                with daemon.connect("m") as client:
                    replies = [ask(client, "reply"), ask(client, "worker"), ask(client, "reply")]
                    served.append(replies[0])
                    if replies[0] not in ("one", "two") or replies[0] != replies[2] or replies[1] == "worker 0":
                        strange.append(replies)

        visitors = [threading.Thread(target=visit) for _ in range(4)]
        for visitor in visitors:
            visitor.start()
        rounds = scaled(40, 8)
        for number in range(rounds):
            shutil.copyfile(module(("probe-two", "probe-one")[number % 2]), path)
            expect_match(r"reloaded: 1 change", daemon.reload(), "the log")
        is_over.set()
        for visitor in visitors:
            visitor.join()
        expect_equal(strange, [], "replies that should not be")
        expect_equal(set(served), {"one", "two"}, "who replied")
        eventually(lambda: mapped_copies(daemon) == 1, lambda: f"one of {mapped_copies(daemon)} copies is left")
        calls = [line.split(" ")[1] for line in trace_of(trace)]
        expect_equal((calls.count("configure"), calls.count("release")), (rounds + 1, rounds), "calls")
        # The last one's are still there.
        expect(0 <= calls.count("worker_start") - calls.count("worker_end") <= 4, f"states of workers: {calls}")


def test_a_file_that_is_overwritten_or_removed_changes_nothing():
    with Daemon(wait_ready=False, listeners='{ name = "x"; address = "tcp:127.0.0.1:0"; service = "echo"; }') as daemon:
        daemon.wait_ready()
        path = daemon.dir + "/m.so"
        shutil.copy(module("probe-one"), path)
        daemon.reload(listeners=listener(path))
        with daemon.connect("m") as client:
            expect_equal(ask(client, "reply"), "one", "reply")
            with open(path, "r+b") as stream:
                stream.write(bytes(os.path.getsize(path)))
            expect_equal(ask(client, "settings"), "0 3 4096 1500 hello  1", "code that was not run before")
            os.truncate(path, 0)
            expect_equal(ask(client, "count"), "counted", "the same, of a file that is empty now")
            os.unlink(path)
            expect_match(r"reload failed", daemon.reload(), "the log")
            expect_equal(ask(client, "worker"), "worker 1", "the same, of a file that is gone")


def test_a_handlers_error_is_in_the_record():
    with Daemon(listeners=listener(module("probe-one"))) as daemon, daemon.connect("m") as client:
        name = client.name()
        client.send(b"fail\n")
        client.recv_all()
        expect_equal(daemon.wait_closed(client=name)["end"], "error", "end")


# ---- what is promised ------------------------------------------------------------------------------------


def test_every_call_of_the_header_is_to_be_had():
    nm = shutil.which("nm")
    if not nm:
        raise Skip("there is no nm here")
    with open(os.path.join(TOP_SRCDIR, "include", "connpoold", "handler.h"), encoding="utf-8") as stream:
        text = re.sub(r"/\*.*?\*/", "", stream.read(), flags=re.S)
    declared = set(re.findall(r"^[a-z][a-z0-9_ ]*[ *](cp_[a-z_]+)\(", text, re.M))
    expect(len(declared) > 12, f"calls of the header: {declared}")
    symbols = subprocess.run([nm, "-D", "--defined-only", CONNPOOLD], stdout=subprocess.PIPE, text=True, check=True)
    there = set(re.findall(r" T (cp_\w+)", symbols.stdout))
    expect_equal(declared - there, set(), "calls that modules do not find (src/service/module.c, calls[])")
    expect_equal(there - declared, set(), "names that modules find and the header does not have")


def test_the_example_of_the_manual_works():
    with Daemon(listeners=listener(module("example"), 'greeting = "good day"; patience = "1ms";')) as daemon:
        with daemon.connect("m") as client:
            expect_equal(client.recv_exactly(13), b"who are you?\n", "the question")
            client.send(b"world\n")
            expect_equal(client.recv_all(), b"good day, world\n", "the answer")


def test_a_module_in_cplusplus_works():
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if not compiler:
        raise Skip("there is no C++ compiler here")
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/plusplus.so"
        subprocess.run([compiler, "-std=c++11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I",
                        os.path.join(TOP_SRCDIR, "include"), "-o", path,
                        os.path.join(TOP_SRCDIR, "tests", "modules", "plusplus.cc")], check=True)
        with Daemon(listeners=listener(path, 'greeting = "ho";')) as daemon, daemon.connect("m") as client:
            expect_equal(client.recv_all(), b"hoho\n", "greeting")


main(globals())
