# SPDX-License-Identifier: MIT
"""A build as packagers make one: --prefix=/usr, to be installed with a DESTDIR. Made once beside the tested build, with
its compiler and options; later calls make what has changed."""
import fcntl
import os
import re
import shlex
import subprocess

from cpharness import TOP_BUILDDIR, TOP_SRCDIR, Failure, Skip

PREFIX = "/usr"
OPTIONS = [f"--prefix={PREFIX}", "--sysconfdir=/etc", "--localstatedir=/var"]
FOLDER = os.path.join(TOP_BUILDDIR, "tests", "package")
# What the tested build says of places is not for this one.
PLACES = re.compile(r"--(?:srcdir|prefix|exec-prefix|\w+dir|with-systemdsystemunitdir)=")


def run(command, folder):
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith(("MAKE", "MFLAGS", "DESTDIR"))}
    done = subprocess.run(command, cwd=folder, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", env=environment)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: status {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def configure():
    said = run([os.path.join(TOP_BUILDDIR, "config.status"), "--config"], TOP_BUILDDIR)
    kept = [word for word in shlex.split(said) if not PLACES.match(word)]
    run([os.path.join(TOP_SRCDIR, "configure"), "-q", *kept, *OPTIONS], FOLDER)


def package_build():
    """The folder of the build, up to date."""
    if os.path.exists(os.path.join(TOP_SRCDIR, "config.status")):
        raise Skip("the source folder is configured itself, so no second build can be made of it")
    os.makedirs(FOLDER, exist_ok=True)
    with open(os.path.join(FOLDER, "lock"), "w", encoding="ascii") as lock:
        # Tests that run side by side make it once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = os.path.join(FOLDER, "Makefile")
        if not os.path.exists(made) or os.path.getmtime(made) < os.path.getmtime(os.path.join(TOP_SRCDIR, "configure")):
            configure()
        run(["make", "-s", "-j2", "all"], FOLDER)
    return FOLDER


def variables(folder):
    """Those of a build's Makefile, expanded."""
    with open(os.path.join(folder, "Makefile"), encoding="utf-8") as stream:
        raw = dict(line.rstrip("\n").split(" = ", 1) for line in stream if " = " in line and line[0] != "\t")

    def expand(text):
        while True:
            grown = re.sub(r"\$[({](\w+)[)}]", lambda match: raw.get(match.group(1), ""), text)
            if grown == text:
                return text
            text = grown
    return {name: expand(value) for name, value in raw.items() if name.endswith(("dir", "prefix"))}


def install(destdir):
    folder = package_build()
    run(["make", "-s", "install", f"DESTDIR={destdir}"], folder)


def uninstall(destdir):
    run(["make", "-s", "uninstall", f"DESTDIR={destdir}"], package_build())
