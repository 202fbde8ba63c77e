#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs and reloads: what runs goes on, what comes is started as the new config says, a bad one changes nothing."""
import os

from cpharness import eventually, expect, expect_equal, expect_match, main
from execlib import POOL, children_of, daemon_with, expect_only_ours, listener, shell


def processes(daemon, wanted):
    return [number for number, what in children_of(daemon.process.pid).items() if what[2] == wanted and what[1] != "Z"]


def the_spawner(daemon):
    """It has its name a moment after it was forked."""
    eventually(lambda: len(processes(daemon, "cp-spawner")) == 1, lambda: processes(daemon, "cp-spawner"))
    return processes(daemon, "cp-spawner")


def test_none_is_forked_before_it_is_needed():
    echo = '{ name = "echo"; address = "tcp:127.0.0.1:0"; service = "echo"; }'
    with daemon_with(echo) as daemon:
        eventually(lambda: len(processes(daemon, "cp-keeper")) == 1, lambda: processes(daemon, "cp-keeper"))
        expect_equal(processes(daemon, "cp-spawner"), [], "spawners")
        daemon.reload(listeners=echo + "," + listener("cat", ["/bin/cat"]), pools=POOL)
        the_spawner(daemon)
        with daemon.connect("cat") as client:
            client.expect_echo()


def test_what_runs_goes_on_and_what_comes_is_new():
    with daemon_with(shell("s", "echo old; read line; echo old $line")) as daemon:
        client = daemon.connect("s")
        expect_equal(client.recv_exactly(4), b"old\n", "before")
        first = the_spawner(daemon)
        line = daemon.reload(listeners=shell("s", "echo new; read line; echo new $line"), pools=POOL)
        expect_match("reloaded: 1 change", line, "reload")
        with daemon.connect("s") as other:
            expect_equal(other.recv_exactly(4), b"new\n", "after")
            client.send(b"still here\n")
            expect_equal(client.recv_all(), b"old still here\n", "the old one")
            client.close()
            expect_equal(the_spawner(daemon), first, "spawners")
            other.send(b"x\n")
            expect_equal(other.recv_all(), b"new x\n", "the new one")
        expect_only_ours(daemon)


def test_a_reload_keeps_the_spawner():
    with daemon_with(listener("cat", ["/bin/cat"])) as daemon:
        first = the_spawner(daemon)
        for timeout in range(3):
            rule = f'idle_timeout = "{timeout + 1}h";'
            daemon.reload(listeners=listener("cat", ["/bin/cat"], more=f"nice = {timeout};", rule=rule), pools=POOL)
            with daemon.connect("cat") as client:
                client.expect_echo()
        expect_equal(processes(daemon, "cp-spawner"), first, "spawners")


def test_a_bad_config_changes_nothing():
    with daemon_with(shell("s", "echo one")) as daemon:
        first = the_spawner(daemon)
        line = daemon.reload(listeners=shell("s", "echo two", 'user = "nosuchuser";'), pools=POOL)
        expect_match("reload failed", line, "reload")
        # The programs are fine, an address is not.
        taken = '{ name = "t"; address = "unix:/nonexistent/folder/s"; service = "echo"; }'
        line = daemon.reload(listeners=shell("s", "echo three") + "," + taken, pools=POOL)
        expect_match("reload failed", line, "reload")
        with daemon.connect("s") as client:
            expect_equal(client.recv_all(), b"one\n", "output")
        eventually(lambda: processes(daemon, "cp-spawner") == first, lambda: processes(daemon, "cp-spawner"))


def test_many_reloads_leave_nothing_behind():
    with daemon_with(shell("s", "echo 0")) as daemon:
        descriptors = None
        for number in range(1, 31):
            daemon.reload(listeners=shell("s", f"echo {number % 7}"), pools=POOL)
            with daemon.connect("s") as client:
                expect_equal(client.recv_all(), b"%d\n" % (number % 7), "output")
            if number == 10:
                descriptors = daemon.fd_count()
        eventually(lambda: len(processes(daemon, "cp-spawner")) == 1, lambda: processes(daemon, "cp-spawner"))
        expect(daemon.fd_count() <= descriptors + 1, f"{daemon.fd_count()} descriptors, {descriptors} earlier")
        # The standard streams, four sockets and signals, and one table; those of the spawner's two channels beside.
        for name, most in (("cp-keeper", 8), ("cp-spawner", 11)):
            number = processes(daemon, name)[0]
            eventually(lambda pid=number, limit=most: len(os.listdir(f"/proc/{pid}/fd")) <= limit,
                       lambda pid=number: f"descriptors of {pid}: {os.listdir(f'/proc/{pid}/fd')}")


def test_programs_may_leave_the_config():
    with daemon_with(shell("s", "read line; echo got $line")) as daemon, daemon.connect("s") as client:
        daemon.reload(listeners='{ name = "s"; address = "tcp:127.0.0.1:0"; service = "echo"; }', pools=POOL)
        client.send(b"it\n")
        expect_equal(client.recv_all(), b"got it\n", "output")


main(globals())
