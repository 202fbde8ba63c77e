#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The units as systemd's own tools judge them."""
import os
import shutil

from boxlib import Journal, UNIT, cpharness, expect, expect_equal, expect_match, main, service, shared

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


def test_modules_are_loaded_in_the_sandbox():
    box = shared()
    folder = f"{box.prefix}/lib/connpoold"
    os.makedirs(box.path(folder), exist_ok=True)
    for name, answer in (("probe-one", "one"), ("probe-two", "two")):
        built = os.path.join(cpharness.TOP_BUILDDIR, "tests", "modules", name + ".so")
        shutil.copy(built, box.path(f"{folder}/probe.so"))
        if name == "probe-one":
            box = service(listeners='{ name = "m"; address = "tcp:127.0.0.1:7007"; '
                                    'service = { type = "module"; path = "probe.so"; }; }')
        else:
            box.systemctl("reload", UNIT)
        # A relative path that is not beside the configuration is one in LIBDIR/connpoold.
        expect_equal(box.run(["connpool-client", "send", "tcp:127.0.0.1:7007", "reply"]).stdout.strip(), answer,
                     f"answer of {name}")
    with Journal(box) as journal:
        box.run(["connpool-client", "send", "tcp:127.0.0.1:7007", "log"])
        line = journal.wait(lambda record: "was told to" in record.get("MESSAGE", ""), "what the handler has logged")
        closed = journal.wait_for("CONNECTION_CLOSED")
    expect_equal((line["SERVICE"], closed["SERVICE"]), ("probe", "probe"), "whose records they are")


main(globals())
