# SPDX-License-Identifier: MIT
"""For the tests of connpoold-import: files of xinetd and inetd in a folder of the test's own, and what becomes of them.

Services, users and programs are looked up on this machine: tests name those that every machine has.
"""
import contextlib
import os
import re
import subprocess
import tempfile

from cpharness import LIMIT, TOP_BUILDDIR, expect, expect_equal, run_daemon

IMPORT = os.path.join(TOP_BUILDDIR, "src", "connpoold-import")


@contextlib.contextmanager
def files(**texts):
    """A folder with such files; "xinetd_d__name" stands for xinetd.d/name, "xinetd_conf" for xinetd.conf. @DIR@ in a
    text is the folder."""
    with tempfile.TemporaryDirectory(prefix="cp-import-", dir="/tmp") as folder:
        for name, text in texts.items():
            path = os.path.join(folder, name.replace("xinetd_d__", "xinetd.d/").replace("_conf", ".conf"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text.replace("@DIR@", folder))
        yield folder


def run_import(*args):
    """Returns (status, standard output, standard error)."""
    done = subprocess.run([IMPORT, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=LIMIT, check=False, text=True)
    return done.returncode, done.stdout, done.stderr


def convert(text, *args):
    """What becomes of one file: (the configuration, the messages without the folder's name)."""
    with files(input=text) as folder:
        status, out, err = run_import(*args, os.path.join(folder, "input"))
        expect_equal(status, 0, f"status ({err})")
        return out.replace(folder + "/", ""), err.replace(folder + "/", "")


def listener(config, name):
    """The lines of a listener that is served, with the comments above, as one text with single blanks."""
    found = re.search(rf'((?:^\t#[^\n]*\n)*)^\t\{{\n\t\tname = "{re.escape(name)}";\n(.*?)^\t\}}', config, re.M | re.S)
    expect(found, f"there is a listener {name!r}:\n{config}")
    return " ".join((found[1] + found[2]).replace("# ", "").split())


def has_service(name):
    """Whether this daemon knows the type of service."""
    status, out, err = run_daemon("--help-config")
    expect_equal(status, 0, f"status of --help-config ({err})")
    return re.search(rf"^service {name}\b", out, re.M) is not None


def check(config):
    """(status, messages) of --check of that text."""
    with files(a_conf=config) as folder:
        status, out, err = run_daemon("--check", "-f", os.path.join(folder, "a.conf"))
        return status, out + err
