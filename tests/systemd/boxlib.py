# SPDX-License-Identifier: MIT
"""A systemd of the tests' own, with connpoold installed into it as a package would be.

    from boxlib import expect_equal, main, service

    def test_something():
        box = service(listeners=ECHO)              # a fresh start of connpoold.service with this configuration
        expect_equal(box.echo("tcp:127.0.0.1:7007", "hello"), "hello", "answer")

    main(globals())

A program boots one box for all its tests (box-init has the way). Where that can't be, they are skipped with the reason.
Nothing here sleeps to synchronise: the tests wait for what systemctl returns or for records in the box's journal.
"""
import atexit
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "func"))

import cpharness  # noqa: E402
import packagelib  # noqa: E402
from cpharness import Failure, Skip, eventually, expect, expect_equal, expect_match, main  # noqa: E402,F401

TOP_SRCDIR = cpharness.TOP_SRCDIR
UNIT = "connpoold.service"
ECHO = '{ name = "echo"; address = ["tcp:127.0.0.1:7007", "unix:/run/connpoold/echo.sock"]; service = "echo"; }'
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def need():
    """Raises Skip where a box can't be."""
    if not cpharness.has_systemd():
        raise Skip("built without systemd")
    if cpharness.SANITIZERS:
        raise Skip("the unit's sandbox does not let the sanitizers work")
    if os.geteuid() != 0:
        raise Skip("namespaces, mounts and a PID 1 of one's own need root")
    for program in ("unshare", "nsenter", "setpriv", "pivot_root", "make"):
        if shutil.which(program) is None:
            raise Skip(f"there is no {program}")
    if not os.access("/lib/systemd/systemd", os.X_OK):
        raise Skip("there is no /lib/systemd/systemd")
    with open("/proc/filesystems", encoding="ascii") as stream:
        known = stream.read().split()
    for name in ("overlay", "cgroup2"):
        if name not in known:
            raise Skip(f"the kernel has no {name}")


