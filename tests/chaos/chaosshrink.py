# SPDX-License-Identifier: MIT
"""Makes a failing plan smaller: rounds, operations, listeners and configs are left out while it still fails alike.

A plan is a function of its seed, but what the machine makes of it is not: a candidate is tried more than once.
"""
import copy
import time

TRIES = 2


def chunks_of(items):
    """Indexes to leave out, in large parts first."""
    size = len(items)
    while size >= 1:
        for start in range(0, len(items), size):
            yield range(start, min(start + size, len(items)))
        size //= 2


def without(items, indexes):
    return [item for index, item in enumerate(items) if index not in indexes]


class Shrinker:
    """fails(plan) runs it, and returns the kind of its violation or None."""

    def __init__(self, plan, kind, fails, runs, seconds, say=print):
        self.plan, self.kind, self.fails, self.say = plan, kind, fails, say
        self.runs, self.until = runs, time.monotonic() + seconds

    def is_spent(self):
        return self.runs <= 0 or time.monotonic() > self.until

    def still_fails(self, plan):
        for _ in range(TRIES):
            if self.is_spent():
                return False
            self.runs -= 1
            if self.fails(plan) == self.kind:
                return True
        return False

    def reduce(self, describe, items_of, least=0):
        """items_of(plan): the list in it from which things are left out."""
        progress = True
        while progress and not self.is_spent():
            progress = False
            for indexes in chunks_of(items_of(self.plan)):
                candidate = copy.deepcopy(self.plan)
                items = items_of(candidate)
                if len(items) - len(indexes) < least:
                    continue
                items[:] = without(items, indexes)
                if self.still_fails(candidate):
                    self.plan, progress = candidate, True
                    self.say(f"shrink: {len(items)} {describe} left")
                    break

    def run(self):
        self.reduce("rounds", lambda plan: plan["rounds"], least=1)
        for number in range(len(self.plan["rounds"])):
            self.reduce(f"operations of round {number}", lambda plan, n=number: plan["rounds"][n]["ops"])
        used = {op.get("listener") for part in self.plan["rounds"] for op in part["ops"]}
        used |= {f"{op['pool']}-{end}" for part in self.plan["rounds"] for op in part["ops"] if "pool" in op
                 for end in ("one", "two", "sink")}
        candidate = copy.deepcopy(self.plan)
        candidate["listeners"] = [item for item in candidate["listeners"]
                                  if item["name"] in used or item["name"].startswith("a-")]
        if self.still_fails(candidate):
            self.plan = candidate
            self.say(f"shrink: {len(candidate['listeners'])} listeners left")
        return self.plan
