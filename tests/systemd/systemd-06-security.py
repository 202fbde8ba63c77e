#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The units as systemd's own tools judge them."""
from boxlib import UNIT, expect, expect_equal, expect_match, main, service, shared

LIMIT = 1.5


def test_exposure_is_low():
    box = service()
    shown = box.run(["systemd-analyze", "security", "--no-pager", UNIT]).stdout
    exposure = float(expect_match(r"Overall exposure level for connpoold\.service: (\d+\.\d+)", shown).group(1))
    print(f"  exposure {exposure}")
    expect(exposure <= LIMIT, f"exposure {exposure} is at most {LIMIT}:\n{shown}")


def test_units_have_no_mistakes():
    box = shared()
    units = [box.show("FragmentPath", unit) for unit in (UNIT, "connpoold.socket")]
    done = box.run(["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units], check=False)
    expect_equal((done.returncode, done.stderr), (0, ""), "systemd-analyze verify")


def test_the_sandbox_holds():
    # What the daemon sees of the machine, from within its own namespaces.
    box = service()
    inside = ["nsenter", "-t", box.show("MainPID"), "-m", "--"]
    for folder in ("/usr", "/etc", "/var"):
        done = box.run([*inside, "touch", f"{folder}/connpoold-was-here"], check=False)
        expect(done.returncode != 0, f"{folder} is read-only")
    expect_equal(box.run([*inside, "ls", "-A", "/home"], check=False).stdout, "", "what is seen of /home")


main(globals())
