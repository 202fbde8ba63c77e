#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Limits by name; users, groups and roots of programs; who has which privilege. What needs root is skipped without."""
import os
import shutil
import subprocess
import tempfile

from cpharness import CONNPOOLD, Daemon, Skip, expect, expect_equal, expect_match, main, make_config, run_daemon
from execlib import children_of, daemon_with, listener, shell, spawner_of

NOBODY = 65534


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def output_of(daemon, name="s"):
    with daemon.connect(name) as client:
        return client.recv_all().decode().split()


def test_each_limit_is_set():
    limits = {"limit_cpu": ('"90s"', "Max cpu time", "90"), "limit_file_size": ('"1MiB"', "Max file size", "1048576"),
              "limit_data": ('"512MiB"', "Max data size", "536870912"),
              "limit_stack": ('"2MiB"', "Max stack size", "2097152"), "limit_core": ("0", "Max core file size", "0"),
              "limit_address_space": ('"1GiB"', "Max address space", "1073741824"),
              "limit_memory_lock": ('"32KiB"', "Max locked memory", "32768"),
              "limit_open_files": ("50", "Max open files", "50"), "limit_processes": ("4000", "Max processes", "4000")}
    more = " ".join(f"{name} = {value[0]};" for name, value in limits.items())
    with daemon_with(listener("s", ["/bin/cat", "/proc/self/limits"], more)) as daemon, daemon.connect("s") as client:
        text = client.recv_all().decode()
    for name, (_, title, value) in limits.items():
        expect_match(rf"(?m)^{title} +{value} ", text, name)


def test_limits_are_inherited_unless_said():
    with open("/proc/self/limits", encoding="utf-8") as stream:
        ours = stream.read()
    with daemon_with(listener("s", ["/bin/cat", "/proc/self/limits"])) as daemon, daemon.connect("s") as client:
        expect_equal(client.recv_all().decode(), ours, "limits")


def test_one_that_uses_up_its_cpu_time_is_ended():
    with daemon_with(shell("s", "while :; do :; done", "limit_cpu = 1; limit_core = 0;")) as daemon:
        with daemon.connect("s") as client:
            client.expect_end()
        expect_match("signal (XCPU|KILL)", daemon.wait_closed()["program"], "record")


def test_unknown_users_and_groups_are_errors_with_their_lines():
    lines = ['log: { target = "stderr"; };', "listeners: ( {", ' name = "s"; address = "tcp:127.0.0.1:0";',
             ' service = { type = "exec"; command = [ "relative" ];', '  user = "nosuchuser";',
             '  group = "nosuchgroup";',
             '  groups = [ "root", "nosuchgroup" ];', '  environment = [ "A=b", "C" ];', "  nice = 20;", " }; } );"]
    with tempfile.NamedTemporaryFile("w", suffix=".conf", delete=False) as stream:
        stream.write("\n".join(lines))
    try:
        status, _, errors = run_daemon("--check", "-f", stream.name)
    finally:
        os.unlink(stream.name)
    expect_equal(status, 78, "exit status")
    for number, words in ((4, 'listeners.(0).service.command: "relative" is no path'),
                          (5, 'listeners.(0).service.user: there is no user "nosuchuser"'),
                          (6, 'listeners.(0).service.group: there is no group "nosuchgroup"'),
                          (7, 'listeners.(0).service.groups: there is no group "nosuchgroup"'),
                          (8, 'listeners.(0).service.environment: "C" is no variable'),
                          (9, "listeners.(0).service.nice: 20 is out of range, expected a number from -20 to 19")):
        expect(f"{stream.name}:{number}: {words}" in errors, f"line {number}, {words}, in:\n{errors}")


def test_it_runs_as_the_user_it_is_given():
    need_root()
    with daemon_with(shell("s", "id -u; id -g; id -G", 'user = "nobody";'),
                     shell("t", "id -u; id -g; id -G",
                           'user = "nobody"; group = "daemon"; groups = [ "mail", "bin" ];'),
                     shell("u", "id -u; id -g", 'group = "daemon";')) as daemon:
        expect_equal(output_of(daemon), [str(NOBODY)] * 3, "user")
        uid, gid, *groups = output_of(daemon, "t")
        expect_equal((uid, gid, sorted(groups)), (str(NOBODY), "1", ["1", "2", "8"]), "user and groups")
        expect_equal(output_of(daemon, "u"), ["0", "1"], "group alone")


def status_field(pid, field):
    with open(f"/proc/{pid}/status", encoding="utf-8") as stream:
        return next(line.split(":", 1)[1].strip() for line in stream if line.startswith(field + ":"))


def test_the_daemon_holds_no_capability_and_programs_have_its_user():
    need_root()
    with daemon_with(shell("s", "id -u; grep ^CapEff /proc/self/status; grep ^CapPrm /proc/self/status"),
                     shell("t", "id -u", 'user = "games";'), daemon='user = "nobody";') as daemon:
        output = output_of(daemon)
        expect_equal(output, [str(NOBODY), "CapEff:", "0" * 16, "CapPrm:", "0" * 16], "the program")
        for field in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            expect_equal(status_field(daemon.process.pid, field), "0" * 16, f"{field} of the daemon")
        expect(int(status_field(spawner_of(daemon), "CapEff"), 16) != 0, "the spawner keeps what it needs")
        # Also after a reload, which the daemon could not do for it.
        daemon.reload(listeners=shell("t", "id -u; echo again", 'user = "games";'), daemon='user = "nobody";')
        expect_equal(output_of(daemon, "t"), ["5", "again"], "another user")


