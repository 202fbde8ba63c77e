#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs that behave badly: each ends in a clear record, and nothing of it is left."""
import os
import resource
import signal


from cpharness import Daemon, eventually, expect, expect_equal, expect_match, main
from execlib import children_of, daemon_with, expect_only_ours, listener, shell, spawner_fds, spawner_of


CAP_SYS_RESOURCE = 24


def ended(daemon, name, end, words):
    record = daemon.wait_closed(listener=name)
    expect_equal(record["end"], end, "end")
    expect_match(words, record["program"], "record")
    expect_only_ours(daemon)
    return record


def is_zombie(number):
    try:
        with open(f"/proc/{number}/stat", encoding="utf-8") as stream:
            # A thread that a sanitizer has added may outlive the first one, and holds the descriptors until it ends.
            return stream.read().rsplit(")", 1)[1].split()[0] == "Z" and len(os.listdir(f"/proc/{number}/task")) == 1
    except OSError:
        return True


def test_children_that_stay_behind_end_with_it():
    with daemon_with(shell("s", "sleep 1000 & (sleep 1000 &) ; echo done")) as daemon:
        with daemon.connect("s") as client:
            expect_equal(client.recv_all(), b"done\n", "output")
        ended(daemon, "s", "service", "exit status 0")


def test_orphans_of_a_session_of_their_own_are_reaped():
    with daemon_with(shell("s", "setsid sleep 0.2 </dev/null >/dev/null 2>&1 & echo done")) as daemon:
        with daemon.connect("s") as client:
            expect_equal(client.recv_all(), b"done\n", "output")
        ended(daemon, "s", "service", "exit status 0")


def test_one_that_ignores_term_is_killed():
    script = "trap '' TERM; echo up; sleep 1000 & while :; do sleep 1000; done"
    with daemon_with(shell("s", script, 'kill_timeout = "300ms";', 'lifetime = "300ms";')) as daemon:
        with daemon.connect("s") as client:
            expect_equal(client.recv_all(), b"up\n", "output")
        ended(daemon, "s", "lifetime", "signal KILL")


def test_one_that_heeds_term_may_say_goodbye():
    script = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done"
    with daemon_with(shell("s", script, 'kill_timeout = "60s";', 'lifetime = "300ms";')) as daemon:
        with daemon.connect("s") as client:
            expect_equal(client.recv_all(), b"up\nbye\n", "output")
        ended(daemon, "s", "lifetime", "exit status 5")


def test_one_that_closes_its_streams_is_waited_for():
    with daemon_with(shell("s", "exec <&- >&-; sleep 0.3; exit 4")) as daemon:
        with daemon.connect("s") as client:
            expect_equal(client.recv_all(), b"", "output")
        record = ended(daemon, "s", "service", "exit status 4")
        expect(float(record["served"]) >= 299, f"served {record['served']} ms")


def test_one_that_writes_and_never_reads():
    with daemon_with(shell("s", "exec head -c 3000000 /dev/zero")) as daemon:
        with daemon.connect("s") as client:
            client.send(b"x" * 50000)
            expect_equal(len(client.recv_all()), 3000000, "bytes")
        ended(daemon, "s", "service", "exit status 0")


def test_one_whose_client_goes_gets_its_signal():
    with daemon_with(listener("s", ["/bin/cat", "/dev/zero"])) as daemon:
        client = daemon.connect("s")
        client.recv_exactly(100000)
        client.reset()
        ended(daemon, "s", "service", "signal PIPE|exit status 1")


def test_one_that_dumps_core():
    more = 'directory = "@DIR@"; limit_core = "1MiB";'
    with daemon_with(shell("s", "kill -ABRT $$", more)) as daemon:
        with daemon.connect("s") as client:
            client.expect_end()
        ended(daemon, "s", "service", "signal ABRT")


def test_one_that_floods_standard_error():
    with daemon_with(shell("s", "yes complaint | head -n 200000 >&2; echo done")) as daemon:
        with daemon.connect("s") as client:
            expect_equal(client.recv_all(), b"done\n", "output")
        ended(daemon, "s", "service", "exit status 0")
        lines = len(daemon.log.find("stderr: complaint$"))
        expect(100 <= lines <= 300, f"{lines} lines logged")
        match = daemon.wait_log(r"stderr: (\d+) more lines, not logged")
        expect_equal(int(match.group(1)) + lines, 200000, "lines")


def test_a_line_without_an_end_is_cut():
    with daemon_with(shell("s", "head -c 2000 /dev/zero | tr '\\0' x >&2")) as daemon:
        with daemon.connect("s") as client:
            client.expect_end()
        ended(daemon, "s", "service", "exit status 0")
        expect_equal(len(daemon.log.find("stderr: x{512}$")), 3, "whole pieces")


