# SPDX-License-Identifier: MIT
"""For the soak tests: sizes, crowds of clients in processes of their own, sums over the log, memory.

By default a soak test is small enough for every `make check`. CP_SOAK=full runs it with the figures that are promised:
10,000 connections held, 15,000 opened and closed 50 times over, 1,000 reloads, 1 GiB echoed.
"""
import json
import os
import re
import resource
import subprocess
import sys

from cpharness import SLOWNESS, Failure, Skip, connect_to, expect

FULL = os.environ.get("CP_SOAK") == "full"
# Descriptors left to the daemon and to a crowd for all that is not a connection.
SPARE_DESCRIPTORS = 200
LOOPBACKS = [f"127.0.0.{number}" for number in range(1, 5)]


def size(small, full):
    """So much by default, so much with CP_SOAK=full; less where the build is slow."""
    return full if FULL else max(1, small // SLOWNESS)


def holdable(wanted):
    """As many connections as one process may have descriptors for, at most those wanted."""
    return min(wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - SPARE_DESCRIPTORS)


def need_program(path_or_name):
    """The path of a program that others wrote; the test is skipped where it is not installed."""
    for folder in os.environ.get("PATH", "").split(":"):
        path = os.path.join(folder, path_or_name)
        if os.access(path, os.X_OK):
            return path
    raise Skip(f"{path_or_name} is not installed")


def memory_bytes(daemon):
    """What it has for itself. Not what it shares: that moves when others begin and end."""
    with open(f"/proc/{daemon.process.pid}/smaps_rollup", encoding="utf-8") as stream:
        return int(re.search(r"^Pss_Anon: +(\d+) kB", stream.read(), re.M).group(1)) * 1024


# ---- sums ------------------------------------------------------------------------------


class Sums:
    """What a daemon's log says became of its connections. Exact once it has ended and no record was dropped."""

    def __init__(self, log, listener=None):
        name = re.escape(listener) if listener else "[^']+"
        self.ends, self.refusals = {}, {}
        for match in log.find(rf"connection \d+ from \S+ on listener '{name}' closed: ([a-z-]+)"):
            self.ends[match.group(1)] = self.ends.get(match.group(1), 0) + 1
        for match in log.find(rf"listener '{name}': refused (\d+) connections?: (.*)$"):
            reasons = dict(part.rsplit(" ", 1) for part in match.group(2).split(", "))
            expect(sum(map(int, reasons.values())) == int(match.group(1)), f"reasons add up: {match.string}")
            for reason, count in reasons.items():
                self.refusals[reason] = self.refusals.get(reason, 0) + int(count)
        self.closed, self.rejected = sum(self.ends.values()), sum(self.refusals.values())
        self.dropped = sum(int(match.group(1)) for match in log.find(r"(\d+) log records? (?:was|were) dropped"))

    def __str__(self):
        return f"closed {self.closed} {self.ends}, rejected {self.rejected} {self.refusals}, dropped {self.dropped}"


# ---- a crowd ---------------------------------------------------------------------------


class Crowd:
    """Clients of one address in a process of their own, which has its own descriptors. Each command waits for its end
    and returns what became of them: {"open": …, "failed": …, "wrong": …}."""

    def __init__(self, address, spread=False):
        """spread: over several source addresses, so that the ports last."""
        command = [sys.executable, os.path.abspath(__file__), address, "spread" if spread else ""]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def command(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise Failure(f"the crowd died of {words}")
        return json.loads(answer)

    def expect_well(self, *words):
        answer = self.command(*words)
        expect(answer["failed"] == 0 and answer["wrong"] == 0, f"{words}: {answer}")
        return answer


class Member:
    """The other end of a Crowd."""

    def __init__(self, address, spread):
        self.address, self.spread = address, spread
        self.clients, self.opened = [], 0
        self.failed = self.wrong = 0
        self.why = {}

    def note(self, error):
        self.failed += 1
        name = type(error).__name__
        self.why[name] = self.why.get(name, 0) + 1

    def open(self, count):
        for _ in range(int(count)):
            source = LOOPBACKS[self.opened % len(LOOPBACKS)] if self.spread else None
            self.opened += 1
            try:
                self.clients.append(connect_to(self.address, source))
            except OSError as error:
                self.note(error)

    def echo(self, length="32"):
        """Each says a word of its own and hears it again; all speak before the first listens."""
        words = [(b"%d." % (index * 7919)).ljust(int(length), b"x")[:int(length)] for index in range(len(self.clients))]
        silent = set()
        for index, (client, word) in enumerate(zip(self.clients, words)):
            try:
                client.send(word)
            except OSError as error:
                self.note(error)
                silent.add(index)
        for index, (client, word) in enumerate(zip(self.clients, words)):
            if index in silent:
                continue
            try:
                if client.recv_exactly(len(word)) != word:
                    self.wrong += 1
            except (OSError, AssertionError) as error:
                self.note(error)

    def close(self):
        for client in self.clients:
            client.close()
        self.clients = []

    def reset(self):
        for client in self.clients:
            client.reset()
        self.clients = []

    def mixed(self):
        """Half of them end in order, half by a reset."""
        for number, client in enumerate(self.clients):
            if number % 2:
                client.reset()
            else:
                client.close()
        self.clients = []

    def churn(self, rounds, count):
        """Open, speak, end: again and again."""
        for _ in range(int(rounds)):
            self.open(count)
            self.echo()
            self.mixed()

    def run(self):
        for line in sys.stdin:
            name, *words = line.split()
            self.failed = self.wrong = 0
            self.why = {}
            getattr(self, name)(*words)
            print(json.dumps({"open": len(self.clients), "failed": self.failed, "wrong": self.wrong, "why": self.why}),
                  flush=True)


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Member(sys.argv[1], sys.argv[2] == "spread").run()