def test_it_has_the_root_it_is_given():
    need_root()
    busybox = shutil.which("busybox")
    if busybox is None or subprocess.run(["ldd", busybox], capture_output=True, check=False).returncode == 0:
        # Any program without libraries will do; without one, what can be seen is that the root was entered.
        with tempfile.TemporaryDirectory(prefix="cp-root-", dir="/tmp") as folder:
            with daemon_with(listener("s", ["/bin/cat"], f'chroot = "{folder}";')) as daemon:
                with daemon.connect("s") as client:
                    client.expect_end()
                expect_match("cannot run /bin/cat: No such file", daemon.wait_closed()["program"], "record")
        return
    with tempfile.TemporaryDirectory(prefix="cp-root-", dir="/tmp") as folder:
        os.mkdir(f"{folder}/inner")
        shutil.copy(busybox, f"{folder}/busybox")
        more = f'chroot = "{folder}"; directory = "/inner"; user = "nobody";'
        os.chmod(folder, 0o755)
        with daemon_with(listener("s", ["/busybox", "pwd"], more)) as daemon:
            expect_equal(output_of(daemon), ["/inner"], "folder")


def test_the_small_processes_are_small():
    with daemon_with(listener("s", ["/bin/cat"])) as daemon, daemon.connect("s") as client:
        client.expect_echo()
        for number, (_, _, name) in children_of(daemon.process.pid).items():
            if name not in ("cp-keeper", "cp-spawner"):
                continue
            with open(f"/proc/{number}/smaps_rollup", encoding="utf-8") as stream:
                pss = next(int(line.split()[1]) for line in stream if line.startswith("Pss:"))
            print(f"{name}: {pss} kB (PSS)")
            # Next to the daemon's own, which with a sanitizer is large, too.
            expect(pss * 1024 < daemon.rss_bytes(), f"{name} takes {pss} kB")


def test_check_says_what_it_would_need():
    need_root()
    config = make_config(listeners=shell("s", "id", 'user = "games"; chroot = "/"; nice = -1;'))
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile("w", suffix=".conf") as stream:
        stream.write(config)
        stream.flush()
        os.chmod(stream.name, 0o644)
        # The tree may lie where nobody else can go.
        os.chmod(folder, 0o755)
        copy = shutil.copy(CONNPOOLD, folder)
        status, _, errors = run_daemon("--check", "-f", stream.name)
        expect_equal((status, errors), (0, ""), "as root")
        status, _, errors = run_daemon("--check", "-f", stream.name, user="nobody", executable=copy)
        for strict in (["--check", "--strict"], ["--strict"]):
            refused, _, reasons = run_daemon(*strict, "-f", stream.name, user="nobody", executable=copy)
            expect_equal(refused, 78, f"exit status with {strict}")
            expect_match(r"listener 's': another user or group needs CAP_SETUID", reasons, f"{strict}")
    expect_equal(status, 0, "exit status")
    for words in ("another user or group needs CAP_SETUID", "chroot needs CAP_SYS_CHROOT",
                  "nice below that of connpoold needs CAP_SYS_NICE"):
        expect_match(rf"{stream.name}:\d+: listener 's': {words}", errors, "what --check says")


def test_check_says_what_is_not_there():
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile("w", suffix=".conf") as stream:
        with open(f"{folder}/text", "w", encoding="ascii") as text:
            text.write("no program")
        stream.write(make_config(listeners=",".join((
            listener("missing", [f"{folder}/nothing"]), listener("text", [f"{folder}/text"]),
            listener("folder", [folder]), listener("place", ["/bin/cat"], f'directory = "{folder}/none";'),
            listener("root", ["/bin/cat"], f'chroot = "{folder}"; directory = "/text";')))))
        stream.flush()
        status, output, errors = run_daemon("--check", "--strict", "-f", stream.name)
        if os.geteuid() == 0:
            expect_equal((status, "is good" in output), (0, True), "exit status and output: it may come yet")
        for words in (f"'missing': command: there is no {folder}/nothing\n",
                      f"'text': command: {folder}/text is not executable\n",
                      f"'folder': command: {folder} is not executable\n",
                      f"'place': directory: there is no {folder}/none\n",
                      f"'root': directory: {folder}/text is no folder\n",
                      f"'root': command: there is no {folder}/bin/cat\n"):
            expect(words in errors, f"{words.strip()} in:\n{errors}")


def test_without_root_a_user_cannot_be_had():
    need_root()
    setuid, setgid = 7, 6
    with Daemon(listeners=shell("s", "id -u", 'user = "games";'), without_caps=(setuid, setgid)) as daemon:
        with daemon.connect("s") as client:
            client.expect_end()
        expect_match("cannot become games: Operation not permitted", daemon.wait_closed()["program"], "record")


main(globals())
