#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Whoever means harm, or is broken: clients, a log that nobody reads, a manager that hangs, no descriptors.

None of it may hang the daemon, cost others their service, or stay behind when it is over.
"""
import contextlib
import fcntl
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import threading
import time

from cpharness import (CONNPOOLD, LIMIT, Daemon, Skip, connect_to, eventually, expect, expect_equal, has_systemd,
                       main, make_config)
from soaklib import Crowd, Sums, need_program, size

SERVICES = ",".join(f'{{ name = "{name}"; address = "tcp:127.0.0.1:0"; service = "{name}"; send_timeout = "2s";'
                    " send_buffer = 16384; }"
                    for name in ("echo", "discard", "daytime", "time", "chargen"))


def everything(**parts):
    return Daemon(listeners=SERVICES, pools="main: { workers = 2; };", **parts)


@contextlib.contextmanager
def nothing_stays(daemon):
    """But for the one descriptor that the first load opens for good."""
    threads, descriptors = daemon.thread_count(), daemon.fd_count()
    yield
    eventually(lambda: daemon.thread_count() == threads and daemon.fd_count() <= descriptors + 1,
               lambda: f"{daemon.thread_count()} threads and {daemon.fd_count()} descriptors, "
                       f"before: {threads} and {descriptors}")


def expect_alive(daemon):
    for name in ("echo", "daytime"):
        with daemon.connect(name) as client:
            if name == "echo":
                client.expect_echo(os.urandom(1000))
            else:
                expect(len(client.recv_all()) > 10, "a date")


def expect_cpu_idle(daemon, seconds=0.5):
    before = daemon.cpu_seconds()
    # A stretch of time to measure in, not a wait for something to happen.
    time.sleep(seconds)
    used = daemon.cpu_seconds() - before
    expect(used < seconds / 2, f"{used:.2f} s of processor time in {seconds} s of nothing to do")


# ---- clients -----------------------------------------------------------------------------


def test_connect_and_reset_at_once():
    visits = size(200, 5000)
    with everything() as daemon, nothing_stays(daemon):
        for name in ("echo", "discard", "daytime", "time", "chargen"):
            for number in range(visits):
                client = daemon.connect(name)
                if number % 3 == 0:
                    client.send(b"x" * 100)
                client.reset()
        daemon.wait_accounted(5 * visits)
        expect_alive(daemon)


def test_connect_and_close_at_once():
    with everything() as daemon, nothing_stays(daemon):
        with Crowd(daemon.addresses("echo")[0], spread=True) as crowd:
            for _ in range(size(2, 5)):
                crowd.expect_well("open", size(200, 5000))
                crowd.expect_well("close")
        expect_alive(daemon)
        # Quiet again, not lingering over those that have gone.
        eventually(lambda: daemon.fd_count() < 30, lambda: f"{daemon.fd_count()} descriptors")


def test_half_close_before_during_and_after():
    with everything() as daemon, nothing_stays(daemon):
        for number in range(size(50, 1000)):
            with daemon.connect("echo") as client:
                data = os.urandom(number)
                if number % 2:
                    client.send(data)
                    client.shutdown_write()
                    expect_equal(client.recv_all(), data, "echo")
                else:
                    client.shutdown_write()
                    client.expect_end()
            with daemon.connect(("daytime", "time", "discard")[number % 3]) as client:
                client.shutdown_write()
                client.recv_all()


def test_a_byte_at_a_time():
    """Slow clients are served, cost nothing, and hold nobody up."""
    with everything() as daemon, nothing_stays(daemon):
        clients = [daemon.connect("echo") for _ in range(size(50, 1000))]
        for letter in b"slow":
            for client in clients:
                client.expect_echo(bytes([letter]))
        expect_cpu_idle(daemon)
        for client in clients:
            client.close()


def flood_until_stuck(sock):
    """Until the daemon takes no more, because it can't get rid of its answer."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    while select.select([], [sock], [], 0.1)[1]:
        with contextlib.suppress(BlockingIOError):
            sock.send(b"x" * 65536)


