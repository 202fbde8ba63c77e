#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs, the spawner and the keeper when something goes wrong: only the one that it happens to is concerned."""
import contextlib
import os
import pwd
import resource
import signal
import sys

from cpharness import Skip, eventually, expect, expect_equal, expect_match, main
from execlib import POOL, children_of, daemon_with, expect_only_ours, listener, shell, spawner_of

# A user that no process runs as, so that kill(-1) of one of its programs meets its own alone.
LONELY = "news"


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root, to run programs as another user")
    try:
        uid = pwd.getpwnam(LONELY).pw_uid
    except KeyError:
        raise Skip(f"there is no user {LONELY}") from None
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and os.stat(f"/proc/{entry}").st_uid == uid:
                raise Skip(f"user {LONELY} has processes")


@contextlib.contextmanager
def descriptors(pid, count):
    """So many beyond those that are open."""
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    free = [number for number in range(len(taken) + count + 1) if number not in taken]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free[count], before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


# ---- 7: starts that are stopped ------------------------------------------------------------------


def test_a_user_that_stops_its_programs_holds_up_nobody_else():
    need_root()
    mean = f'user = "{LONELY}"; kill_timeout = "100ms";'
    # What the child does last before execve(2), and a long way to go.
    slow = f'directory = "{"/usr/.." * 500}";'
    pools = "main: { workers = 1; connections_per_worker = 1000; }; other: { workers = 1; };"
    with daemon_with(shell("mean", "echo up; while :; do kill -s STOP -- -1; done", mean),
                     listener("victim", ["/bin/true"], mean + slow, rule='lifetime = "10s";'),
                     listener("cat", ["/bin/cat"], rule='pool = "other";'), pools=pools) as daemon:
        with daemon.connect("mean") as stopper:
            stopper.recv_exactly(3)
            # How many it takes until one is met between its user and execve(2) is a matter of luck: most are.
            for _ in range(40):
                victims = [daemon.connect("victim") for _ in range(10)]
                with daemon.connect("cat") as client:
                    client.expect_echo()
                for client in victims:
                    client.close()
            daemon.wait_log("it did not start within 5 s: it was stopped before execve, and killed")


def test_a_spawner_that_does_not_answer_is_replaced():
    if os.geteuid() != 0:
        raise Skip("needs root, to stop the spawner")
    with daemon_with(listener("cat", ["/bin/cat"])) as daemon:
        with daemon.connect("cat") as client:
            client.expect_echo()
            stopped = spawner_of(daemon)
            os.kill(stopped, signal.SIGSTOP)
            client.expect_end()
        daemon.wait_log(rf"error: the spawner \(process {stopped}\) was ended by signal 9: it did not answer for 10 s; "
                        "1 programs were ended with it")
        with daemon.connect("cat") as client:
            client.expect_echo()


# ---- programs that leave their process group ------------------------------------------------------

# Into the group of a child of its own; another child stays in the one that it led, when it is to.
LEAVES_GROUP = """
import os, sys, time
if sys.argv[1] == "behind" and os.fork() == 0:
    time.sleep(1000)
ready, tell = os.pipe()
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.write(tell, b"x")
    time.sleep(1000)
os.read(ready, 1)
os.setpgid(0, child)
os.write(1, b"%10d%10d" % (os.getpid(), child))
time.sleep(1000)
"""


def leaver(how, rule=""):
    return listener("leaver", [sys.executable, "-c", LEAVES_GROUP, how], 'kill_timeout = "200ms";', rule)


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            return stream.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@contextlib.contextmanager
def one_that_left(daemon):
    """The program's pid. Its child is in no group that anybody knows of, and ours to end."""
    with daemon.connect("leaver") as client:
        pid, child = map(int, client.recv_exactly(20).split())
        try:
            expect_equal(os.getpgid(pid), child, "its process group")
            yield pid
        finally:
            for number in (pid, child):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)


