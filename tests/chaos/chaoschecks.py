# SPDX-License-Identifier: MIT
"""What must hold: the sums of the log, the processes there are, what the daemon uses."""
import asyncio
import contextlib
import os
import re
import time
from collections import Counter, defaultdict

from cpharness import CLOSED, RELOADED_LINE, SLOWNESS
from execlib import children_of

# Seconds in which an honest client is served, and what has to end has ended.
BOUND = 2.0 * SLOWNESS
REPORT = re.compile(r"Sanitizer|runtime error:|[Aa]ssertion|is full of|stack overflow|corrupt")
REFUSED = re.compile(r"listener '([^']+)': refused (\d+) connections?: (.*)$")
DROPPED = re.compile(r"(\d+) log records? (?:was|were) dropped")
RELOADED = re.compile(RELOADED_LINE)
# Why a connection may be refused that did nothing wrong.
LEGAL = ("queue-full", "queue-timeout", "queue-drain", "refused-limit", "refused-source", "refused-memory",
         "refused-proxy", "refused-access")
MEMORY_SLACK = 24 << 20
TICKS = os.sysconf("SC_CLK_TCK")


class Clock:
    """Time as the test itself gets it: what a loaded machine withholds from it is not held against the daemon."""

    def __init__(self):
        self.lag, self.load, self.sampled = 0.0, 1.0, 0.0

    def sample_load(self):
        """How many times slower than alone a process is here, about: of those that want a processor, a mean."""
        if time.monotonic() - self.sampled < 0.25:
            return
        self.sampled = time.monotonic()
        with open("/proc/loadavg", encoding="ascii") as stream:
            running = int(stream.read().split()[3].split("/")[0])
        self.load += 0.1 * (max(1.0, running / os.cpu_count()) - self.load)

    async def run(self):
        while True:
            self.sample_load()
            before = time.monotonic()
            await asyncio.sleep(0.02)
            late = time.monotonic() - before - 0.02
            if late > 0.02:
                self.lag += late

    async def within(self, bound, coroutine):
        """The coroutine's result; TimeoutError when the machine gave it bound seconds and more."""
        task = asyncio.ensure_future(coroutine)
        start, lag = time.monotonic(), self.lag
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=0.1)
                if not task.done() and time.monotonic() - start - 3 * (self.lag - lag) > bound:
                    raise TimeoutError
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def until(self, bound, condition):
        """True once it is so; False when it was not within bound seconds."""
        async def ask():
            while not condition():
                await asyncio.sleep(0.05)
        try:
            await self.within(bound, ask())
        except TimeoutError:
            return condition()
        return True


class Ledger:
    """What the log says became of connections, and what the test did. Counts since the last quiet point are `now`."""

    def __init__(self):
        self.position = 0
        self.closed, self.ends, self.refused = Counter(), defaultdict(Counter), defaultdict(Counter)
        self.dropped = 0
        self.gone = set()
        self.outcomes = []
        self.reports = []
        self.connected = Counter()
        self.may_reset = Counter()
        self.base = None
        self.inexact = set()

    def read(self, log):
        with log.changed:
            lines = log.lines[self.position:]
        self.position += len(lines)
        for line in lines:
            self.take(line)

    def take(self, line):
        if match := CLOSED.search(line):
            name = match["listener"]
            # One that a worker refuses has a record, and is among the refused too.
            self.closed[name] += not match["end"].startswith(("refused-", "queue-"))
            self.ends[name][match["end"]] += 1
            self.gone.add(match["client"])
        elif match := REFUSED.search(line):
            for part in match[3].split(", "):
                reason, count = part.rsplit(" ", 1)
                self.refused[match[1]][reason] += int(count)
        elif match := DROPPED.search(line):
            self.dropped += int(match[1])
        elif RELOADED.search(line):
            self.outcomes.append(line)
        if REPORT.search(line) and "connection " not in line:
            self.reports.append(line)

    def accounted(self, name):
        return self.closed[name] + sum(self.refused[name].values())

    def mark(self, open_now):
        """The sums begin anew here: nothing is open but what the test says."""
        self.base = {"accounted": {name: self.accounted(name) for name in set(self.closed) | set(self.refused)},
                     "connected": self.connected.copy(), "may_reset": self.may_reset.copy(),
                     "refused": {name: counts.copy() for name, counts in self.refused.items()}, "dropped": self.dropped,
                     "open": open_now}
        self.inexact = set()

    def since(self, name):
        """Connected, accounted, refused by reason, may be resets: since the mark."""
        base = self.base
        refused = self.refused[name] - base["refused"].get(name, Counter())
        return (self.connected[name] - base["connected"][name], self.accounted(name) - base["accounted"].get(name, 0),
                refused, self.may_reset[name] - base["may_reset"][name])

    def is_settled(self, names, open_now):
        return all(self.difference(name, open_now.get(name, 0)) == 0 for name in names)

    def difference(self, name, open_now):
        """Connections that are neither closed, refused nor open; below 0: more than there were."""
        connected, accounted, _, _ = self.since(name)
        missing = connected + self.base["open"].get(name, 0) - accounted - open_now
        return 0 if 0 <= missing <= self.dropped - self.base["dropped"] else missing


# ---- processes -----------------------------------------------------------------------------------


def age_of(pid):
    """Seconds since it was started; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
            started = int(stream.read().rsplit(")", 1)[1].split()[19])
    except (OSError, IndexError):
        return 0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / TICKS


def words_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as stream:
            return stream.read().decode("utf-8", "replace").split("\0")
    except OSError:
        return []


class Family:
    """The daemon's processes at one moment."""

    def __init__(self, daemon, tag):
        self.table = children_of(daemon.process.pid)
        self.keepers = [pid for pid, (parent, state, name) in self.table.items()
                        if parent == daemon.process.pid and name == "cp-keeper" and state != "Z"]
        self.spawners = [pid for pid, (parent, state, name) in self.table.items()
                         if parent in self.keepers and name == "cp-spawner" and state != "Z"]
        self.programs = {}
        for pid, (parent, state, _) in self.table.items():
            words = words_of(pid)
            if parent in self.spawners and state != "Z" and tag in words:
                self.programs[pid] = words
        self.zombies = {pid: what for pid, what in self.table.items() if what[1] == "Z"}


def leftovers(tag):
    """Every process that this run has started by way of the daemon, whoever is its parent now."""
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit() and tag in words_of(entry)]


def memory_of(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as stream:
            return int(re.search(r"^Pss_Anon: +(\d+) kB", stream.read(), re.M).group(1)) * 1024
    except (OSError, AttributeError):
        return 0


def descriptors_of(pid):
    with contextlib.suppress(OSError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0