class Box:
    """One booted systemd. Use with `with`, or shared()."""

    def __init__(self):
        need()
        self.prefix = None
        self.folder = tempfile.mkdtemp(prefix="connpoold-box.")
        with open(os.path.join(self.folder, "log"), "wb") as log:
            self.process = subprocess.Popen(["unshare", "--mount", os.path.join(HERE, "box-init"), self.folder],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))
        signal.signal(signal.SIGTERM, self._on_term)
        try:
            self._wait_for_init()
            self._wait_for_boot()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def _on_term(self, *unused):
        """A test program that is told to end takes its box with it; an exception would only end one test."""
        self.close()
        os._exit(1)

    def _wait_for_init(self):
        """Until PID 1 of the box is systemd; a step before that which fails is a reason to skip."""
        def is_up():
            if self.process.poll() is not None:
                with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as stream:
                    raise Skip(f"namespaces are not to be had: {stream.read().strip() or 'no reason given'}")
            try:
                with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as stream:
                    self.pid = int(stream.read().split()[0])
                with open(f"/proc/{self.pid}/comm", encoding="ascii") as stream:
                    return stream.read() == "systemd\n"
            except (IndexError, FileNotFoundError, ProcessLookupError):
                return False

        self.pid = None
        eventually(is_up, lambda: "systemd is PID 1 of the box")

    def _wait_for_boot(self):
        state = []

        def is_up():
            state[:] = [self.run(["systemctl", "is-system-running"], check=False).stdout.strip()]
            return state[0] in ("running", "degraded")

        eventually(is_up, lambda: f"the box has booted, it is {state}")

    def close(self):
        self.process.kill()  # and with it PID 1 of the box, and with that all in it
        self.process.wait()
        # The groups that systemd has made are empty now, but there.
        script = ('mount -t cgroup2 none "$1" && own=$(sed -n "s/^0:://p" /proc/self/cgroup) && '
                  'group=$1${own%/}/$2 && [ -d "$group" ] && find "$group" -depth -type d -exec rmdir {} +')
        name = os.path.basename(self.folder)
        folder = os.path.join(self.folder, "cgroup")

        def is_gone():
            if not os.path.isdir(folder):
                return True
            done = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", folder, name], check=False,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return done.returncode == 0

        eventually(is_gone, lambda: "the control groups of the box are gone")
        shutil.rmtree(self.folder, ignore_errors=True)

    # ---- in the box --------------------------------------------------------------

    def path(self, name):
        """Where the tests find a file of the box."""
        return f"/proc/{self.pid}/root{name}"

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as stream:
            stream.write(text)

    def enter(self, command):
        path = f"PATH={self.prefix or ''}/bin:{self.prefix or ''}/sbin:{os.environ['PATH']}:/usr/sbin:/sbin"
        return ["nsenter", "-t", str(self.pid), "-m", "-p", "-u", "-i", "-n", "-C", "env", "-i", path,
                "HOME=/root", "LC_ALL=C.UTF-8", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER=",
                # nsenter's child: it ends when nsenter is killed.
                "setpriv", "--pdeathsig", "KILL", *command]

    def run(self, command, check=True, capture=True, text=None):
        stdin = {"input": text} if text is not None else {"stdin": subprocess.DEVNULL if capture else None}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} if capture else {}
        done = subprocess.run(self.enter(command), check=False, text=True, errors="replace", **stdin, **pipes,
                              timeout=cpharness.LIMIT if capture else None)
        if check and done.returncode != 0:
            raise Failure(f"{' '.join(command)}: status {done.returncode}: {done.stdout}{done.stderr}")
        return done

    def start(self, command):
        """A process in the box with pipes; the caller ends it."""
        return subprocess.Popen(self.enter(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, bufsize=0)

    def systemctl(self, *arguments, check=True):
        return self.run(["systemctl", *arguments], check=check)

    def show(self, name, unit=UNIT):
        return self.systemctl("show", "--value", "-p", name, unit).stdout.strip()

    def echo(self, address, text):
        """What connpool-client gets back for a line."""
        return self.run(["connpool-client", "send", address, text]).stdout.strip()

    def main_pid(self):
        """The daemon's process as the tests see it: systemd's number for it is the box's."""
        inner = self.show("MainPID")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/ns/pid") != os.readlink(f"/proc/{self.pid}/ns/pid"):
                    continue
                with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as stream:
                    numbers = [line.split() for line in stream if line.startswith("NSpid:")][0]
            except OSError:  # gone by now, or not ours to look at
                continue
            if numbers[-1] == inner:
                return int(pid)
        raise Failure(f"there is no process {inner} in the box")

    # ---- connpoold ---------------------------------------------------------------

    def install(self):
        """`make install` into the box with --prefix=/usr, and what a package does after it: user, folder, catalog."""
        packagelib.install(self.path(""))
        self.prefix = packagelib.PREFIX
        self.conf = "/etc/connpoold/connpoold.conf"
        self.run(["systemd-sysusers"])
        self.run(["systemd-tmpfiles", "--create", "connpoold.conf"])
        self.run(["journalctl", "--update-catalog"])
        self.systemctl("daemon-reload")

    def configure(self, **parts):
        """Writes the daemon's configuration; the parts are those of cpharness.make_config()."""
        parts.setdefault("listeners", ECHO)
        # make_config() writes to standard error, for the tests that have no journal.
        self.write(self.conf, cpharness.make_config(**parts).replace('target = "stderr";', ""))

    def drop_in(self, text):
        """A drop-in for the unit, as `systemctl edit` makes one."""
        self.write(f"/etc/systemd/system/{UNIT}.d/test.conf", text)
        self.systemctl("daemon-reload")


class Journal:
    """The records of the daemon's unit, as JSON, from now on."""

    def __init__(self, box):
        # --sync: all that was sent before is in, so "from now on" is exact.
        box.run(["journalctl", "--sync"])
        cursor = box.run(["journalctl", "-n", "1", "-o", "json"]).stdout
        after = [f"--after-cursor={json.loads(cursor)['__CURSOR']}"] if cursor else []
        self.process = box.start(["journalctl", "-f", "-n", "all", "--all", "-o", "json", *after, "-u", UNIT])
        self.records = []
        self.rest = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.kill()
        self.process.communicate()

    def wait(self, condition, what):
        """The first record for which the condition holds, of those that were not returned yet and those before it."""
        deadline = time.monotonic() + cpharness.LIMIT
        seen = 0
        while True:
            for record in self.records[seen:]:
                if condition(record):
                    return record
            seen = len(self.records)
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            data = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not data:
                raise Failure(f"not in the journal: {what}; there is:\n" + "\n".join(
                    f"  {record.get('SYSLOG_IDENTIFIER')}: {record.get('MESSAGE')}" for record in self.records))
            lines = (self.rest + data).split(b"\n")
            self.rest = lines.pop()
            self.records += [json.loads(line) for line in lines if line]

    def wait_for(self, event, condition=lambda record: True):
        """The first record of the event, a name from enum log_event without its prefix."""
        return self.wait(lambda record: record.get("MESSAGE_ID") == event_id(event) and condition(record), event)


def event_id(event):
    """The id that the log's table gives an event."""
    with open(os.path.join(cpharness.TOP_SRCDIR, "src", "base", "log.c"), encoding="utf-8") as stream:
        return expect_match(rf'\[LOG_EVENT_{event}\] = "MESSAGE_ID=(\w+)"', stream.read(), "src/base/log.c").group(1)


SHARED = []


def shared():
    """The program's box, booted and with connpoold installed at the first call."""
    if not SHARED:
        need()
        box = Box()
        atexit.register(box.close)
        box.install()
        SHARED.append(box)
    return SHARED[0]


def service(drop_in=None, **parts):
    """connpoold.service freshly started with a configuration of these parts; returns its box."""
    box = shared()
    stopped(box)
    if drop_in is not None:
        box.drop_in(drop_in)
    box.configure(**parts)
    box.systemctl("start", UNIT)
    return box


def stopped(box):
    """Back to what was installed: nothing runs, nothing is changed or counted."""
    box.systemctl("stop", "connpoold.socket", UNIT)
    shutil.rmtree(box.path("/etc/systemd/system"), ignore_errors=True)
    box.systemctl("daemon-reload")
    box.systemctl("reset-failed")
