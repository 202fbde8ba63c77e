#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""examples/: built by their own Makefiles and by ours, served by the daemon and by connpool-run, reloaded."""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile

from cpharness import (LIBC, LIMIT, PR_SET_PDEATHSIG, SANITIZERS, TOP_BUILDDIR, TOP_SRCDIR, Daemon, Failure, Skip,
                       eventually, expect, expect_equal, expect_match, main, run_daemon)

RUN = os.path.join(TOP_BUILDDIR, "src", "connpool-run")
NAMES = ("chat", "kv", "resolve")


def source(name):
    return os.path.join(TOP_SRCDIR, "examples", name)


def built(name):
    path = os.path.join(TOP_BUILDDIR, "examples", name, name + ".so")
    if not os.path.exists(path):
        expect_equal(name, "kv", "an example that was not built")
        raise Skip("there was no hiredis when this was configured")
    return path


def config_of(name, changes=()):
    """The example's own file, on a free port, with some of its text changed."""
    with open(os.path.join(source(name), name + ".conf"), encoding="utf-8") as stream:
        text = stream.read()
    for old, new in (*changes, (rf'(?<=address = "tcp:127\.0\.0\.1:)\d+', "0")):
        text, count = re.subn(old, new, text)
        expect_equal(count, 1, f"places of {old!r} in {name}.conf")
    return text + 'log: { target = "stderr"; };\ndaemon: { drain_timeout = "1s"; };\n'


class Example(Daemon):
    """The daemon in a folder with the module and its config, as the README has it."""

    def __init__(self, name, changes=(), more=""):
        path = built(name)
        super().__init__(config_of(name, changes) + more)
        self.name = name
        shutil.copy(path, self.dir)

    def reload_with(self, changes, more=""):
        return self.reload(config_of(self.name, changes) + more)


def read_line(client):
    line = b""
    while not line.endswith(b"\n"):
        byte = client.recv_some(1)
        if not byte:
            raise Failure(f"the end came after {line!r}")
        line += byte
    return line.decode().rstrip("\n")


def ask(client, text):
    client.send(text.encode() + b"\n")
    return read_line(client)


def run(name, data, *options):
    done = subprocess.run([RUN, "-q", *options, built(name)], input=data, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=LIMIT, check=False)
    expect_equal((done.returncode, done.stderr), (0, b""), "status and errors of connpool-run")
    return done.stdout.decode()


# ---- as a user begins -------------------------------------------------------------------------------


def test_their_makefiles_build_them_and_their_files_are_good():
    if SANITIZERS or not shutil.which("pkg-config") or not shutil.which("make"):
        raise Skip("this is for a plain build, with make and pkg-config")
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "connpoold.pc"), "w", encoding="utf-8") as stream:
            stream.write(f"moduledir={folder}/modules\nName: connpoold\nDescription: handlers\nVersion: 1\n"
                         f"Cflags: -I{TOP_SRCDIR}/include -fstack-clash-protection\n")
        env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
        env["PKG_CONFIG_PATH"] = folder
        for name in NAMES:
            if not os.path.exists(os.path.join(TOP_BUILDDIR, "examples", name, name + ".so")):
                continue
            here = os.path.join(folder, name)
            shutil.copytree(source(name), here)
            os.chmod(here, 0o755)
            subprocess.run(["make", "-s", "-C", here, "CFLAGS=-O1 -Werror", name + ".so",
                            "install"], env=env, check=True, timeout=LIMIT)
            expect(os.path.exists(f"{folder}/modules/{name}.so"), "make install installs")
            status, _, err = run_daemon("--check", "-f", os.path.join(here, name + ".conf"))
            expect_equal((status, err), (0, ""), f"{name}.conf")


# ---- chat -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def guests(daemon, *names):
    clients = []
    try:
        for name in names:
            clients.append(daemon.connect("chat"))
            expect_equal(read_line(clients[-1]), "* who are you?", "the question")
            expect_match(r"^\* you are in lobby with \d+ others$", ask(clients[-1], name), "the welcome")
        yield clients
    finally:
        for client in clients:
            client.close()


def test_chat_others_hear_what_one_says():
    with Example("chat", more="pools: { main: { workers = 3; }; };\n") as daemon, \
            guests(daemon, "ann", "bob", "cid") as (ann, bob, cid):
        for number in range(50):
            ann.send(f"line {number}\r\n".encode())
            for other in (bob, cid):
                expect_equal(read_line(other), f"ann: line {number}", "what the others hear")
        with guests(daemon, "dan") as (dan,):
            dan.send(b"x" * 600 + b"\n")
            expect_equal(dan.recv_all(), b"* that is too long\n", "more than a line")
        bob.send(b"a\x1b[2Jb\nhalf of ")
        expect_equal((read_line(ann), read_line(cid)), ("bob: a?[2Jb",) * 2, "without what a terminal obeys")
        bob.send(b"it\n")
        expect_equal((read_line(ann), read_line(cid)), ("bob: half of it",) * 2, "a line in two parts")


