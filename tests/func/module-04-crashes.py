#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Crashes: the last line says whose code ended the daemon, the backtrace where, and the signal takes its course."""
import os
import re
import resource
import shutil
import signal
import subprocess

from cpharness import (LIMIT, SANITIZERS, TOP_BUILDDIR, Daemon, Skip, eventually, expect, expect_equal, expect_match,
                       main, make_config)
from execlib import children_of

MODULES = os.path.join(TOP_BUILDDIR, "tests", "modules")
CRASH = os.path.join(MODULES, "crash.so")
RUN = os.path.join(TOP_BUILDDIR, "src", "connpool-run")


def listener(path=CRASH, where="", name="m"):
    return f'{{ name = "{name}"; address = "tcp:127.0.0.1:0"; ' \
           f'service = {{ type = "module"; path = "{path}"; where = "{where}"; }}; }}'


def skip_with_sanitizers():
    if SANITIZERS:
        raise Skip("sanitizers have words of their own for this")


class Crashing(Daemon):
    """One that is to end, without a core; what its modules say on their own behalf is theirs."""

    def __init__(self, **parts):
        super().__init__(limits={resource.RLIMIT_CORE: (0, 0)}, **parts)

    def expect_clean_log(self):
        pass

    def end(self):
        """How it ended, below 0 by a signal, and all that it said."""
        return self.wait_exit(), "\n".join(self.log.lines)


def child_named(daemon, name):
    """A process of the daemon's: its child, or a child of that."""
    def found():
        return [pid for pid, (_, state, comm) in children_of(daemon.process.pid).items()
                if comm == name and state != "Z"]
    # It has its name a moment after it was forked.
    eventually(found, lambda: f"there is no {name}")
    return found()[0]


def expect_crash(command, status, line, function=None, **module):
    """The command ends the daemon: with this status, a line that matches, and a frame of that function."""
    skip_with_sanitizers()
    with Crashing(listeners=listener(**module)) as daemon, daemon.connect("m") as client:
        client.send(command + b"\n")
        found, log = daemon.end()
        expect_equal(found, status, f"how {command} ended it")
        expect_match(line, log, "the line")
        if function:
            expect_match(rf"connpoold:   #\d+ \S*{re.escape(os.path.basename(module.get('path', CRASH)))}"
                         rf"\+0x[0-9a-f]+ \({function}\+0x[0-9a-f]+\)", log, "a frame")
        return log


WHO = r"listener 'm', service 'crash', module '\S+/crash\S*\.so', connection 1, in serve\(\).*, thread cp-w\d+-main"


def test_a_null_pointer_is_named():
    log = expect_crash(b"null", -signal.SIGSEGV, rf"connpoold: ended by SIGSEGV at address 0x0: {WHO}", "crash_on_null")
    expect("(serve+" in log, "the caller has its frame")


def test_an_offset_is_what_addr2line_takes():
    skip_with_sanitizers()
    if not shutil.which("addr2line"):
        raise Skip("there is no addr2line")
    log = expect_crash(b"null", -signal.SIGSEGV, "ended by SIGSEGV")
    offset = re.search(r"#0 \S*crash\.so\+(0x[0-9a-f]+)", log).group(1)
    done = subprocess.run(["addr2line", "-fe", CRASH, offset], stdout=subprocess.PIPE, timeout=LIMIT, check=True)
    expect_match(r"^crash_on_null\n\S*crash\.c:\d+", done.stdout.decode(), "what addr2line says")


def test_other_faults_are_named():
    expect_crash(b"division", -signal.SIGFPE, rf"ended by SIGFPE: {WHO}", "crash_by_division")
    expect_crash(b"trap", -signal.SIGILL, rf"ended by SIGILL: {WHO}", "crash_by_trap")


def test_abort_and_a_failed_assertion_are_named():
    expect_crash(b"abort", -signal.SIGABRT, rf"ended by SIGABRT: {WHO}", "crash_by_abort")
    expect_crash(b"assert", -signal.SIGABRT, rf"ended by SIGABRT: {WHO}", "crash_by_assert")


def test_exit_is_a_failure_whatever_its_status():
    expect_crash(b"exit", 1, rf"ended by exit\(0\), with status 1: {WHO.split(', thread')[0]}", "crash_by_exit")
    expect_crash(b"exit-78", 1, r"ended by exit\(78\), with status 1: listener 'm'", "crash_by_exit_78")
    expect_crash(b"quick-exit", 1, r"ended by quick_exit\(3\), with status 1: listener 'm'", "crash_by_quick_exit")
    expect_crash(b"_exit", 1, r"ended by _exit\(0\), with status 1: listener 'm'", "crash_by__exit")


def test_a_child_of_a_handler_may_exit():
    with Crashing(listeners=listener()) as daemon, daemon.connect("m") as client:
        client.send(b"fork\n")
        expect_equal(client.recv_all(), b"survived \n", "the answer")
        expect(not daemon.log.find("ended by"), "nothing is said of the child")


def test_a_helper_thread_says_for_whom_it_works():
    expect_crash(b"blocking", -signal.SIGSEGV,
                 r"ended by SIGSEGV at address 0x0: listener 'm', service 'crash', module '\S+/crash\.so', "
                 r"connection 1, in cp_blocking\(\), thread cp-b0", "block_and_crash")


