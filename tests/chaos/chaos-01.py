#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The chaos test: short runs of fixed seeds, and that it notices what it has to notice."""
import asyncio
import json
import os
import socket
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "func")]

from cpharness import Failure, expect, expect_equal, main  # noqa: E402
from chaos import parse, words  # noqa: E402
from chaoschecks import Ledger  # noqa: E402
from chaosclients import Cut, Peer, Wrong, expect_bytes, stream_of, talk_echo  # noqa: E402
from chaosplan import FOCUSES, make_plan  # noqa: E402
from chaosrun import Run  # noqa: E402
from chaosshrink import Shrinker  # noqa: E402


def expect_raises(kind, function):
    try:
        function()
    except kind:
        return
    raise Failure(f"{function} raised no {kind.__name__}")


# ---- the plan ----------------------------------------------------------------------------


def test_a_plan_is_a_function_of_its_seed():
    for seed in range(1, 40):
        plan = make_plan(seed, 60)
        expect_equal(make_plan(seed, 60), plan, "the same plan")
        expect_equal(json.loads(json.dumps(plan)), plan, "the plan by way of JSON")
        expect(make_plan(seed + 1000, 60) != plan, "another seed, another plan")


def test_each_ingredient_is_in_a_run_of_a_minute():
    for seed in range(1, 20):
        found = {part["focus"] for part in make_plan(seed, 60)["rounds"]}
        expect_equal(found, set(FOCUSES), f"ingredients of seed {seed}")


def test_ingredients_can_be_chosen():
    found = {part["focus"] for part in make_plan(3, 60, only=words("ghost,kill"))["rounds"]}
    expect_equal(found, {"ghost", "kill"}, "ingredients")
    found = {part["focus"] for part in make_plan(3, 60, without=["ghost"], is_root=False)["rounds"]}
    expect_equal(found, set(FOCUSES) - {"ghost", "users"}, "ingredients of who is not root")
    expect_equal(parse(["--seed", "5"]).seed, 5, "seed")


# ---- that it notices -----------------------------------------------------------------------


def ask_liar(answer_of):
    """What an honest client of echo makes of a server that answers so."""
    async def ask():
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs, Peer(ours, 7) as peer:
            theirs.sendall(answer_of(stream_of(7, 64)))
            theirs.shutdown(socket.SHUT_WR)
            await talk_echo(peer, 64)
    asyncio.run(ask())


def test_a_byte_of_another_client_is_noticed():
    ask_liar(lambda data: data)
    expect_raises(Wrong, lambda: ask_liar(lambda data: data[:40] + b"x" + data[41:]))
    expect_raises(Wrong, lambda: ask_liar(lambda data: data[:16] + stream_of(8, 16) + data[32:]))
    expect_raises(Cut, lambda: ask_liar(lambda data: data[:63]))
    expect_raises(Wrong, lambda: expect_bytes(b"longer", b"long", "more than was sent"))


RECORD = ("info: connection {} from unix:pid=1,uid=0 on listener 'l' closed: {} (in 1, out 1 bytes; queued 0.0 ms, "
          "served 0.1 ms)")


def ledger_of(connected, *lines):
    ledger = Ledger()
    ledger.mark({})
    for line in lines:
        ledger.take(line)
    ledger.connected["l"] = connected
    return ledger


def test_each_connection_is_counted_once():
    lines = [RECORD.format(1, "client"), RECORD.format(2, "refused-proxy"),
             "notice: listener 'l': refused 3 connections: queue-full 2, refused-proxy 1"]
    expect_equal(ledger_of(4, *lines).difference("l", 0), 0, "difference")
    expect_equal(ledger_of(5, *lines).difference("l", 1), 0, "difference with an open one")
    expect_equal(ledger_of(6, *lines).difference("l", 1), 1, "one is missing")
    expect_equal(ledger_of(3, *lines).difference("l", 0), -1, "one was counted twice")
    dropped = lines + ["warning: 2 log records were dropped"]
    expect_equal(ledger_of(6, *dropped).difference("l", 0), 0, "difference, of which the log says so")
    expect_equal(ledger_of(7, *dropped).difference("l", 0), 3, "one more than the log says")


def test_a_report_in_the_log_is_noticed():
    ledger = ledger_of(0, "==1==ERROR: AddressSanitizer: heap-use-after-free on address", "info: fine")
    expect_equal(len(ledger.reports), 1, "reports")


def failing_run(change):
    """A run without rounds, on a plan that was changed: its violation."""
    plan = make_plan(2, 4, only=["mixed"])
    plan["rounds"] = [{"focus": "mixed", "ops": []}]
    run = Run(plan, 30)
    change(run)
    return run.run()


def test_a_listener_that_is_dead_is_noticed():
    def forget_it(run):
        original = run.text_of

        def text_of(*args):
            config, text = original(*args)
            return config, text.replace('name = "a-echo"; address = "tcp:127.0.0.1:',
                                        'name = "a-echo"; address = "tcp:127.0.0.2:')
        run.text_of = text_of
    failure = failing_run(forget_it)
    expect_equal(failure and failure.kind, "liveness", "violation")


def test_a_daemon_that_is_dead_is_noticed():
    def kill_it(run):
        async def killing():
            run.daemon.process.kill()
        run.op_killing = killing
        run.plan["rounds"][0]["ops"] = [{"op": "killing", "at": 0}]
        run.op_killing = lambda op: killing()
    failure = failing_run(kill_it)
    expect_equal(failure and failure.kind, "dead", "violation")


def test_a_plan_is_shrunk_to_what_fails():
    plan = make_plan(5, 60)
    plan["rounds"][7]["ops"] = [{"op": "wanted", "at": 0}, {"op": "silent", "at": 0}]
    tries = []

    def fails(candidate):
        tries.append(candidate)
        found = any(op["op"] == "wanted" for part in candidate["rounds"] for op in part["ops"])
        return "liveness" if found else None
    small = Shrinker(plan, "liveness", fails, 500, 600, say=lambda text: None).run()
    expect_equal([op["op"] for part in small["rounds"] for op in part["ops"]], ["wanted"], "operations")
    expect(len(tries) < 200, f"{len(tries)} tries")


# ---- the daemon ------------------------------------------------------------------------------


def run_seed(seed, seconds, **more):
    run = Run(make_plan(seed, seconds, is_root=os.geteuid() == 0, **more), seconds)
    failure = run.run()
    print("  " + ", ".join(f"{name} {count}" for name, count in sorted(run.counts.items())))
    if failure is not None:
        print("\n".join(run.log_lines[-100:]))
        raise Failure(f"{failure}; again: tests/chaos/chaos.py --seed {seed} --seconds {seconds}")
    expect(run.counts["probes"] > 0 and run.counts["rounds"] > 0, "it was a run")


def test_clients_of_every_kind():
    run_seed(11, 4, only=["mixed", "proxy"])


def test_descriptors_and_time():
    run_seed(12, 4, only=["shortage", "freeze"])


main(globals())
