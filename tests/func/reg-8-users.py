#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Users are looked up when a config is loaded: a reload sees those that have changed, whatever else is the same.

In a mount namespace of its own, where the file of users is the test's.
"""
import ctypes
import os
import subprocess
import tempfile

from cpharness import Skip, expect, expect_equal, main
from execlib import POOL, daemon_with, expect_only_ours, shell, spawner_of

CLONE_NEWNS = 0x20000
USER = "cp-changing"
FIRST, SECOND = 64001, 64002


class Users:
    """The file of users, with one more."""

    def __enter__(self):
        if os.geteuid() != 0:
            raise Skip("needs root, for a mount namespace and programs of another user")
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
            raise Skip("no mount namespace here")
        with open("/etc/passwd", encoding="utf-8") as stream:
            self.others = stream.read()
        handle, self.path = tempfile.mkstemp(prefix="cp-users-")
        os.close(handle)
        os.chmod(self.path, 0o644)
        self.set_uid(FIRST)
        for command in (["mount", "--make-rprivate", "/"], ["mount", "--bind", self.path, "/etc/passwd"]):
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode != 0:
                os.unlink(self.path)
                raise Skip(f"cannot mount here: {done.stderr.strip()}")
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "/etc/passwd"], check=False)
        os.unlink(self.path)

    def write(self, text):
        """In place: another file would not be the one that is mounted."""
        with open(self.path, "w", encoding="utf-8") as stream:
            stream.write(text)

    def set_uid(self, uid):
        self.write(f"{self.others}{USER}:x:{uid}:{uid}::/nonexistent:/bin/false\n")

    def remove(self):
        self.write(self.others)


def uids(daemon, name):
    with daemon.connect(name) as client:
        return client.recv_all().decode().split()


def test_a_reload_sees_a_user_that_has_changed():
    with Users() as users:
        user = f'user = "{USER}";'
        with daemon_with(shell("user", "id -u; id -g", user), shell("waits", "id -u; read x; id -u", user)) as daemon:
            spawner = spawner_of(daemon)
            expect_equal(uids(daemon, "user"), [str(FIRST), str(FIRST)], "before")
            with daemon.connect("waits") as waiting:
                expect_equal(waiting.recv_exactly(6), f"{FIRST}\n".encode(), "one that runs")
                users.set_uid(SECOND)
                expect_equal(uids(daemon, "user"), [str(FIRST), str(FIRST)], "without a reload")
                # Not a byte of the config is another one.
                daemon.reload()
                expect_equal(uids(daemon, "user"), [str(SECOND), str(SECOND)], "after it")
                waiting.send(b"\n")
                expect_equal(waiting.recv_all(), f"{FIRST}\n".encode(), "one that runs, after it")
            expect_equal(spawner_of(daemon), spawner, "the spawner")
            expect_only_ours(daemon)


def test_a_reload_that_misses_a_user_changes_nothing():
    with Users() as users:
        with daemon_with(shell("user", "id -u", f'user = "{USER}";')) as daemon:
            users.remove()
            line = daemon.reload(listeners=shell("user", "id -g", f'user = "{USER}";'), pools=POOL)
            expect("reload failed" in line, line)
            daemon.wait_log(f'there is no user "{USER}"')
            expect_equal(uids(daemon, "user"), [str(FIRST)], "as before")
            users.set_uid(SECOND)
            daemon.reload()
            expect_equal(uids(daemon, "user"), [str(SECOND)], "once it is there")


main(globals())