def test_never_reads_while_it_is_flooded():
    """send_timeout ends them; until then they cost no processor time and nobody else anything."""
    count = size(20, 500)
    with everything() as daemon, nothing_stays(daemon):
        deaf = [daemon.connect("chargen") for _ in range(count)]
        talkers = [daemon.connect("echo") for _ in range(count)]
        for client in talkers:
            flood_until_stuck(client.sock)
        expect_alive(daemon)
        # And the two that are alive. Hundreds that end at one instant may be more than the log can take.
        daemon.wait_accounted(2 * count + 2)
        print(f"  chargen: {Sums(daemon.log, 'chargen')}\n  echo: {Sums(daemon.log, 'echo')}")
        ends = Sums(daemon.log).ends
        expect_equal(set(ends), {"send-timeout", "client", "service"}, "ends")
        expect(ends["send-timeout"] >= 2 * min(count, 20), f"ends: {ends}")
        for client in deaf + talkers:
            client.close()


def test_a_stopped_client_holds_nobody_up():
    socat = need_program("socat")
    with everything() as daemon, nothing_stays(daemon):
        flood = subprocess.Popen([socat, "-u", f"TCP:127.0.0.1:{daemon.port('chargen')}", "STDOUT"],
                                 stdout=subprocess.PIPE)
        try:
            expect(len(flood.stdout.read(100000)) == 100000, "it flows")
            flood.send_signal(signal.SIGSTOP)
            expect_alive(daemon)
            daemon.wait_closed(listener="chargen", end="send-timeout")
        finally:
            flood.kill()
            flood.wait()
            flood.stdout.close()


def test_floods_in_both_directions_leave_the_others_their_share():
    """Clients that send and read as fast as they can, on a single worker: a talker still gets its answers."""
    socat = need_program("socat")
    with Daemon(listeners=SERVICES, pools="main: { workers = 1; };") as daemon, nothing_stays(daemon):
        ports = [daemon.port("chargen"), daemon.port("chargen"), daemon.port("discard"), daemon.port("discard")]
        floods = [subprocess.Popen([socat, "-u"] + (["/dev/zero", f"TCP:127.0.0.1:{port}"] if number > 1 else
                                                    [f"TCP:127.0.0.1:{port}", "/dev/null"]),
                                   stderr=subprocess.DEVNULL) for number, port in enumerate(ports)]
        try:
            with daemon.connect("echo") as client:
                for number in range(size(100, 2000)):
                    client.expect_echo(b"%d" % number)
        finally:
            for flood in floods:
                flood.kill()
                flood.wait()


# ---- descriptors -------------------------------------------------------------------------


def test_descriptors_taken_away_and_given_back():
    count = max(50, size(100, 2000))
    with everything() as daemon, nothing_stays(daemon):
        _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE)
        few = daemon.fd_count() + 10
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (few, hard))
        clients = [daemon.connect("echo") for _ in range(count)]
        daemon.wait_log(r"cannot accept: Too many open files")
        # All that is left works: those inside, a reload, and what the manager is told.
        clients[0].expect_echo()
        daemon.reload()
        expect_cpu_idle(daemon)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE, (hard, hard))
        for client in clients:
            client.expect_echo()
        daemon.wait_log(r"accepting again")
        for client in clients:
            client.close()


# ---- the service manager -----------------------------------------------------------------


def fill(sock, where):
    """Until a datagram more would not fit."""
    sock.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            sock.sendto(b"X_FILLED=1", where)


def test_a_service_manager_that_does_not_read():
    if not has_systemd():
        raise Skip("built without systemd")
    with everything() as daemon, nothing_stays(daemon), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as filler:
        fill(filler, daemon.notify.path)
        with daemon.connect("echo") as client:
            # Longer than a status takes to be told.
            for _ in range(3):
                client.expect_echo()
                time.sleep(0.6)
            mark = daemon.log.mark()
            daemon.kill(signal.SIGHUP)
            daemon.wait_log(r"reloaded: \d+ change", since=mark)
            client.expect_echo()
        expect_alive(daemon)
        # Once it reads again it hears how things are.
        daemon.notify.drain()
        mark = daemon.notify.mark()
        with daemon.connect("echo") as client:
            daemon.notify.wait(lambda message: "STATUS" in message, mark, daemon.pidfd)


