#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The watchdog: a worker that hangs in a handler, or a daemon that hangs, is ended and started anew.

A handler that hangs is made of one that works: its thread is stopped by ptrace(2) in the middle of it, the others run.
"""
import contextlib
import ctypes
import os

from boxlib import (ECHO, LIBC, UNIT, Failure, Journal, Skip, eventually, expect, expect_equal, expect_match, main,
                    service)

# Restarts at once, dumps no core, and hears of a hang soon.
QUICK = "[Service]\nWatchdogSec=2s\nRestartSec=0\nLimitCORE=0\n"
POOL = "main: { workers = 1; };"
BUSY = '{ name = "busy"; address = "tcp:127.0.0.1:7019"; service = "chargen"; }'
# write, writev, sendto, sendmsg: a thread that is in one of them is in a handler, not in its event loop.
SENDING = {"x86_64": (1, 20, 44, 46), "aarch64": (64, 66, 206, 211)}
WALL = 0x40000000
PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH = 0x4206, 0x4207, 17


def ptrace(request, thread):
    if LIBC.ptrace(ctypes.c_long(request), ctypes.c_long(thread), None, None) < 0:
        raise Failure(f"ptrace: {os.strerror(ctypes.get_errno())}")


def threads(pid):
    """Name -> thread, of all threads of a process."""
    found = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm", encoding="utf-8") as stream:
            found[stream.read().strip()] = int(thread)
    return found


@contextlib.contextmanager
def held(thread, is_there=lambda: True):
    """One thread of another process stands still where is_there() holds; the others run."""
    def stop():
        ptrace(PTRACE_SEIZE, thread)
        ptrace(PTRACE_INTERRUPT, thread)
        os.waitpid(thread, WALL)
        if is_there():
            return True
        ptrace(PTRACE_DETACH, thread)
        return False

    eventually(stop, lambda: "the thread was stopped where it should be")
    try:
        yield
    finally:
        try:
            ptrace(PTRACE_DETACH, thread)
        except Failure:  # killed with its process; that ends only when its tracer has taken note
            os.waitpid(thread, WALL)


def wait_for_timeout(journal):
    journal.wait(lambda record: "SIGABRT" in record.get("MESSAGE", "") and record["_PID"] == "1", "the end of patience")


def expect_restart(box, journal, old):
    wait_for_timeout(journal)
    record = journal.wait_for("STARTED", lambda entry: entry["_PID"] != old)
    expect_equal(box.show("MainPID"), record["_PID"], "process")
    expect_equal(box.show("NRestarts"), "1", "restarts")
    expect_equal(box.echo("tcp:127.0.0.1:7007", "anew"), "anew", "answer after the restart")


def only_worker(pid):
    workers = [thread for name, thread in threads(pid).items() if name != "cp-log" and thread != pid]
    expect_equal(len(workers), 1, f"workers among {sorted(threads(pid))}")
    return workers[0]


def test_a_handler_that_hangs_ends_in_a_restart():
    if os.uname().machine not in SENDING:
        raise Skip(f"the numbers of system calls on {os.uname().machine} are not known here")
    box = service(drop_in=QUICK, pools=POOL, listeners=f"{ECHO}, {BUSY}")
    old = box.show("MainPID")
    pid = box.main_pid()
    worker = only_worker(pid)

    def is_sending():
        with open(f"/proc/{pid}/task/{worker}/syscall", encoding="ascii") as stream:
            return int(stream.read().split()[0]) in SENDING[os.uname().machine]

    client = box.start(["sh", "-c", "connpool-client connect tcp:127.0.0.1:7019 > /dev/null"])
    with Journal(box) as journal:
        with held(worker, is_sending):
            stalled = journal.wait_for("WORKER_STALLED")
            expect_equal((stalled["LISTENER"], stalled["SERVICE"]), ("busy", "chargen"), "who is said to hang")
            wait_for_timeout(journal)
        expect_restart(box, journal, old)
    client.kill()
    client.communicate()


def test_an_idle_worker_that_does_not_wake_ends_in_a_restart():
    box = service(drop_in=QUICK, pools=POOL)
    old = box.show("MainPID")
    with Journal(box) as journal:
        with held(only_worker(box.main_pid())):
            wait_for_timeout(journal)
        expect_restart(box, journal, old)


def test_a_process_that_stands_still_ends_in_a_restart():
    box = service(drop_in=QUICK, pools=POOL)
    old = box.show("MainPID")
    with Journal(box) as journal:
        box.systemctl("kill", "--kill-who=main", "-s", "STOP", UNIT)
        expect_restart(box, journal, old)


def test_a_logger_that_hangs_is_no_reason():
    # It holds up nobody: clients are served, and the watchdog is fed.
    box = service(drop_in=QUICK, pools=POOL)
    pid = box.show("MainPID")
    with held(threads(box.main_pid())["cp-log"]):
        fed = int(box.show("WatchdogTimestampMonotonic"))
        while int(box.show("WatchdogTimestampMonotonic")) < fed + 2500000:
            expect_equal(box.echo("tcp:127.0.0.1:7007", "hello"), "hello", "answer")
    expect_equal(box.show("MainPID"), pid, "process")


def test_the_unit_asks_for_a_watchdog():
    box = service()
    expect_match("^30s$", box.show("WatchdogUSec"), "WatchdogSec=")
    expect(int(box.show("WatchdogTimestampMonotonic")) > 0, "the daemon has fed it")


main(globals())
