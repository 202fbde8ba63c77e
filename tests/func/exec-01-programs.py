#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs with the connection as standard input and output: what they get, what they give, how their end is told."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

from cpharness import Skip, expect, expect_equal, expect_match, main, scaled
from execlib import daemon_with, expect_only_ours, listener, shell, spawner_fds


def test_cat_gives_back_what_it_gets():
    with daemon_with(listener("cat", ["/bin/cat"])) as daemon, daemon.connect("cat") as client:
        client.expect_echo()
        client.expect_echo(b"x" * 200000)
        client.shutdown_write()
        client.expect_end()
        record = daemon.wait_closed(client=client.name())
        expect_equal(record["end"], "service", "end")
        expect_equal(record["bytes_in"], "200006", "bytes in")
        expect_equal(record["bytes_out"], "200006", "bytes out")
        expect_equal(record["program"], "/bin/cat: exit status 0", "program")
        expect_only_ours(daemon)


def test_the_environment_speaks_three_dialects():
    more = 'environment = [ "LANG=C", "TZ=UTC" ]; pass_environment = "CP_X";'
    with daemon_with(listener("env", ["/usr/bin/env"], more),
                     env={"CP_X": "passed", "CP_Y": "kept back"}) as daemon:
        with daemon.connect("env") as client:
            address, port = client.sock.getsockname()
            server, server_port = client.sock.getpeername()
            variables = dict(line.split("=", 1) for line in client.recv_all().decode().splitlines())
    path = variables.pop("PATH")
    expect(path.startswith("/usr/"), f"PATH is {path}")
    expect_equal(variables, {
        "PROTO": "TCP", "TCPREMOTEIP": address, "TCPREMOTEPORT": str(port), "TCPLOCALIP": server,
        "TCPLOCALPORT": str(server_port), "REMOTE_ADDR": address, "REMOTE_PORT": str(port), "REMOTE_HOST": address,
        "LANG": "C", "TZ": "UTC", "CP_X": "passed"}, "environment")


def test_a_unix_client_is_told_by_its_process():
    config = ('{ name = "env"; address = "unix:@DIR@/s"; service = { type = "exec"; command = "/usr/bin/env"; }; }')
    with daemon_with(config) as daemon, daemon.connect("env") as client:
        variables = dict(line.split("=", 1) for line in client.recv_all().decode().splitlines())
        expect_equal(variables["PROTO"], "UNIX", "PROTO")
        expect_equal(variables["UNIXREMOTEPID"], str(os.getpid()), "UNIXREMOTEPID")
        expect_equal(variables["UNIXREMOTEEUID"], str(os.geteuid()), "UNIXREMOTEEUID")
        expect_equal(variables["UNIXLOCALPATH"], f"{daemon.dir}/s", "UNIXLOCALPATH")


def test_it_starts_where_it_is_told():
    script = "pwd; umask; ulimit -c; cat /proc/self/status | grep NoNewPrivs"
    more = 'directory = "/usr"; umask = "0027"; limit_core = 0;'
    with daemon_with(shell("s", script, more)) as daemon, daemon.connect("s") as client:
        expect_equal(client.recv_all().decode().split(), ["/usr", "0027", "0", "NoNewPrivs:", "1"], "output")


def test_standard_error_goes_where_it_is_sent():
    script = "echo first >&2; printf 'sec\\001ond' >&2; echo out"
    with daemon_with(shell("log", script), shell("client", script, 'stderr = "client";'),
                     shell("null", script, 'stderr = "null";')) as daemon:
        with daemon.connect("log") as client:
            expect_equal(client.recv_all(), b"out\n", "output")
            daemon.wait_log(r"notice: listener 'log': connection 1: stderr: first$")
            daemon.wait_log(r"notice: listener 'log': connection 1: stderr: sec\?ond$")
        with daemon.connect("client") as client:
            expect_equal(client.recv_all(), b"first\nsec\x01ondout\n", "output")
        with daemon.connect("null") as client:
            expect_equal(client.recv_all(), b"out\n", "output")
        daemon.wait_closed(listener="null")
        expect_equal(len(daemon.log.find("stderr:")), 2, "lines of standard error")


def test_its_end_is_in_the_record():
    ends = {"exit 0": "exit status 0", "exit 7": "exit status 7", "kill -TERM $$": "signal TERM",
            "kill -KILL $$": "signal KILL", "kill -SEGV $$": "signal SEGV"}
    names = {script: f"s{i}" for i, script in enumerate(ends)}
    with daemon_with(*[shell(names[script], script, "limit_core = 0;") for script in ends]) as daemon:
        for script, words in ends.items():
            with daemon.connect(names[script]) as client:
                client.expect_end()
            record = daemon.wait_closed(listener=names[script])
            expect_equal(record["end"], "service", "end")
            expect_equal(record["program"], f"/bin/sh: {words}", script)
        expect_only_ours(daemon)


def test_a_python_script_serves_lines():
    code = "import sys\nfor line in sys.stdin:\n print(line.strip().upper(), flush=True)"
    with daemon_with(listener("py", [sys.executable, "-c", code])) as daemon, daemon.connect("py") as client:
        for word in (b"one", b"two"):
            client.send(word + b"\n")
            expect_equal(client.recv_exactly(4), word.upper() + b"\n", "line")
        client.shutdown_write()
        client.expect_end()