# ---- the log -----------------------------------------------------------------------------


# Room for what a start says, and little more.
PIPE_BYTES = 16384


# So many records of closed connections do not fit into the rings of two workers and a pipe.
UNFIT = 6000


class Bare:
    """The daemon with a standard error of the test's making, and no one who reads it."""

    def __init__(self, stderr, connections, **more):
        self.dir = Daemon(quiet=True)
        self.path = f"{self.dir.dir}/echo.sock"
        self.dir.write_config(make_config(f'{{ name = "echo"; address = "unix:{self.path}"; service = "echo"; }}'))
        self.process = subprocess.Popen([CONNPOOLD, "-f", self.dir.config_path], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=stderr, env={"PATH": os.environ["PATH"]},
                                        **more)
        self.connections = connections

    def __enter__(self):
        try:
            self.wait_socket()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        shutil.rmtree(self.dir.dir, ignore_errors=True)

    def is_listening(self):
        """A connection would be one record more. __SO_ACCEPTCON stands in the flags, once listen(2) was called."""
        with open("/proc/net/unix", encoding="utf-8") as table:
            return any(line.split()[3] == "00010000" for line in table if line.rstrip().endswith(f" {self.path}"))

    def wait_socket(self):
        eventually(self.is_listening, lambda: "no socket")

    def serve(self):
        for number in range(self.connections):
            with connect_to(f"unix:{self.path}") as client:
                client.expect_echo(b"%d" % number)

    def expect_stop(self):
        """A log that hangs the daemon would keep it from ending at all."""
        self.process.send_signal(signal.SIGTERM)
        expect_equal(self.process.wait(LIMIT), 0, "exit status")


def test_a_log_that_nobody_reads():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    try:
        with Bare(writer, size(500, 10000)) as bare:
            bare.serve()
            bare.process.send_signal(signal.SIGHUP)
            bare.serve()
            bare.expect_stop()
    finally:
        os.close(reader)
        os.close(writer)


def test_a_log_that_is_read_again_says_what_it_lost():
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    text = bytearray()
    with Bare(writer, UNFIT) as bare:
        os.close(writer)
        bare.serve()
        thread = threading.Thread(target=lambda: text.extend(read_all(reader)))
        thread.start()
        bare.expect_stop()
        thread.join(LIMIT)
    log = FoundText(text.decode())
    sums = Sums(log)
    print(f"  {sums}")
    expect(sums.dropped > 0, "some records did not fit")
    expect_equal(sums.closed + sums.rejected + sums.dropped, UNFIT, "logged or counted as lost")


class FoundText:
    def __init__(self, text):
        self.lines = text.split("\n")

    def find(self, pattern):
        return [match for match in (re.search(pattern, line) for line in self.lines) if match]


def read_all(fd):
    with os.fdopen(fd, "rb") as stream:
        return stream.read()


def test_a_log_whose_reader_has_gone():
    reader, writer = os.pipe()
    with Bare(writer, size(500, 10000)) as bare:
        os.close(writer)
        bare.serve()
        os.close(reader)
        bare.serve()
        bare.process.send_signal(signal.SIGHUP)
        bare.serve()
        bare.expect_stop()


def test_a_log_on_a_full_disk():
    with open("/dev/full", "wb") as full, Bare(full, size(500, 10000)) as bare:
        bare.serve()
        bare.expect_stop()


def test_no_standard_error_at_all():
    """Closed: the first descriptor that the daemon opens must not take its place and be written to as a log."""
    def close_all():
        os.closerange(0, 3)
    with Bare(None, size(200, 1000), preexec_fn=close_all) as bare:
        bare.serve()
        bare.expect_stop()


main(globals())
