#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs of exec services under the installed unit: what it gives them, what it refuses, what the drop-in adds."""
import json
import os
import signal

from boxlib import (Journal, Skip, UNIT, eventually, expect, expect_equal, expect_match, main, service, shared,
                    stopped)

ADDRESS = "tcp:127.0.0.1:7007"
CAP_KILL, CAP_SETGID, CAP_SETUID, CAP_NET_BIND_SERVICE, CAP_SYS_RESOURCE = (1 << bit for bit in (5, 6, 7, 10, 24))
FOR_ANOTHER_USER = CAP_SETUID | CAP_SETGID | CAP_KILL
DROP_IN = f"/etc/systemd/system/{UNIT}.d/programs.conf"
# With the drop-in as it is shipped; 1.4 without.
EXPOSURE = 2.0


def listener(script, more=""):
    return (f'{{ name = "s"; address = "{ADDRESS}"; '
            f'service = {{ type = "exec"; command = ["/bin/sh", "-c", {json.dumps(script)}]; {more} }}; }}')


def output(box):
    return box.run(["connpool-client", "send", ADDRESS, ""]).stdout.split()


def programs_drop_in(box, *uncommented):
    """The shipped file, those of its comments that begin so being settings."""
    lines = box.run(["cat", f"{box.prefix}/share/doc/connpoold/connpoold-programs.conf"]).stdout.splitlines()
    for prefix in uncommented:
        expect(any(line.startswith("#" + prefix) for line in lines), f"there is a #{prefix}")
        lines = [line[1:] if line.startswith("#" + prefix) else line for line in lines]
    box.write(DROP_IN, "\n".join(lines) + "\n")
    box.systemctl("daemon-reload")


def start(*uncommented, drop_in=True, **parts):
    """As service(), with the drop-in."""
    box = shared()
    stopped(box)
    if drop_in:
        programs_drop_in(box, *uncommented)
    box.configure(**parts)
    box.systemctl("start", UNIT)
    return box


def processes(box):
    """The daemon's process and those that it has split off: {name: pid of the tests'}."""
    daemon = box.main_pid()
    found, parents = {"connpoold": daemon}, [daemon]
    while parents:
        with open(f"/proc/{parents[0]}/task/{parents[0]}/children", encoding="ascii") as stream:
            children = [int(word) for word in stream.read().split()]
        for child in children:
            with open(f"/proc/{child}/comm", encoding="utf-8") as stream:
                found[stream.read().strip()] = child
        parents = parents[1:] + children
    return found