def test_what_cannot_be_run_says_why():
    more = 'busy_message = "come again\\r\\n";'
    with daemon_with(listener("none", ["/nonexistent/x"], rule=more), listener("dir", ["/tmp"]),
                     listener("data", ["/etc/passwd"]), listener("cwd", ["/bin/cat"], 'directory = "/nonexistent";'),
                     listener("root", ["/bin/cat"], 'chroot = "/nonexistent";')) as daemon:
        for name, words in (("none", "cannot run /nonexistent/x: No such file or directory"),
                            ("dir", "cannot run /tmp: Permission denied"),
                            ("data", "cannot run /etc/passwd: Permission denied"),
                            ("cwd", "cannot enter /nonexistent: No such file or directory"),
                            ("root", "cannot make /nonexistent its root: ")):
            with daemon.connect(name) as client:
                expect_equal(client.recv_all(), b"come again\r\n" if name == "none" else b"", "output")
            ended(daemon, name, "program-failed", words)
            daemon.wait_log(f"warning: listener '{name}': connection \\d+: {words}")


def test_a_dead_spawner_is_replaced():
    with daemon_with(listener("cat", ["/bin/cat"]), shell("s", "sleep 1000 & sleep 1000")) as daemon:
        with daemon.connect("cat") as one, daemon.connect("s") as other:
            one.expect_echo()
            dead = spawner_of(daemon)
            eventually(lambda: len(children_of(daemon.process.pid)) >= 5, lambda: children_of(daemon.process.pid))
            os.kill(dead, signal.SIGKILL)
            one.expect_end()
            other.expect_end()
        daemon.wait_log(rf"error: the spawner \(process {dead}\) was ended by signal 9; 2 programs were ended with it")
        for name in ("cat", "s"):
            ended(daemon, name, "program-failed", "the spawner died, and it was ended")
        expect(spawner_of(daemon) != dead, "a new spawner")
        # At once and again: nothing of the old one is in the way.
        for _ in range(3):
            with daemon.connect("cat") as client:
                client.expect_echo()


def test_a_program_waits_for_the_next_spawner():
    with daemon_with(listener("cat", ["/bin/cat"])) as daemon:
        with daemon.connect("cat") as client:
            client.expect_echo()
        # It dies twice, the second time so soon that it is started again only after a pause.
        for _ in range(2):
            dead = spawner_of(daemon)
            os.kill(dead, signal.SIGKILL)
            # What it was sent before it was gone is lost with it.
            eventually(lambda number=dead: is_zombie(number), lambda: "the spawner does not die")
            with daemon.connect("cat") as client:
                client.expect_echo()
        daemon.wait_log("the spawner", count=2)
        expect_only_ours(daemon)


def test_without_descriptors_it_says_so_and_goes_on():
    # The pipe for standard error is the first thing that there is no descriptor for.
    few = {"limits": {resource.RLIMIT_NOFILE: (64, 64)}, "without_caps": (CAP_SYS_RESOURCE,)}
    with daemon_with(listener("cat", ["/bin/cat"]), quiet=True, **few) as daemon:
        clients = [daemon.connect("cat") for _ in range(60)]
        for client in clients:
            client.close()
        daemon.wait_accounted(60)
        with daemon.connect("cat") as client:
            client.expect_echo()
        expect_only_ours(daemon)
        expect(spawner_fds(daemon) < 16, "descriptors of the spawner")


def test_a_stop_ends_programs():
    with daemon_with(shell("s", "trap '' TERM; echo up; while :; do sleep 1000; done", 'kill_timeout = "500ms";'),
                     daemon='drain_timeout = "200ms";') as daemon:
        with daemon.connect("s") as client:
            client.recv_exactly(3)
            below = children_of(daemon.process.pid)
            expect_equal(daemon.stop(), 0, "exit status")
            record = daemon.wait_closed()
            expect_equal(record["end"], "drain", "end")
            expect_match("signal KILL", record["program"], "record")
        for number in below:
            expect(not os.path.exists(f"/proc/{number}"), f"process {number} is still there: {below[number]}")


def test_a_killed_daemon_leaves_no_program():
    with Daemon(listeners=shell("s", "sleep 1000 & sleep 1000")) as daemon:
        with daemon.connect("s"):
            eventually(lambda: len(children_of(daemon.process.pid)) >= 4, lambda: children_of(daemon.process.pid))
            below = [number for number, what in children_of(daemon.process.pid).items() if what[1] != "Z"]
            daemon.kill(signal.SIGKILL)
            daemon.wait_exit()
        eventually(lambda: not [n for n in below if os.path.exists(f"/proc/{n}") and not is_zombie(n)], lambda: below)


main(globals())
