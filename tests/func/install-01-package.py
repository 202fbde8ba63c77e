#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Where `make install` puts each file: of a package (--prefix=/usr and a DESTDIR), and of a prefix of one's own."""
import os
import re
import subprocess
import tempfile

import packagelib
from cpharness import SANITIZERS, TOP_BUILDDIR, TOP_SRCDIR, Skip, expect, expect_equal, has_systemd, main

PROGRAMS = ["/usr/bin/connpool-client", "/usr/bin/connpool-run", "/usr/sbin/connpoold", "/usr/sbin/connpoold-import"]
UNIT_FILES = ["/usr/lib/sysusers.d/connpoold.conf", "/usr/lib/tmpfiles.d/connpoold.conf",
              "/usr/lib/systemd/catalog/connpoold.catalog"]
OTHERS = ["/etc/connpoold/connpoold.conf", "/usr/include/connpoold/handler.h", "/usr/lib/pkgconfig/connpoold.pc",
          "/usr/share/doc/connpoold/connpoold-programs.conf"]


def unit_folder():
    """As systemd.pc says, else the prefix's."""
    done = subprocess.run(["pkg-config", "--variable=systemdsystemunitdir", "systemd"], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip() or "/usr/lib/systemd/system"


def names(folder, pattern):
    return sorted(name for name in os.listdir(os.path.join(TOP_SRCDIR, folder)) if re.search(pattern, name))


def manual():
    pages = [f"/usr/share/man/man{name[-1]}/{name}" for name in names("man", r"\.[1-8]$")]
    for name in names("man", r"\.3$"):
        with open(os.path.join(TOP_SRCDIR, "man", name), encoding="utf-8") as stream:
            calls = re.findall(r"^\.Nm (cp_[a-z_]*)", stream.read(), re.M)
        pages += [f"/usr/share/man/man3/{call}.3" for call in calls]
    return pages


def examples():
    found = []
    for path, _, files in os.walk(os.path.join(TOP_SRCDIR, "examples")):
        below = os.path.relpath(path, TOP_SRCDIR)
        found += [f"/usr/share/doc/connpoold/{below}/{name}" for name in files
                  if name != "local.mk" and not name.endswith((".so", ".o")) and name[0] != "."]
    return found


def expected():
    files = PROGRAMS + OTHERS + manual() + examples()
    files += ["/usr/share/doc/connpoold/recipes/" + name for name in names("conf/recipes", r"\.conf$")]
    if has_systemd():
        files += UNIT_FILES + [f"{unit_folder()}/connpoold.{kind}" for kind in ("service", "socket")]
    return sorted(set(files))


def files_below(folder):
    return sorted("/" + os.path.relpath(os.path.join(path, name), folder)
                  for path, _, files in os.walk(folder) for name in files)


def test_a_package_has_each_file_in_its_place():
    if SANITIZERS:
        raise Skip("a second build, which the plain one makes as well")
    with tempfile.TemporaryDirectory(prefix="cp-install-", dir="/tmp") as folder:
        packagelib.install(folder)
        got, want = files_below(folder), expected()
        expect_equal((sorted(set(got) - set(want)), sorted(set(want) - set(got))), ([], []), "too many, and missing")
        if has_systemd():
            with open(f"{folder}{unit_folder()}/connpoold.service", encoding="utf-8") as stream:
                unit = stream.read()
            expect("ExecStart=/usr/sbin/connpoold --strict -f /etc/connpoold/connpoold.conf\n" in unit, unit)
        for name in ("/usr/lib/pkgconfig/connpoold.pc", "/usr/sbin/connpoold"):
            with open(folder + name, "rb") as stream:
                expect(folder.encode() not in stream.read(), f"{name} does not know of the DESTDIR")
        packagelib.uninstall(folder)
        expect_equal(files_below(folder), [], "left by make uninstall")


def test_what_an_operator_wrote_is_kept():
    if SANITIZERS:
        raise Skip("a second build, which the plain one makes as well")
    with tempfile.TemporaryDirectory(prefix="cp-install-", dir="/tmp") as folder:
        os.makedirs(folder + "/etc/connpoold")
        with open(folder + "/etc/connpoold/connpoold.conf", "w", encoding="ascii") as stream:
            stream.write("# mine\n")
        packagelib.install(folder)
        packagelib.uninstall(folder)
        with open(folder + "/etc/connpoold/connpoold.conf", encoding="ascii") as stream:
            expect_equal(stream.read(), "# mine\n", "the configuration")
        expect_equal(files_below(folder), ["/etc/connpoold/connpoold.conf"], "left by make uninstall")


def test_a_prefix_of_ones_own_holds_all():
    where = packagelib.variables(TOP_BUILDDIR)
    if not has_systemd() or where["prefix"] == "/usr":
        raise Skip("the tested build has no units, or the prefix /usr")
    for name in ("systemdsystemunitdir", "sysusersdir", "tmpfilesdir", "catalogdir", "pkgconfigdir"):
        expect(where[name].startswith(where["prefix"] + "/"), f"{name} is {where[name]}")


main(globals())
