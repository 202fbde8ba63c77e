# SPDX-License-Identifier: MIT
"""What the tests of check services share: a command that says and does what files of the test tell it, and what clients
of HTTP see."""
import json
import os
import re

from cpharness import Daemon, Failure, eventually, expect_match

# Notes that it runs, waits where it is told to, says what is in "say", and ends with the status in "status".
SCRIPT = r"""
echo run >> @DIR@/runs
while [ -e @DIR@/closed ]; do sleep 0.02; done
cat @DIR@/say 2>/dev/null
exit $(cat @DIR@/status 2>/dev/null || echo 0)
"""


def strings(words):
    """As libconfig takes them: what JSON escapes, it escapes likewise."""
    return "[ " + ", ".join(json.dumps(word) for word in words) + " ]"


def check(name="c", script=SCRIPT, more="", address="tcp:127.0.0.1:0", command=None):
    command = command or ["/bin/sh", "-c", script]
    return (f'{{ name = "{name}"; address = "{address}"; '
            f'service = {{ type = "check"; command = {strings(command)}; {more} }}; }}')


def daemon_with(*listeners, **parts):
    return Daemon(listeners=",\n".join(listeners), **parts)


def tell(daemon, say=None, status=0):
    """What the command will say, and its status; whole, whoever reads it meanwhile."""
    for name, text in (("say", say), ("status", str(status))):
        path = os.path.join(daemon.dir, name)
        with open(path + ".new", "w", encoding="utf-8") as stream:
            stream.write(text or "")
        os.rename(path + ".new", path)


def runs(daemon):
    try:
        with open(os.path.join(daemon.dir, "runs"), encoding="utf-8") as stream:
            return len(stream.readlines())
    except FileNotFoundError:
        return 0


def close_gate(daemon):
    """Commands that begin from now on do not go on before it is opened."""
    with open(os.path.join(daemon.dir, "closed"), "w", encoding="ascii"):
        pass


def open_gate(daemon):
    os.unlink(os.path.join(daemon.dir, "closed"))


def ask(daemon, name="c", data=b""):
    with daemon.connect(name) as client:
        client.send(data)
        return client.recv_all().decode()


def http(daemon, name="c", request="GET / HTTP/1.1\r\nHost: a\r\n\r\n"):
    """(status, {field: value}, body) of an answer, which must be whole."""
    text = ask(daemon, name, request.encode())
    match = expect_match(r"\AHTTP/1\.1 (\d{3}) [A-Za-z ]+\r\n((?:[A-Za-z-]+: [^\r\n]*\r\n)+)\r\n", text, "the answer")
    fields = dict(re.findall(r"([A-Za-z-]+): ([^\r\n]*)\r\n", match.group(2)))
    return int(match.group(1)), fields, text[match.end():]


def programs_of(daemon):
    """Every process below the daemon but for those that are part of it: {pid: (state, name)}, zombies included."""
    parents, about = {}, {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as stream:
                text = stream.read()
        except OSError:
            continue
        state, parent = text[text.rindex(")") + 2:].split()[:2]
        parents[int(entry)] = int(parent)
        about[int(entry)] = (state, text[text.index("(") + 1:text.rindex(")")])

    def is_below(pid):
        while pid in parents:
            pid = parents[pid]
            if pid == daemon.process.pid:
                return True
        return False
    return {pid: about[pid] for pid in parents if is_below(pid)}


def expect_no_program(daemon):
    def left():
        return {pid: what for pid, what in programs_of(daemon).items()
                if not what[1].startswith("cp-") or what[0] == "Z"}
    eventually(lambda: not left(), lambda: f"no program is left, but there are {left()}")


def spawner_of(daemon):
    found = [pid for pid, (_, name) in programs_of(daemon).items() if name == "cp-spawner"]
    if len(found) != 1:
        raise Failure(f"spawners: {found} of {programs_of(daemon)}")
    return found[0]
