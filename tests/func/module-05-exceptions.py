#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Exceptions of C++: clients that wait in catch blocks on one worker keep their own, with either runtime, and both."""
import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile

from cpharness import LIMIT, SANITIZERS, TOP_SRCDIR, Daemon, Skip, expect_equal, expect_match, main

SOURCE = os.path.join(TOP_SRCDIR, "tests", "modules", "throws.cc")
LIBSTDCXX = ("g++",)
LIBCXX = ("clang++", "-stdlib=libc++")


def build(folder, compiler, source=SOURCE):
    """The module, made by this compiler; skips where it is not there."""
    if SANITIZERS:
        raise Skip("this is for a plain build: sanitizers of two compilers do not mix")
    path = os.path.join(folder, os.path.basename(source) + "-" + compiler[0] + ".so")
    done = subprocess.run([*compiler, "-std=c++17", "-O1", "-shared", "-fPIC", f"-I{TOP_SRCDIR}/include", "-o", path,
                           source], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=LIMIT,
                          check=False) if shutil.which(compiler[0]) else None
    if done is None or (done.returncode != 0 and b"file not found" in done.stdout):
        raise Skip(f"{' '.join(compiler)} is not there, or its headers are not")
    expect_equal(done.returncode, 0, f"status of the compiler: {done.stdout.decode()}")
    return path


@contextlib.contextmanager
def serving(*compilers):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        listeners = [f'{{ name = "m{number}"; address = "tcp:127.0.0.1:0"; '
                     f'service = {{ type = "module"; path = "{build(folder, compiler)}"; }}; }}'
                     for number, compiler in enumerate(compilers)]
        with Daemon(listeners=", ".join(listeners), pools="main: { workers = 1; };") as daemon:
            yield daemon


def read_line(client):
    line = b""
    while not line.endswith(b"\n"):
        byte = client.recv_some(1)
        if not byte:
            return line.decode() + "(end)"
        line += byte
    return line.decode().rstrip("\n")


class Talk:
    """One client and what it has to hear, a step at a time."""

    def __init__(self, daemon, listener, how, secret):
        self.client = daemon.connect(listener)
        self.name = f"{listener} {how} {secret}"
        again = f"again {secret} 0" if how == "throw" else f"{secret} 0"
        answers = {"leave": [], "nest": [f"{secret} inner 0", again]}.get(how, [again])
        self.steps = [(f"{how}\n{secret}\n", "caught 0")] + [("go\n", answer) for answer in answers]

    def step(self):
        """False: it was the last one."""
        text, answer = self.steps.pop(0)
        self.client.send(text.encode())
        expect_equal(read_line(self.client), answer, f"answer for {self.name}")
        if not self.steps:
            expect_equal(read_line(self.client), "clean 0", f"what is left of {self.name}")
            self.client.close()
        return bool(self.steps)


def interleave(*compilers):
    with serving(*compilers) as daemon:
        talks = [Talk(daemon, f"m{number % len(compilers)}", how, f"secret-{number}")
                 for number, how in enumerate(("keep", "keep", "nest", "throw", "leave", "nest", "throw", "keep") * 3)]
        order = random.Random(8)
        while talks:
            talk = order.choice(talks)
            if not talk.step():
                talks.remove(talk)


def test_libstdcxx_keeps_each_ones_exception():
    interleave(LIBSTDCXX)


def test_libcxx_keeps_each_ones_exception():
    interleave(LIBCXX)


def test_two_runtimes_in_one_process_do_too():
    interleave(LIBSTDCXX, LIBCXX)


def test_one_that_goes_while_it_waits_leaves_nothing():
    with serving(LIBSTDCXX) as daemon:
        other = Talk(daemon, "m0", "keep", "mine")
        other.step()
        gone = Talk(daemon, "m0", "nest", "theirs")
        gone.step()
        gone.client.reset()
        daemon.wait_closed(end="client-reset")
        other.step()
        Talk(daemon, "m0", "leave", "next").step()


def test_an_uncaught_one_names_the_handler():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        source = os.path.join(folder, "uncaught.cc")
        with open(source, "w", encoding="ascii") as stream:
            stream.write('#include <connpoold/handler.h>\n#include <stdexcept>\n'
                         'static int serve(struct cp_conn *conn)\n'
                         '{ cp_sleep(conn, 1); throw std::runtime_error("no"); }\n'
                         'extern const struct cp_handler connpoold_handler = {CP_HANDLER_ABI, "uncaught", 0, serve};\n')
        path = build(folder, LIBSTDCXX, source)
        with Daemon(listeners=f'{{ name = "m"; address = "tcp:127.0.0.1:0"; '
                              f'service = {{ type = "module"; path = "{path}"; }}; }}') as daemon:
            with daemon.connect("m"):
                expect_equal(daemon.wait_exit(), -signal.SIGABRT, "how it ended")
            log = "\n".join(daemon.log.lines)
            expect_match(r"ended by SIGABRT: listener 'm', service 'uncaught', module '\S+', connection 1, "
                         r"in serve\(\)", log, "the line")
            expect_match(r"\(\w*serve\w*\+0x", log, "the frame that threw")


main(globals())
