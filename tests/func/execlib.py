# SPDX-License-Identifier: MIT
"""What the tests of exec services share: listeners that run a program, and a look at the processes there are."""
import json
import os

from cpharness import Daemon, eventually

POOL = "main: { workers = 2; connections_per_worker = 200; };"


def strings(words):
    """As libconfig takes them: what JSON escapes, it escapes likewise."""
    return "[ " + ", ".join(json.dumps(word) for word in words) + " ]"


def listener(name, command, more="", rule=""):
    return (f'{{ name = "{name}"; address = "tcp:127.0.0.1:0"; {rule} '
            f'service = {{ type = "exec"; command = {strings(command)}; {more} }}; }}')


def shell(name, script, more="", rule=""):
    return listener(name, ["/bin/sh", "-c", script], more, rule)


def daemon_with(*listeners, **parts):
    return Daemon(listeners=",\n".join(listeners), pools=parts.pop("pools", POOL), **parts)


def children_of(pid):
    """Every process below it, zombies included: {pid: (parent, state, name)}."""
    table = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stream:
                text = stream.read()
        except OSError:
            continue
        name = text[text.index("(") + 1:text.rindex(")")]
        fields = text[text.rindex(")") + 2:].split()
        table[int(entry)] = (int(fields[1]), fields[0], name)
    below, grown = {}, True
    while grown:
        grown = False
        for number, (parent, state, name) in table.items():
            if number not in below and (parent == pid or parent in below):
                below[number] = (parent, state, name)
                grown = True
    return below


def spawner_of(daemon):
    def found():
        return [number for number, (_, state, name) in children_of(daemon.process.pid).items()
                if name == "cp-spawner" and state != "Z"]
    # It has its name a moment after it was forked.
    eventually(lambda: len(found()) == 1, lambda: f"spawners: {found()}")
    return found()[0]


def expect_only_ours(daemon):
    """Neither a program nor a zombie is left, and no descriptor in the spawner."""
    def rest():
        return {number: what for number, what in children_of(daemon.process.pid).items()
                if what[2] not in ("cp-keeper", "cp-spawner") or what[1] == "Z"}
    eventually(lambda: not rest(), lambda: f"left: {rest()}")


def spawner_fds(daemon):
    return len(os.listdir(f"/proc/{spawner_of(daemon)}/fd"))
