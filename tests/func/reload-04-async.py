#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A reload that has to wait: everybody is served meanwhile, and a stop does not wait for it. Here for the keeper, which
is stopped; for name services see tests/unit/daemon/test_reload.c."""
import contextlib
import os
import signal

from cpharness import Skip, eventually, expect, expect_equal, expect_match, main, make_config
from execlib import POOL, children_of, daemon_with, shell

ECHO = '{ name = "echo"; address = "tcp:127.0.0.1:0"; service = "echo"; }'
OUTCOME = r"reloaded: \d|reload failed: "


def config(word):
    return make_config(listeners=ECHO + "," + shell("s", f"echo {word}"), pools=POOL)


def keeper_of(daemon):
    def found():
        return [number for number, what in children_of(daemon.process.pid).items() if what[2] == "cp-keeper"]
    eventually(lambda: len(found()) == 1, lambda: f"keepers: {found()}")
    return found()[0]


@contextlib.contextmanager
def stopped_keeper():
    """A daemon whose keeper does nothing until it gets SIGCONT."""
    if os.geteuid() != 0:
        raise Skip("needs root, to stop the keeper")
    with daemon_with(ECHO, shell("s", "echo old")) as daemon:
        keeper = keeper_of(daemon)
        expect_program(daemon, b"old\n")
        os.kill(keeper, signal.SIGSTOP)
        try:
            yield daemon, keeper
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(keeper, signal.SIGCONT)


def begin_reload(daemon, word):
    """Until the daemon has the signal, where that can be told."""
    daemon.write_config(config(word))
    mark = daemon.notify.mark()
    daemon.kill(signal.SIGHUP)
    if daemon.uses_notify:
        daemon.notify.wait(lambda message: message.get("RELOADING") == "1", mark, daemon.pidfd)


def expect_program(daemon, output):
    with daemon.connect("s") as client:
        expect_equal(client.recv_all(), output, "output")


def expect_served(daemon, output):
    with daemon.connect("echo") as client:
        client.expect_echo()
    expect_program(daemon, output)


def test_clients_are_served_while_it_waits():
    with stopped_keeper() as (daemon, keeper):
        mark = daemon.log.mark()
        begin_reload(daemon, "new")
        for _ in range(20):
            expect_served(daemon, b"old\n")
        expect(not daemon.log.find(OUTCOME, mark), "the reload is over already")
        os.kill(keeper, signal.SIGCONT)
        expect_match("reloaded: 1 change", daemon.wait_log(OUTCOME, since=mark).string, "reload")
        expect_served(daemon, b"new\n")


def test_a_keeper_that_never_answers_ends_it():
    with stopped_keeper() as (daemon, keeper):
        mark, told = daemon.log.mark(), daemon.notify.mark()
        begin_reload(daemon, "new")
        line = daemon.wait_log(OUTCOME, since=mark).string
        expect_match(rf"reload failed: the keeper \(process {keeper}\) did not answer within 25 s, "
                     "keeping the old configuration", line, "reload")
        if daemon.uses_notify:
            daemon.notify.wait(lambda message: message.get("READY") == "1", told, daemon.pidfd)
        expect_served(daemon, b"old\n")
        # Its answer, which comes now, is nobody's any more.
        os.kill(keeper, signal.SIGCONT)
        expect_match("reloaded: 1 change", daemon.reload(config("newer")), "reload")
        expect_served(daemon, b"newer\n")


def test_a_stop_does_not_wait():
    with stopped_keeper() as (daemon, keeper):
        mark = daemon.log.mark()
        begin_reload(daemon, "new")
        expect_served(daemon, b"old\n")
        daemon.kill(signal.SIGTERM)
        daemon.wait_log("reload failed: the daemon stops", since=mark)
        daemon.wait_log(rf"the keeper \(process {keeper}\) did not end within \d+ s: it was killed", since=mark)
        expect_equal(daemon.wait_exit(), 0, "exit status")
        expect(not daemon.log.find("did not answer", mark), "it waited for the keeper")
        if daemon.uses_notify:
            daemon.notify.drain()
            kinds = [kind for message in daemon.notify.messages for kind in ("RELOADING", "READY", "STOPPING")
                     if kind in message]
            expect_equal(kinds, ["READY", "RELOADING", "READY", "STOPPING"], "what the service manager heard")


def test_the_newest_config_is_taken_in_the_end():
    with stopped_keeper() as (daemon, keeper):
        mark = daemon.log.mark()
        begin_reload(daemon, "first")
        for word in ("second", "third"):
            daemon.write_config(config(word))
            daemon.kill(signal.SIGHUP)
            expect_served(daemon, b"old\n")
        os.kill(keeper, signal.SIGCONT)
        daemon.wait_log(r"reloaded: \d", since=mark)

        def says_third():
            with daemon.connect("s") as client:
                return client.recv_all() == b"third\n"
        eventually(says_third, lambda: "the third config is not in force")


main(globals())
