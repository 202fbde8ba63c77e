# SPDX-License-Identifier: MIT
"""What the lint checks share: where the tree is, which files it holds, how a finding is printed.

Each check prints one line a finding, FILE:LINE: what is wrong, and exits 1 when there was any. They read the
tree only, so they also work in a read-only one (make distcheck) and on a copy: top_srcdir=/tmp/copy CHECK.
"""
import os
import sys

sys.dont_write_bytecode = True

SKIP_EXIT = 77


def root():
    """The source tree: what make says, else the one that this file is in."""
    here = os.path.dirname(os.path.abspath(__file__))
    return os.path.abspath(os.environ.get("top_srcdir") or os.path.join(here, "..", ".."))


def files(folders, suffixes=None):
    """Paths below the given folders, relative to the root, sorted. Build droppings and dot files are left out."""
    found = []
    for folder in folders:
        for path, subdirs, names in os.walk(os.path.join(root(), folder)):
            subdirs[:] = sorted(d for d in subdirs if not d.startswith(".") and d != "__pycache__")
            for name in sorted(names):
                if name.startswith(".") or (suffixes and not name.endswith(tuple(suffixes))):
                    continue
                found.append(os.path.relpath(os.path.join(path, name), root()))
    return found


def read(path):
    with open(os.path.join(root(), path), encoding="utf-8", errors="replace") as stream:
        return stream.read()


class Findings:
    """Collects what is wrong and ends the check."""

    def __init__(self):
        self.count = 0

    def add(self, path, line, text):
        self.count += 1
        print(f"{path}:{line}: {text}" if line else f"{path}: {text}")

    def finish(self, checked, what):
        """Exits: 1 with findings, 1 when nothing was checked at all (a check that looks nowhere passes always)."""
        if checked == 0:
            print(f"no {what} found below {root()}: nothing was checked")
            sys.exit(1)
        print(f"{checked} {what} checked, {self.count} findings")
        sys.exit(1 if self.count else 0)
