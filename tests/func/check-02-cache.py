#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""When the command of a check runs, and for how many: once for all who ask, again when its answer is too old, on a
timer, over reloads, and when the spawner dies."""
import contextlib
import os
import signal

from checklib import (ask, check, close_gate, daemon_with, expect_no_program, http, open_gate, runs, spawner_of, tell)
from cpharness import connect_to, eventually, expect, expect_equal, expect_match, main

CROWD = 100
NEVER = 'max_age = "1h";'
WORKERS = "main: { workers = 4; };"


def begun(daemon, count=1):
    eventually(lambda: runs(daemon) >= count, lambda: f"run {count} has begun")


def crowd_asks(daemon):
    """A crowd that comes while a run is under way, and its answers."""
    tell(daemon, "no\n", 1)
    close_gate(daemon)
    crowd = [daemon.connect("c") for _ in range(CROWD)]
    begun(daemon)
    open_gate(daemon)
    answers = [client.recv_all() for client in crowd]
    for client in crowd:
        client.close()
    expect_equal(answers, [b"down #no\n"] * CROWD, "answers")
    expect_no_program(daemon)


def test_a_hundred_clients_cost_one_run():
    with daemon_with(check(more=NEVER + 'format = "agent";'), pools=WORKERS) as daemon:
        crowd_asks(daemon)
        expect_equal(runs(daemon), 1, "runs")


def test_they_wait_for_the_run_that_is_under_way():
    with daemon_with(check(more='max_age = 0; format = "agent";'), pools=WORKERS) as daemon:
        crowd_asks(daemon)
        # Those that were still on their way when it ended have brought about others: one at a time, for all that had
        # come by then. How many depends on the machine, but never one each.
        expect(runs(daemon) <= CROWD // 4, f"a crowd cost {runs(daemon)} runs")


def test_an_answer_is_kept_for_its_age():
    with daemon_with(check(more='max_age = "500ms";'), check("n", more=NEVER)) as daemon:
        tell(daemon, "one\n")
        expect_equal(ask(daemon, "n"), "one\n", "answer")
        expect_equal(ask(daemon), "one\n", "answer")
        tell(daemon, "two\n")
        eventually(lambda: ask(daemon) == "two\n", lambda: "the answer is a new one")
        expect_equal(ask(daemon, "n"), "one\n", "answer that may be old")


def test_the_age_is_told():
    with daemon_with(check(more=NEVER + 'format = "http";')) as daemon:
        expect_equal(http(daemon)[1]["Age"], "0", "age")
        eventually(lambda: int(http(daemon)[1]["Age"]) >= 1, lambda: "the answer grows older")
        expect_equal(runs(daemon), 1, "runs")


def test_a_client_that_goes_does_not_end_the_run():
    with daemon_with(check(more=NEVER)) as daemon:
        tell(daemon, "well\n")
        close_gate(daemon)
        client = daemon.connect("c")
        begun(daemon)
        client.reset()
        daemon.wait_closed(end="client-reset")
        open_gate(daemon)
        expect_equal(ask(daemon), "well\n", "answer to the next one")
        expect_equal(runs(daemon), 1, "runs")


def test_an_interval_runs_it_unasked():
    with daemon_with(check(more=NEVER + 'interval = "50ms";')) as daemon:
        begun(daemon, 3)
        tell(daemon, "news\n")
        eventually(lambda: ask(daemon) == "news\n", lambda: "the answer is a new one")
        close_gate(daemon)
        tell(daemon, "late\n")
        count = runs(daemon)
        begun(daemon, count + 1)
        count = runs(daemon)
        # It waits, and no other begins beside it.
        expect_equal(ask(daemon), "news\n", "answer meanwhile")
        daemon.reload()
        expect_equal(runs(daemon), count, "runs")
        open_gate(daemon)
        eventually(lambda: ask(daemon) == "late\n", lambda: "the answer is a new one")


def test_changes_are_logged():
    with daemon_with(check(more="max_age = 0;"), log='level = "info";') as daemon:
        tell(daemon, "fine\n")
        ask(daemon)
        daemon.wait_log(r"info: listener 'c': check is good$")
        tell(daemon, "disk full\n", 2)
        ask(daemon)
        ask(daemon)
        daemon.wait_log(r"warning: listener 'c': check is bad: exit status 2: disk full$")
        tell(daemon, "fine\n")
        ask(daemon)
        daemon.wait_log(r"notice: listener 'c': check is good$")
        expect_equal(len(daemon.log.find(r"check is (good|bad)")), 3, "lines")


# ---- reload ------------------------------------------------------------------------------


def test_a_reload_keeps_the_answer_of_a_section_that_stays():
    with daemon_with(check(more=NEVER)) as daemon:
        tell(daemon, "one\n")
        expect_equal(ask(daemon), "one\n", "answer")
        tell(daemon, "two\n")
        other = check("other", more=NEVER)
        daemon.reload(listeners=other + "," + check(more=NEVER))
        expect_equal(ask(daemon), "one\n", "answer")
        expect_equal(ask(daemon, "other"), "two\n", "answer of the new one")
        daemon.reload(listeners=other + "," + check(more='max_age = "2h";'))
        expect_equal(ask(daemon), "two\n", "answer of a section that was changed")
        expect_match(r"reload failed", daemon.reload(listeners=check(more="nonsense = 1;")), "the log")
        expect_equal(ask(daemon), "two\n", "answer")


def test_a_reload_keeps_the_run():
    with daemon_with(check(more=NEVER)) as daemon:
        tell(daemon, "one\n")
        close_gate(daemon)
        with daemon.connect("c") as before:
            begun(daemon)
            daemon.reload()
            with daemon.connect("c") as after:
                open_gate(daemon)
                expect_equal((before.recv_all(), after.recv_all()), (b"one\n", b"one\n"), "answers")
        expect_equal(runs(daemon), 1, "runs")


def test_a_listener_that_goes_takes_its_run_along():
    with daemon_with(check(more=NEVER + 'interval = "1h";')) as daemon:
        close_gate(daemon)
        begun(daemon)
        daemon.reload(listeners='{ name = "e"; address = "tcp:127.0.0.1:0"; service = "echo"; }')
        expect_no_program(daemon)
        open_gate(daemon)
        counts = []
        for _ in range(4):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(daemon.dir + "/sock")
            daemon.reload(listeners=check(more=NEVER, address="unix:@DIR@/sock"))
            with connect_to(f"unix:{daemon.dir}/sock") as client:
                client.recv_all()
            daemon.reload(listeners='{ name = "e"; address = "tcp:127.0.0.1:0"; service = "echo"; }')
            counts.append(daemon.fd_count())
        eventually(lambda: daemon.fd_count() <= counts[0], lambda: f"no descriptor is left behind: {counts}")


def test_many_reloads_under_load_answer_everybody():
    with daemon_with(check(more='max_age = "5ms"; format = "agent";'), pools=WORKERS) as daemon:
        for round_number in range(20):
            crowd = [daemon.connect("c") for _ in range(10)]
            daemon.reload(listeners=check(more=f'max_age = "{5 + round_number % 2}ms"; format = "agent";'))
            expect_equal([client.recv_all() for client in crowd], [b"up\n"] * 10, "answers")
            for client in crowd:
                client.close()
        expect_no_program(daemon)


# ---- the spawner -----------------------------------------------------------------------------

def test_the_end_of_the_spawner_is_no_verdict():
    with daemon_with(check(more='max_age = 0; format = "agent";')) as daemon:
        close_gate(daemon)
        with daemon.connect("c") as client:
            begun(daemon)
            os.kill(spawner_of(daemon), signal.SIGKILL)
            begun(daemon, 2)
            open_gate(daemon)
            expect_equal(client.recv_all(), b"up\n", "answer")
        expect_equal(ask(daemon), "up\n", "answer of the next run")


main(globals())
