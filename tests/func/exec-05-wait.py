#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""exec with wait = true: the program has the listening socket and accepts by itself, over reloads, until it ends."""
import os
import signal
import sys

from cpharness import connect_to, eventually, expect, expect_equal, expect_match, main
from execlib import children_of, daemon_with, expect_only_ours, listener, spawner_of, strings

# Says "NAME PID\n" to each client; what the client says then is echoed, or is done: "quit" and "fail" end the program
# when the client was served, "deaf" has it ignore SIGTERM from then on.
SERVER = r"""
import os, signal, socket, sys
said = ""
listening = socket.socket(fileno=0)
while said not in ("quit", "fail"):
    try:
        client, _ = listening.accept()
    except BlockingIOError:  # the socket has become somebody else's, and SIGTERM is on its way
        signal.pause()
    client.sendall(f"{sys.argv[1]} {os.getpid()}\n".encode())
    said = client.makefile().readline().strip()
    if said == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if said == "complain":
        print("I am not\nwell", file=sys.stderr, flush=True)
    client.sendall(said.encode())
    client.close()
sys.exit(3 if said == "fail" else 0)
"""
ECHO = '{ name = "echo"; address = "tcp:127.0.0.1:0"; service = "echo"; }'


def server(name="w", more="", rule="", say="one"):
    return listener(name, [sys.executable, "-c", SERVER, say], "wait = true; " + more, rule)


def at(address, say="one", more=""):
    return (f'{{ name = "w"; address = "{address}"; service = {{ type = "exec"; wait = true; {more} '
            f'command = {strings([sys.executable, "-c", SERVER, say])}; }}; }}')


def talk(client, words=""):
    """What the program calls itself, and its process."""
    client.send(words.encode() + b"\n")
    answer = client.recv_all().decode()
    name, pid, echo = expect_match(r"\A(\S+) (\d+)\n(.*)\Z", answer, "answer").groups()
    expect_equal(echo, words, "echo")
    return name, int(pid)


def ask(daemon, words="", name="w"):
    with daemon.connect(name) as client:
        return talk(client, words)


def ended(daemon, how, count=1):
    return daemon.wait_log(rf"listener 'w': \S+, which accepted by itself for [0-9.]+ s, has ended: {how}", count=count)


# ---- one program, many clients ------------------------------------------------------------------

def test_one_program_accepts_all_its_clients():
    with daemon_with(server(), ECHO) as daemon:
        expect_only_ours(daemon)
        first = ask(daemon)
        expect_equal({ask(daemon) for _ in range(20)}, {first}, "programs")
        with daemon.connect("echo") as other:
            other.expect_echo()
        expect_equal(len(daemon.log.find("listener 'w': a client waits")), 1, "starts")


def test_a_client_comes_before_the_program_and_gets_it():
    with daemon_with(server()) as daemon:
        crowd = [daemon.connect("w") for _ in range(10)]
        expect_equal(len({talk(client) for client in crowd}), 1, "programs")
        for client in crowd:
            client.close()


def test_the_next_client_starts_it_again():
    with daemon_with(server()) as daemon:
        first = ask(daemon, "quit")
        ended(daemon, "exit status 0")
        second = ask(daemon)
        expect(first != second, f"process {first} is still there")


def test_each_address_has_a_program_of_its_own():
    config = at("tcp:127.0.0.1:0").replace('"tcp:127.0.0.1:0"', '["tcp:127.0.0.1:0", "unix:@DIR@/w.sock"]')
    with daemon_with(config) as daemon:
        programs = []
        for index in (0, 1):
            with daemon.connect("w", index) as client:
                programs.append(talk(client))
        expect(programs[0] != programs[1], "both have one program")


def test_what_it_complains_of_is_logged():
    with daemon_with(server()) as daemon:
        ask(daemon, "complain")
        daemon.wait_log("listener 'w': stderr: I am not")
        daemon.wait_log("listener 'w': stderr: well")


def test_it_leaves_nothing_behind():
    with daemon_with(server()) as daemon:
        ask(daemon, "quit")
        ended(daemon, "exit status 0")
        descriptors = daemon.fd_count()
        for count in range(2, 8):
            ask(daemon, "quit")
            ended(daemon, "exit status 0", count)
        eventually(lambda: daemon.fd_count() <= descriptors, lambda: f"{daemon.fd_count()}, were {descriptors}")
        expect_only_ours(daemon)


# ---- faults ---------------------------------------------------------------------------------------

def test_one_that_fails_is_started_again_for_who_waits():
    with daemon_with(server()) as daemon:
        ask(daemon, "fail")
        ended(daemon, "exit status 3")
        ask(daemon, "fail")
        ended(daemon, "exit status 3", 2)
        ask(daemon)