def test_chat_rooms_are_apart_and_bounded():
    with Example("chat", [("room_size = 50", "room_size = 2")]) as daemon, guests(daemon, "ann", "bob") as (ann, bob):
        with daemon.connect("chat") as cid:
            read_line(cid)
            expect_equal(ask(cid, "cid"), "* lobby is full", "a room that is full")
            expect_equal(ask(cid, "hello"), "* say /join ROOM", "who is in no room")
            expect_equal(ask(cid, "/join kitchen"), "* you are in kitchen with 0 others", "another room")
            cid.send(b"not for the lobby\n")
            ann.send(b"for bob\n")
            expect_equal(read_line(bob), "ann: for bob", "what bob hears")
            bob.close()
            daemon.wait_closed()
            expect_equal(ask(cid, "/join lobby"), "* you are in lobby with 1 others", "a room with a free place")


def test_chat_a_slow_reader_holds_nobody_and_is_told_what_it_missed():
    options = [("queue_size = 100", "queue_size = 4")]
    with Example("chat", options) as daemon, guests(daemon, "ann", "bob", "cid") as (ann, bob, cid):
        said = 0
        text = "x" * 500
        # More than two sockets hold: bob does not read, and cid hears every line all the same.
        while said < 20000:
            for _ in range(4):
                ann.send(text.encode() + b"\n")
            for _ in range(4):
                expect_equal(read_line_fast(cid), "ann: " + text, "what cid hears")
            said += 4
        heard, missed = 0, 0
        while heard + missed < said:
            line = read_line_fast(bob)
            match = re.match(r"\* you are slow and missed (\d+)$", line)
            missed += int(match.group(1)) if match else 0
            heard += 0 if match else 1
        expect(missed > 0, "bob missed some")
        expect_equal(heard + missed, said, "lines heard and missed")
        expect_equal(ask_other(ann, bob, "again"), "ann: again", "what bob hears when he reads")


def read_line_fast(client):
    """By a buffer that stays with the client."""
    if not hasattr(client, "stream"):
        client.stream = client.sock.makefile("rb")
    return client.stream.readline().decode().rstrip("\n")


def ask_other(speaker, hearer, text):
    speaker.send(text.encode() + b"\n")
    return read_line_fast(hearer)


def test_chat_goes_on_across_a_reload():
    with Example("chat") as daemon, guests(daemon, "ann") as (ann,):
        expect_match(r"reloaded: 1 change", daemon.reload_with([("room_size = 50", "room_size = 2")]), "the log")
        with guests(daemon, "bob") as (bob,):
            ann.send(b"old to new\n")
            expect_equal(read_line(bob), "ann: old to new", "what a new one hears")
            bob.send(b"new to old\n")
            expect_equal(read_line(ann), "bob: new to old", "what an old one hears")
            with daemon.connect("chat") as cid:
                read_line(cid)
                expect_equal(ask(cid, "cid"), "* lobby is full", "the new limit")


def test_chat_guests_are_told_that_it_stops():
    with Example("chat") as daemon, guests(daemon, "ann", "bob") as (ann, bob):
        # One that has no name yet.
        cid = daemon.connect("chat")
        expect_equal((read_line(cid), ask(cid, "")), ("* who are you?",) * 2, "the question")
        mark = daemon.log.mark()
        daemon.process.terminate()
        for client in (ann, bob, cid):
            expect_equal(read_line(client), "* the server is stopping", "what a guest is told")
        cid.close()
        daemon.wait_closed(since=mark, end="service", count=3)
        expect_equal(daemon.wait_exit(), 0, "status")


def test_chat_on_standard_input():
    expect_equal(run("chat", b"ann\nhello\n/join x\n"),
                 "* who are you?\n* you are in lobby with 0 others\n* you are in x with 0 others\n", "output")


# ---- kv ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def redis_at(path):
    """A server of the test's own, on a Unix socket."""
    program = shutil.which("redis-server")
    if not program:
        raise Skip("there is no redis-server here")
    process = subprocess.Popen([program, "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no",
                                "--dir", os.path.dirname(path)],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, 9, 0, 0, 0))
    try:
        def answers():
            with socket.socket(socket.AF_UNIX) as probe, contextlib.suppress(OSError):
                probe.connect(path)
                return True
            return False

        eventually(answers, lambda: "redis-server listens")
        yield process
    finally:
        process.kill()
        process.wait()


def at(path):
    return [('redis = "[^"]*"', f'redis = "unix:{path}"')]