def test_worker_start_is_named():
    expect_crash(b"worker", -signal.SIGSEGV, r"ended by SIGSEGV .*: listener 'm'.*, in worker_start\(\)",
                 "worker_start", where="worker_start")


def expect_crash_at_end(where):
    skip_with_sanitizers()
    with Crashing(listeners=listener(where=where)) as daemon:
        with daemon.connect("m") as client:
            client.send(b"worker\n")
            client.recv_all()
        daemon.kill(signal.SIGTERM)
        status, log = daemon.end()
        expect_equal(status, -signal.SIGSEGV, "how it ended")
        expect_match(rf"ended by SIGSEGV .*: listener 'm', service 'crash', module '\S+', in {where}\(\)", log, "line")
        expect_match(rf"\({where}\+0x", log, "a frame")


def test_worker_end_and_release_are_named():
    expect_crash_at_end("worker_end")
    expect_crash_at_end("release")


def test_configure_is_named_at_the_start():
    skip_with_sanitizers()
    with Crashing(listeners=listener(where="configure"), wait_ready=False) as daemon:
        status, log = daemon.end()
        expect_equal(status, -signal.SIGSEGV, "how it ended")
        expect_match(r"ended by SIGSEGV .*: listener 'm', service 'crash', module '\S+', in configure\(\), "
                     r"during the start, thread connpoold", log, "line")
        expect_match(r"\(configure\+0x", log, "a frame")


def test_configure_is_named_at_a_reload():
    skip_with_sanitizers()
    with Crashing(listeners=listener()) as daemon:
        daemon.write_config(make_config(listeners=listener(where="configure")))
        daemon.kill(signal.SIGHUP)
        status, log = daemon.end()
        expect_equal(status, -signal.SIGSEGV, "how it ended")
        expect_match(r"ended by SIGSEGV .*, in configure\(\), during a reload, thread connpoold", log, "line")


def test_a_constructor_is_named():
    skip_with_sanitizers()
    with Crashing(listeners=listener(path=os.path.join(MODULES, "crash-at-load.so")), wait_ready=False) as daemon:
        status, log = daemon.end()
        expect_equal(status, -signal.SIGSEGV, "how it ended")
        expect_match(r"ended by SIGSEGV .*: module '\S+/crash-at-load.so', in dlopen\(\), during the start", log,
                     "line")
        expect_match(r"\(crash_at_load\+0x", log, "a frame")


def test_a_crash_while_its_tables_are_read_names_the_module():
    skip_with_sanitizers()
    with Crashing(listeners=listener(path=os.path.join(MODULES, "crash-at-table.so")), wait_ready=False) as daemon:
        status, log = daemon.end()
        expect_equal(status, -signal.SIGSEGV, "how it ended")
        expect_match(r"ended by SIGSEGV at address 0x10: module '\S+/crash-at-table.so', during the start", log, "line")


def test_a_signal_from_outside_is_told_from_a_fault():
    skip_with_sanitizers()
    with Crashing(listeners=listener()) as daemon:
        daemon.kill(signal.SIGSEGV)
        status, log = daemon.end()
        expect_equal(status, -signal.SIGSEGV, "how it ended")
        expect_match(rf"ended by SIGSEGV, sent by process {os.getpid()} of user {os.getuid()}: "
                     r"no fault of this process", log, "line")
        expect("#0" not in log, "no backtrace of who had nothing to do with it")


def test_the_keeper_and_the_spawner_say_who_they_are():
    skip_with_sanitizers()
    program = '{ name = "p"; address = "tcp:127.0.0.1:0"; service = { type = "exec"; command = ["/bin/cat"]; }; }'
    with Crashing(listeners=program) as daemon:
        for thread, name in (("cp-spawner", "spawner"), ("cp-keeper", "keeper")):
            os.kill(child_named(daemon, thread), signal.SIGBUS)
            daemon.wait_log(rf"connpoold: {name}: ended by SIGBUS, sent by process {os.getpid()} ")


def test_each_overflow_names_the_pool_and_ends_before_it_does_harm():
    skip_with_sanitizers()
    for path in (CRASH, os.path.join(MODULES, "crash-unprobed.so")):
        for kind in ("recursion", "60000", "98304", "500000", "alloca"):
            log = expect_crash(b"overflow " + kind.encode(), -signal.SIGSEGV,
                               rf"stack overflow in a fiber of pool 'main': raise its stack_size \(now 65536 bytes\)"
                               rf"\n.*ended by SIGSEGV at address 0x[0-9a-f]+: {WHO}", path=path)
            expect(f"(frame_of_{1000 if kind == 'recursion' else kind}+" in log, f"{kind} has its frame")


def test_connpool_run_says_it_too():
    skip_with_sanitizers()
    done = subprocess.run([RUN, CRASH], input=b"null\n", stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LIMIT,
                          check=False)
    expect_equal(done.returncode, -signal.SIGSEGV, "how it ended")
    expect_match(r"connpool-run: ended by SIGSEGV at address 0x0: listener 'run', service 'crash'",
                 done.stderr.decode(), "line")


main(globals())