def test_a_program_that_leaves_its_group_is_ended():
    for how in ("alone", "behind"):
        with daemon_with(leaver(how, 'lifetime = "1s";')) as daemon, one_that_left(daemon) as pid:
            record = daemon.wait_closed(listener="leaver")
            expect_equal(record["end"], "lifetime", "end")
            expect_match("signal TERM", record["program"], "record")
            expect(not is_running(pid), f"{how}: it runs on")


def test_a_program_that_left_its_group_ends_with_its_spawner():
    for how in ("alone", "behind"):
        with daemon_with(leaver(how)) as daemon, one_that_left(daemon) as pid:
            os.kill(spawner_of(daemon), signal.SIGKILL)
            daemon.wait_log("1 programs were ended with it")
            eventually(lambda: not is_running(pid), lambda: f"{how}: it runs on")


def test_a_program_that_left_its_group_ends_with_its_daemon():
    for how in ("alone", "behind"):
        with daemon_with(leaver(how)) as daemon, one_that_left(daemon) as pid:
            daemon.kill(signal.SIGKILL)
            eventually(lambda: not is_running(pid), lambda: f"{how}: it runs on")
            daemon.process.wait()


# ---- a keeper that does not answer -----------------------------------------------------------------


def test_a_keeper_that_is_stopped_does_not_hold_up_the_end():
    with daemon_with(shell("s", "exec cat")) as daemon, daemon.connect("s") as client:
        client.expect_echo()
        keeper = next(pid for pid, what in children_of(daemon.process.pid).items() if what[2] == "cp-keeper")
        os.kill(keeper, signal.SIGSTOP)
        client.close()
        expect_equal(daemon.stop(), 0, "exit status")
        daemon.wait_log(rf"error: the keeper \(process {keeper}\) did not end within 4 s: it was killed")


# ---- 8: programs that run on over reloads --------------------------------------------------------


def test_after_a_reload_running_programs_are_still_ended():
    stubborn = "trap '' TERM; echo up; while :; do sleep 1000; done"
    old = shell("s", stubborn, 'kill_timeout = "200ms";', 'lifetime = "2s";')
    with daemon_with(old) as daemon, daemon.connect("s") as client:
        expect_equal(client.recv_exactly(3), b"up\n", "output")
        expect_match("reloaded: ", daemon.reload(listeners=shell("s", "echo new"), pools=POOL), "reload")
        record = daemon.wait_closed(listener="s")
        expect_equal(record["end"], "lifetime", "end")
        expect_match("signal KILL", record["program"], "record")
        with daemon.connect("s") as other:
            expect_equal(other.recv_all(), b"new\n", "the new one")


def test_after_a_reload_a_stop_is_clean():
    with daemon_with(shell("s", "trap '' TERM; echo up; while :; do sleep 1000; done", 'kill_timeout = "200ms";'),
                     daemon='drain_timeout = "300ms";') as daemon:
        clients = [daemon.connect("s")]
        clients[0].recv_exactly(3)
        for number in range(3):
            daemon.reload(listeners=shell("s", f"echo {number}; exec sleep 1000"), pools=POOL,
                          daemon='drain_timeout = "300ms";')
            clients.append(daemon.connect("s"))
            clients[-1].recv_exactly(2)
        expect_equal(daemon.stop(), 0, "exit status")
        for client in clients:
            client.close()


# ---- 9, 10: shortages and ends around a reload ---------------------------------------------------