def test_kv_gets_what_was_set():
    built("kv")
    with tempfile.TemporaryDirectory() as folder, redis_at(folder + "/redis") as redis:
        with Example("kv", at(folder + "/redis")) as daemon, daemon.connect("kv") as client:
            expect_equal(ask(client, "get colour"), "? nothing", "a key that is not there")
            expect_equal(ask(client, "set colour dark blue"), "OK", "set")
            expect_equal(ask(client, "get colour"), "dark blue", "get")
            expect_equal(ask(client, "del colour"), "1", "del")
            expect_equal(ask(client, "what"), "? get KEY, set KEY VALUE or del KEY", "no command")
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(daemon.connect("kv")) for _ in range(20)]
                for number, other in enumerate(clients):
                    other.send(f"set key{number} {number}\nget key{number}\n".encode())
                for number, other in enumerate(clients):
                    expect_equal((read_line(other), read_line(other)), ("OK", str(number)), "one of many at once")
            redis.kill()
            redis.wait()
            expect_match(r"^\? the store ", ask(client, "get colour"), "without Redis")
            os.unlink(folder + "/redis")
            with redis_at(folder + "/redis"):
                expect_equal(ask(client, "set a 1"), "OK", "with it again")
            client.close()
            daemon.stop()
            expect_match(r"counted connects=\d+", "\n".join(daemon.log.lines), "the counters")


def test_kv_does_not_wait_for_ever_and_follows_a_reload():
    built("kv")
    with tempfile.TemporaryDirectory() as folder, redis_at(folder + "/redis"), \
            socket.socket(socket.AF_UNIX) as mute:
        mute.bind(folder + "/mute")
        mute.listen(16)
        late = ('timeout = "2s"', 'timeout = "50ms"')
        with Example("kv", [*at(folder + "/mute"), late]) as daemon, daemon.connect("kv") as client:
            expect_equal(ask(client, "get a"), "? the store does not answer", "from one that is mute")
            daemon.reload_with(at(folder + "/redis"))
            with daemon.connect("kv") as new:
                expect_equal(ask(new, "get a"), "? nothing", "from the new one")
            expect_equal(ask(client, "get a"), "? the store does not answer", "an old client, from the old one")


def test_kv_lets_idle_clients_go_when_it_stops():
    built("kv")
    with tempfile.TemporaryDirectory() as folder, redis_at(folder + "/redis"):
        with Example("kv", at(folder + "/redis")) as daemon, daemon.connect("kv") as client:
            expect_equal(ask(client, "set a 1"), "OK", "set")
            mark = daemon.log.mark()
            daemon.process.terminate()
            expect_equal(client.recv_all(), b"", "what an idle client is sent")
            daemon.wait_closed(since=mark, end="service")
        with Example("kv", at(folder + "/redis")) as daemon, daemon.connect("kv") as client:
            client.send(b"set a " + b"x" * 5000 + b"\n")
            expect_equal(client.recv_all(), b"? too long\n", "a line that is too long")


def test_kv_on_standard_input():
    built("kv")
    with tempfile.TemporaryDirectory() as folder, redis_at(folder + "/redis"):
        expect_equal(run("kv", b"set a 1\nget a\n", "-o", f"redis=unix:{folder}/redis"), "OK\n1\n", "output")


# ---- resolve ----------------------------------------------------------------------------------------


def answer(client, name):
    lines = [ask(client, name)]
    while lines[-1]:
        lines.append(read_line(client))
    return lines[:-1]


def test_resolve_tells_addresses():
    with Example("resolve") as daemon, daemon.connect("resolve") as client:
        expect_equal(answer(client, "127.0.0.1"), ["127.0.0.1"], "a number")
        expect_equal(answer(client, "::1"), ["::1"], "a number of six")
        expect("127.0.0.1" in answer(client, "localhost"), "localhost has its address")
        expect_match(r"^\? ", "\n".join(answer(client, "x" * 70)), "what is none")
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(daemon.connect("resolve")) for _ in range(100)]
            for other in clients:
                other.send(b"127.0.0.1\n")
            for other in clients:
                expect_equal((read_line(other), read_line(other)), ("127.0.0.1", ""), "one of many at once")
        client.send(b"x" * 300 + b"\n")
        expect_equal(client.recv_all(), b"? no name is so long\n\n", "more than a name")
        daemon.stop()
        expect_match(r"service 'resolve' counted found=103 not_found=1", "\n".join(daemon.log.lines), "the counters")


def test_resolve_follows_a_reload_and_refuses_a_bad_one():
    with Example("resolve") as daemon, daemon.connect("resolve") as client:
        expect_equal(answer(client, "::1"), ["::1"], "any family")
        expect_match(r"reload failed", daemon.reload_with([('family = "any"', 'family = "ipv5"')]), "the log")
        expect_match(r"reloaded: 1 change", daemon.reload_with([('family = "any"', 'family = "ipv4"')]), "the log")
        with daemon.connect("resolve") as new:
            expect_match(r"^\? ", "\n".join(answer(new, "::1")), "the other family, for a new client")
        expect_equal(answer(client, "::1"), ["::1"], "any family, for an old one")


def test_resolve_on_standard_input():
    expect_equal(run("resolve", b"127.0.0.1\n"), "127.0.0.1\n\n", "output")


main(globals())