def capabilities(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as stream:
        return {line.split(":")[0]: int(line.split()[1], 16) for line in stream if line.startswith("Cap")}


def no_capabilities(*kinds):
    return [word for kind in kinds for word in (f"Cap{kind}:", "0" * 16)]


def refusal(**parts):
    """What the journal says when the unit does not start with this configuration."""
    box = shared()
    stopped(box)
    box.configure(**parts)
    with Journal(box) as journal:
        expect(box.systemctl("start", UNIT, check=False).returncode != 0, "systemctl start fails")
        record = journal.wait(lambda entry: "connpoold.conf:" in entry.get("MESSAGE", ""), "file and line")
    expect_equal(record["PRIORITY"], "3", "priority")
    expect_equal((box.show("ActiveState"), box.show("ExecMainStatus")), ("failed", "78"), "state and exit status")
    expect_equal(box.show("NRestarts"), "0", "restarts")
    return record["MESSAGE"]


def test_without_the_drop_in_they_run_as_the_daemons_user():
    box = service(listeners=listener("id -un; grep -E '^Cap(Eff|Prm|Amb)' /proc/self/status"))
    expect_equal(output(box), ["connpoold"] + no_capabilities("Prm", "Eff", "Amb"), "user and capabilities")


def test_another_user_is_refused_at_the_start():
    message = refusal(listeners=listener("id", 'user = "nobody";'))
    file = expect_match(r"connpoold\.conf:\d+: listener 's': another user or group needs CAP_SETUID, CAP_SETGID and "
                        r"CAP_KILL, .* drop-in (/\S*/connpoold-programs\.conf)$", message, "message").group(1)
    expect(os.path.exists(shared().path(file)), f"{file} is there")


def test_another_user_is_refused_by_a_reload():
    box = service(listeners=listener("echo before"))
    box.configure(listeners=listener("echo after", 'user = "nobody";'))
    with Journal(box) as journal:
        expect(box.systemctl("reload", UNIT, check=False).returncode != 0, "systemctl reload fails")
        journal.wait(lambda record: "another user or group needs CAP_SETUID" in record.get("MESSAGE", ""), "the reason")
    expect_equal(box.show("ActiveState"), "active", "state")
    expect_equal(output(box), ["before"], "what is served")


def test_the_daemons_own_user_needs_nothing():
    box = service(listeners=listener("id -un", 'user = "connpoold";'))
    expect_equal(output(box), ["connpoold"], "user")


def test_with_the_drop_in_they_run_as_somebody_else():
    show = "id -un; grep -E '^Cap(Inh|Prm|Eff|Amb)' /proc/self/status"
    box = start(listeners=listener(show, 'user = "nobody";'))
    nothing = no_capabilities("Inh", "Prm", "Eff", "Amb")
    expect_equal(output(box), ["nobody"] + nothing, "user and capabilities")
    box.configure(listeners=listener(show, 'user = "games";'))
    box.systemctl("reload", UNIT)
    expect_equal(output(box), ["games"] + nothing, "the same after a reload")


def test_only_the_small_processes_are_privileged():
    box = start(listeners=listener("id -un", 'user = "nobody";'))
    expect_equal(output(box), ["nobody"], "user")
    found = processes(box)
    daemon = capabilities(found["connpoold"])
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        expect_equal(daemon[kind] & ~CAP_NET_BIND_SERVICE, 0, f"{kind} of the daemon beyond CAP_NET_BIND_SERVICE")
    for name in ("cp-keeper", "cp-spawner"):
        own = capabilities(found[name])["CapEff"]
        expect_equal(own & FOR_ANOTHER_USER, FOR_ANOTHER_USER, f"CapEff of {name}")


def test_a_root_of_their_own():
    if not os.path.islink("/lib64"):
        raise Skip("/usr is no root for a program here")
    more = 'chroot = "/usr"; user = "nobody";'
    message = refusal(listeners=listener("echo /*", 'chroot = "/usr";'))
    expect_match("listener 's': chroot needs CAP_SYS_CHROOT", message)
    box = start("AmbientCapabilities=CAP_SYS_CHROOT", "CapabilityBoundingSet=CAP_SYS_CHROOT", "SystemCallFilter=chroot",
                listeners=listener("echo /*; id -u", more))
    *names, user = output(box)
    expect("/bin" in names and "/usr" not in names, f"what is in the root: {names}")
    expect_equal(user, "65534", "user")


def test_limits_below_need_nothing_and_above_a_privilege():
    box = service(listeners=listener("ulimit -n", "limit_open_files = 50;"))
    expect_equal(output(box), ["50"], "descriptors")
    raised = "limit_open_files = 1048576;"
    expect_match("listener 's': a limit above that of connpoold needs CAP_SYS_RESOURCE",
                 refusal(listeners=listener("ulimit -n", raised)))
    if capabilities(shared().pid)["CapBnd"] & CAP_SYS_RESOURCE == 0:
        print("  CAP_SYS_RESOURCE is not to be had here")
        return
    box = start("AmbientCapabilities=CAP_SYS_RESOURCE", "CapabilityBoundingSet=CAP_SYS_RESOURCE",
                "SystemCallFilter=capset", listeners=listener("ulimit -n", raised))
    expect_equal(output(box), ["1048576"], "descriptors")


def test_nice_both_ways():
    expect_match(r"listener 's': nice needs calls that are filtered \(setpriority\)",
                 refusal(listeners=listener("nice", "nice = 19;")))
    expect_match("listener 's': nice below that of connpoold needs CAP_SYS_NICE",
                 refusal(listeners=listener("nice", "nice = -5;")))
    box = start("SystemCallFilter=setpriority", listeners=listener("nice", "nice = 19;"))
    expect_equal(output(box), ["19"], "nice")
    box = start("AmbientCapabilities=CAP_SYS_NICE", "CapabilityBoundingSet=CAP_SYS_NICE",
                "SystemCallFilter=setpriority", listeners=listener("nice", "nice = -5;"))
    expect_equal(output(box), ["-5"], "nice")


def test_a_dead_spawner_is_replaced():
    box = start(listeners=listener("echo begun; read line; id -un", 'user = "nobody";'))
    spawner = processes(box)["cp-spawner"]
    with Journal(box) as journal:
        client = box.start(["connpool-client", "connect", ADDRESS])
        expect_equal(client.stdout.readline(), b"begun\n", "what the program writes")
        os.kill(spawner, signal.SIGKILL)
        record = journal.wait_for("SPAWNER_DIED")
        expect_match(r"was ended by signal 9; 1 programs were ended with it", record["MESSAGE"], "message")
        journal.wait_for("CONNECTION_CLOSED", lambda closed: closed["END"] == "program-failed")
        client.communicate()
    expect_equal((box.show("ActiveState"), box.show("NRestarts")), ("active", "0"), "state and restarts")
    expect_equal(output(box), ["begun", "nobody"], "the next client")
    expect(processes(box)["cp-spawner"] != spawner, "there is another spawner")


def test_without_a_keeper_programs_go_on_and_a_reload_says_why_not():
    box = service(listeners=listener("echo before"))
    expect_equal(output(box), ["before"], "output")
    with Journal(box) as journal:
        os.kill(processes(box)["cp-keeper"], signal.SIGKILL)
        expect_match("the keeper .* is gone", journal.wait_for("SPAWNER_DIED")["MESSAGE"], "message")
        expect_equal(output(box), ["before"], "what is served without")
        box.configure(listeners=listener("echo after"))
        box.systemctl("reload", UNIT)
        expect_match("the keeper is gone", journal.wait_for("RELOAD_FAILED")["MESSAGE"], "message")
    box.systemctl("restart", UNIT)
    expect_equal(output(box), ["after"], "what is served after a restart")


def test_a_stop_leaves_nothing_behind():
    script = "trap '' TERM; (setsid sleep 1000) & echo begun; sleep 1000"
    box = service(daemon='drain_timeout = "0s";', listeners=listener(script, 'kill_timeout = "10ms";'))
    client = box.start(["connpool-client", "connect", ADDRESS])
    expect_equal(client.stdout.readline(), b"begun\n", "what the program writes")
    box.systemctl("stop", UNIT)
    client.communicate()
    expect_equal((box.show("Result"), box.show("ExecMainStatus")), ("success", "0"), "result and exit status")
    eventually(lambda: "sleep" not in box.run(["ps", "-eo", "comm"]).stdout, lambda: "no program is left")


def test_one_that_takes_all_memory_is_no_reason_to_stop():
    expect_equal(service(listeners=listener("id")).show("OOMPolicy"), "continue", "OOMPolicy")


def test_exposure_stays_low():
    box = start(listeners=listener("id -un", 'user = "nobody";'))
    shown = box.run(["systemd-analyze", "security", "--no-pager", UNIT]).stdout
    exposure = float(expect_match(r"Overall exposure level for connpoold\.service: (\d+\.\d+)", shown).group(1))
    print(f"  exposure {exposure}")
    expect(exposure <= EXPOSURE, f"exposure {exposure} is at most {EXPOSURE}:\n{shown}")


main(globals())