def test_a_reload_short_of_descriptors_fails_or_works():
    """Never does it count as done while programs can't be started."""
    with daemon_with(shell("s", "echo 0")) as daemon:
        now = 0
        with daemon.connect("s") as client:
            expect_equal(client.recv_all(), b"0\n", "output")
        for round_number in range(1, 9):
            with descriptors(daemon.process.pid, round_number // 2):
                line = daemon.reload(listeners=shell("s", f"echo {round_number}"), pools=POOL)
            if "reloaded" in line:
                now = round_number
            else:
                expect_match("reload failed: .*keeping the old configuration", line, "reload")
            with daemon.connect("s") as client:
                expect_equal(client.recv_all(), b"%d\n" % now, f"output after {line}")
        expect(now > 0, "no reload has succeeded")


def test_a_spawner_short_of_descriptors_keeps_the_old_programs():
    with daemon_with(shell("s", "echo 0"), quiet=True) as daemon:
        with daemon.connect("s") as client:
            expect_equal(client.recv_all(), b"0\n", "output")
        spawner = spawner_of(daemon)
        with descriptors(spawner, 0):
            line = daemon.reload(listeners=shell("s", "echo 1"), pools=POOL)
        expect_match("reload failed: the keeper cannot load the config: the spawner cannot take its programs: "
                     "Too many open files, keeping the old configuration", line, "reload")
        with daemon.connect("s") as client:
            expect_equal(client.recv_all(), b"0\n", "output")
        daemon.reload(listeners=shell("s", "echo 2"), pools=POOL)
        with daemon.connect("s") as client:
            expect_equal(client.recv_all(), b"2\n", "output")
        expect_equal(spawner_of(daemon), spawner, "spawner")


def test_a_spawner_that_dies_around_reloads_is_always_replaced():
    with daemon_with(shell("s", "echo 0")) as daemon:
        for number in range(1, 7):
            config = {"listeners": shell("s", f"echo {number % 3}"), "pools": POOL}
            os.kill(spawner_of(daemon), signal.SIGKILL)
            # Before, after, and twice: with a changed config, then with the same.
            if number % 2 == 0:
                daemon.wait_log("takes its place", count=number // 2)
            daemon.reload(**config)
            daemon.reload(**config)
            with daemon.connect("s") as client:
                expect_equal(client.recv_all(), b"%d\n" % (number % 3), "output")
        expect_only_ours(daemon)


def test_tables_of_old_configs_outlive_the_spawner():
    """A connection that came before the reload, and starts its program after the spawner has died."""
    hold = 'accept_proxy = true; trusted_proxies = "127.0.0.1";'
    with daemon_with(shell("s", "echo old", rule=hold)) as daemon:
        before = daemon.fd_count()
        with daemon.connect("s") as client:
            eventually(lambda: daemon.fd_count() > before, lambda: "it was not accepted")
            daemon.reload(listeners=shell("s", "echo new", rule=hold), pools=POOL)
            os.kill(spawner_of(daemon), signal.SIGKILL)
            daemon.wait_log("takes its place")
            client.send(b"PROXY UNKNOWN\r\n")
            expect_equal(client.recv_all(), b"old\n", "output")


# ---- 14: what names stand for, and what is missing -----------------------------------------------


def test_what_cannot_be_run_names_what_is_missing():
    with daemon_with(listener("interpreter", ["@DIR@/interpreter"]), listener("dos", ["@DIR@/dos"]),
                     listener("text", ["@DIR@/text"]), wait_ready=False) as daemon:
        for name, text in (("interpreter", b"#! /usr/bin/pyhton3 -u\nprint(1)\n"), ("dos", b"#!/bin/sh\r\necho 1\r\n"),
                           ("text", b"echo 1\n")):
            with open(os.path.join(daemon.dir, name), "wb") as stream:
                stream.write(text)
                os.fchmod(stream.fileno(), 0o755)
        daemon.wait_ready()
        for name, words in (
                ("interpreter", "the interpreter '/usr/bin/pyhton3' that its first line names does not exist"),
                ("dos", "its first line, which names the interpreter '/bin/sh', ends with a carriage return"),
                ("text", "it is no binary for this machine, and no script")):
            with daemon.connect(name) as client:
                client.expect_end()
            expect_match(f"cannot run {daemon.dir}/{name}: {words}", daemon.wait_closed(listener=name)["program"], name)


main(globals())
