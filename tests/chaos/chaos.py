#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The chaos test: random configs and a random schedule against the built daemon, and invariants that always hold.

    tests/chaos/chaos.py                           # a new seed, a minute
    tests/chaos/chaos.py --seed 7 --seconds 120    # that plan again
    tests/chaos/chaos.py --seed 7 --only ghost     # rounds of that ingredient alone
    tests/chaos/chaos.py --seed 7 --shrink         # when it fails: the least that still does, in a file

The plan is a function of the seed, the seconds and the ingredients. How the machine schedules it is not: replay a
failure more than once. Set top_builddir, and SANITIZERS as configure was given it, for another build than build/.
"""
import argparse
import faulthandler
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "func"))

from cpharness import CONNPOOLD, EXIT_SKIP, Skip  # noqa: E402
from chaosplan import FOCUSES, make_plan  # noqa: E402
from chaosrun import Run  # noqa: E402
from chaosshrink import Shrinker  # noqa: E402

DESCRIPTORS_MAX = 16000
PROBED = re.compile(r"listener 'a-[a-z]+' closed: (client|service) ")
SHRINK_RUNS = 60
SHRINK_SECONDS = 1200


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0],
                                     epilog="Ingredients: " + ", ".join(FOCUSES))
    parser.add_argument("--seed", type=int, help="of the plan (a new one)")
    parser.add_argument("--seconds", type=float, default=60, help="how long, about (60)")
    parser.add_argument("--only", default="", help="rounds of these ingredients alone: NAME,NAME")
    parser.add_argument("--without", default="", help="no rounds of these ingredients")
    parser.add_argument("--plan", help="carry out the plan in this file")
    parser.add_argument("--replay", type=int, default=1, metavar="N",
                        help="carry it out until it fails, N times at most")
    parser.add_argument("--shrink", action="store_true",
                        help="make a plan that fails smaller, as long as it fails alike")
    parser.add_argument("--print", action="store_true", help="print the plan, run nothing")
    parser.add_argument("--log", action="store_true",
                        help="print the whole log of a run that failed, not its end alone")
    return parser.parse_args(arguments)


def words(text):
    found = [word for word in text.split(",") if word]
    for word in found:
        if word not in FOCUSES:
            sys.exit(f"chaos: there is no ingredient '{word}'; there are: {', '.join(FOCUSES)}")
    return found


def command_of(options, seed):
    text = f"tests/chaos/chaos.py --seed {seed} --seconds {options.seconds:g}"
    for name in ("only", "without"):
        if getattr(options, name):
            text += f" --{name} {getattr(options, name)}"
    environment = [f"{name}={os.environ[name]}" for name in ("top_builddir", "SANITIZERS") if os.environ.get(name)]
    return " ".join(environment + [text])


def carry_out(plan, options):
    run = Run(plan, options.seconds)
    failure = run.run()
    counts = ", ".join(f"{name} {count}" for name, count in sorted(run.counts.items()) if not name.startswith("op "))
    print(f"chaos: {counts}", flush=True)
    if failure is not None:
        lines = [line for line in run.log_lines if options.log or not PROBED.search(line)]
        print(f"---- config in force\n{run.text}---- log" + ("" if options.log else " (last 60 lines, without probes)"))
        print("\n".join(lines if options.log else lines[-60:]))
        print(f"----\nFAIL: {failure}", flush=True)
    return failure


def run_apart(plan, options):
    """In a process of its own: the kind of its violation, None when it passed."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as stream:
        json.dump(plan, stream)
        stream.flush()
        done = subprocess.run([sys.executable, os.path.abspath(__file__), "--plan", stream.name, "--seconds",
                               str(options.seconds)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
                              text=True)
    for line in done.stdout.splitlines():
        if line.startswith("FAIL: "):
            return line.split(" ")[1].rstrip(":")
    return None


def shrink(plan, failure, options):
    small = Shrinker(plan, failure.kind, lambda candidate: run_apart(candidate, options), SHRINK_RUNS,
                     SHRINK_SECONDS).run()
    path = f"chaos-{plan['seed']}.json"
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(small, stream, indent=1)
    operations = sum(len(part["ops"]) for part in small["rounds"])
    print(f"chaos: the least that failed: {len(small['rounds'])} rounds, {operations} "
          f"operations, {len(small['listeners'])} listeners; tests/chaos/chaos.py --plan {path}")


def prepare_process():
    faulthandler.enable()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = min(hard, DESCRIPTORS_MAX) if hard != resource.RLIM_INFINITY else DESCRIPTORS_MAX
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def main(arguments):
    options = parse(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1, 1 << 31)
    if options.plan:
        with open(options.plan, encoding="utf-8") as stream:
            plan = json.load(stream)
        replay = f"tests/chaos/chaos.py --plan {options.plan}"
    else:
        plan = make_plan(seed, options.seconds, words(options.only), words(options.without), os.geteuid() == 0)
        replay = command_of(options, seed)
    if options.print:
        print(json.dumps(plan, indent=1))
        return 0
    if not os.access(CONNPOOLD, os.X_OK):
        sys.exit(f"there is no {CONNPOOLD}: build it, or set top_builddir")
    print(f"chaos: seed {plan['seed']}; {replay}", flush=True)
    prepare_process()
    for _ in range(options.replay):
        failure = carry_out(plan, options)
        if failure is not None:
            if options.shrink:
                shrink(plan, failure, options)
            print(f"chaos: failed with seed {plan['seed']}; again: {replay} --replay 5", flush=True)
            return 1
    print("chaos: no invariant was violated")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Skip as why:
        print(f"skip: {why}")
        sys.exit(EXIT_SKIP)