def test_a_hundred_at_a_time_none_lost():
    total, at_once = scaled(10000, least=400), 100
    with daemon_with(listener("cat", ["/bin/cat"]), quiet=True) as daemon:
        before = daemon.fd_count()
        failures, numbers, lock = [], iter(range(total)), threading.Lock()

        def run():
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                try:
                    with daemon.connect("cat") as client:
                        client.send(b"%d\n" % number)
                        client.shutdown_write()
                        if client.recv_all() != b"%d\n" % number:
                            failures.append(number)
                except (OSError, AssertionError) as error:
                    failures.append((number, error))
        threads = [threading.Thread(target=run) for _ in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        expect_equal(failures[:5], [], "lost")
        daemon.wait_accounted(total)
        expect_only_ours(daemon)
        # A channel a worker, made when it first started a program, and what the acceptor naps with.
        expect(daemon.fd_count() <= before + 3, f"{daemon.fd_count()} descriptors, {before} before")
        expect(spawner_fds(daemon) <= 12, f"{spawner_fds(daemon)} descriptors in the spawner")


def test_a_git_repository_is_cloned():
    git = shutil.which("git")
    if git is None or not os.path.exists(f"{subprocess.getoutput('git --exec-path')}/git-daemon"):
        raise Skip("no git daemon")
    with tempfile.TemporaryDirectory(prefix="cp-git-", dir="/tmp") as folder:
        def run(*words, cwd=None):
            done = subprocess.run([git, "-c", "user.name=t", "-c", "user.email=t@example.org", *words], cwd=cwd,
                                  text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60,
                                  env={"PATH": os.environ["PATH"], "HOME": folder, "GIT_CONFIG_COUNT": "1",
                                       "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"})
            expect_equal(done.returncode, 0, f"git {words}: {done.stdout}")
        run("init", "-q", f"{folder}/source")
        with open(f"{folder}/source/file", "w", encoding="utf-8") as stream:
            stream.write("content\n" * 10000)
        run("add", "file", cwd=f"{folder}/source")
        run("commit", "-q", "-m", "first", cwd=f"{folder}/source")
        command = [git, "daemon", "--inetd", "--export-all", f"--base-path={folder}"]
        more = (f'environment = [ "HOME={folder}", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", '
                '"GIT_CONFIG_VALUE_0=*" ];')
        with daemon_with(listener("git", command, more)) as daemon:
            run("clone", "-q", f"git://127.0.0.1:{daemon.port('git')}/source", f"{folder}/copy")
            with open(f"{folder}/copy/file", encoding="utf-8") as stream:
                expect_equal(len(stream.read()), 80000, "size of the cloned file")
            expect_match("exit status 0", daemon.wait_closed()["program"], "record")


def test_an_rsync_module_is_synced():
    rsync = shutil.which("rsync")
    if rsync is None:
        raise Skip("no rsync")
    with tempfile.TemporaryDirectory(prefix="cp-rsync-", dir="/tmp") as folder:
        os.mkdir(f"{folder}/data")
        with open(f"{folder}/data/file", "wb") as stream:
            stream.write(os.urandom(1 << 20))
        with open(f"{folder}/rsyncd.conf", "w", encoding="utf-8") as stream:
            stream.write(f"use chroot = no\nlog file = {folder}/log\n[data]\npath = {folder}/data\nread only = yes\n")
        command = [rsync, "--daemon", f"--config={folder}/rsyncd.conf"]
        with daemon_with(listener("rsync", command)) as daemon:
            done = subprocess.run([rsync, "-a", f"rsync://127.0.0.1:{daemon.port('rsync')}/data/", f"{folder}/copy/"],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60, text=True)
            expect_equal(done.returncode, 0, f"rsync: {done.stdout}")
            with open(f"{folder}/data/file", "rb") as one, open(f"{folder}/copy/file", "rb") as other:
                expect(one.read() == other.read(), "the copy is the same")
            expect_match("exit status 0", daemon.wait_closed()["program"], "record")


def test_it_shares_nothing_of_the_daemon():
    """Standard streams, and no other descriptor; default signals, none blocked; a group of its own."""
    script = ("ls /proc/self/fd | wc -l; grep -E '^Sig(Blk|Ign)' /proc/self/status; ps -o pgid= -p $$ | tr -d ' '; "
              "echo $$")
    with daemon_with(shell("s", script)) as daemon, daemon.connect("s") as client:
        words = client.recv_all().decode().split()
    # The fourth one is what ls reads the folder by.
    expect_equal(words[0], "4", "descriptors")
    expect_equal(words[2], "0" * 16, "blocked signals")
    expect_equal(words[4], "0" * 16, "ignored signals")
    expect_equal(words[5], words[6], "process group")


def test_a_reply_is_not_lost_over_unread_input():
    with daemon_with(shell("s", "printf '%0100000d' 1")) as daemon:
        client = daemon.connect("s")
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.send(b"GET / HTTP/1.0\r\n" + b"x" * 3000 + b"\r\n")
        expect_equal(len(client.recv_all()), 100000, "bytes of the reply")
        client.close()


main(globals())