def test_one_that_cannot_be_run_says_so_and_the_others_are_served():
    broken = listener("w", ["/nonexistent/program"], "wait = true;")
    with daemon_with(broken, ECHO) as daemon:
        waiting = daemon.connect("w")
        ended(daemon, "cannot run /nonexistent/program: No such file or directory", 3)
        with daemon.connect("echo") as client:
            client.expect_echo()
        # The client is still in the backlog: a config that is right has it served.
        daemon.reload(listeners=server() + "," + ECHO)
        talk(waiting)
        waiting.close()


def test_one_that_never_accepts_is_started_again_and_again():
    with daemon_with(listener("w", ["/bin/true"], "wait = true;"), ECHO) as daemon:
        with daemon.connect("w"):
            ended(daemon, "exit status 0", 5)
            with daemon.connect("echo") as other:
                other.expect_echo()


def test_the_end_of_the_spawner_is_survived():
    with daemon_with(server()) as daemon:
        first = ask(daemon)
        os.kill(spawner_of(daemon), signal.SIGKILL)
        ended(daemon, "the spawner died, and it was ended")
        # The keeper ends it, a moment later perhaps: until then it accepts.
        eventually(lambda: not os.path.exists(f"/proc/{first[1]}"), lambda: "it is still there")
        second = ask(daemon)
        expect(first != second, "it was not ended with the spawner")


# ---- reloads ----------------------------------------------------------------------------------------

def test_it_is_kept_over_reloads():
    with daemon_with(server()) as daemon:
        first = ask(daemon)
        daemon.reload(listeners=server() + "," + ECHO)
        expect_equal(ask(daemon), first, "program after a reload of something else")
        daemon.reload(listeners=server(say="two"))
        expect_equal(ask(daemon, "quit"), first, "program after a reload that names another")
        ended(daemon, "exit status 0")
        expect_equal(ask(daemon)[0], "two", "the next program")


def test_a_reload_that_fails_keeps_it():
    with daemon_with(server()) as daemon:
        first = ask(daemon)
        expect_match("reload failed", daemon.reload(listeners=server() + "," + server()), "reload")
        expect_equal(ask(daemon), first, "program")


def test_it_ends_with_its_listener():
    with daemon_with(server(), ECHO) as daemon:
        address = daemon.addresses("w")[0]
        ask(daemon)
        daemon.reload(listeners=ECHO)
        ended(daemon, "signal TERM")
        expect_only_ours(daemon)
        try:
            connect_to(address).close()
            raise AssertionError("somebody still listens")
        except ConnectionRefusedError:
            pass


def test_another_service_may_take_its_address():
    with daemon_with(at("unix:@DIR@/s")) as daemon:
        ask(daemon)
        daemon.reload(listeners=f'{{ name = "w"; address = "unix:{daemon.dir}/s"; service = "echo"; }}')
        ended(daemon, "signal TERM")
        for _ in range(3):
            with daemon.connect("w") as client:
                client.expect_echo()
        daemon.reload(listeners=at(f"unix:{daemon.dir}/s", say="back"))
        expect_equal(ask(daemon)[0], "back", "program")


def test_one_that_does_not_end_is_killed():
    with daemon_with(server(more='kill_timeout = "100ms";'), ECHO) as daemon:
        ask(daemon, "deaf")
        daemon.reload(listeners=ECHO)
        ended(daemon, "signal KILL")
        expect_only_ours(daemon)


# ---- the stop -----------------------------------------------------------------------------------------

def test_a_stop_ends_it():
    with daemon_with(server(), server("v")) as daemon:
        ask(daemon)
        _, pid = ask(daemon, name="v")
        expect_equal(daemon.stop(), 0, "exit status")
        ended(daemon, "signal TERM")
        expect(not os.path.exists(f"/proc/{pid}"), "the program outlived the daemon")


def test_a_stop_kills_one_that_does_not_end_within_its_time():
    with daemon_with(server(more='kill_timeout = "1h";'), daemon='drain_timeout = "200ms";') as daemon:
        _, pid = ask(daemon, "deaf")
        expect_equal(daemon.stop(), 0, "exit status")
        ended(daemon, "signal KILL")
        expect(not os.path.exists(f"/proc/{pid}"), "the program outlived the daemon")


# ---- the config ---------------------------------------------------------------------------------------

def refused(config, text):
    with daemon_with(ECHO) as daemon:
        expect_match("reload failed", daemon.reload(listeners=config), "reload")
        daemon.wait_log(text)


def test_what_nobody_would_look_at_is_refused():
    for rule in ('allow = ["127.0.0.1"];', 'deny = ["10.0.0.0/8"];', "max_connections = 5;", "max_per_source = 1;",
                 "accept_proxy = true;"):
        refused(server(rule=rule), r":\d+: listeners\.\(0\)\.service\.wait: true lets the program accept by itself")


def test_its_complaints_have_no_client_to_go_to():
    refused(server(more='stderr = "client";'), r":\d+: listeners\.\(0\)\.service\.stderr: \"client\" is none")


main(globals())
