#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A program that had a listening socket and lives on can do with it what it likes: that costs its listener alone."""
import os
import signal
import socket
import sys

from cpharness import connect_to, eventually, expect_equal, main, scaled
from execlib import daemon_with, listener

# Leaves a child behind that no signal of the daemon reaches. It does with the socket what its argument says.
HOLDER = r"""
import os, signal, socket, sys, time
listening = socket.socket(fileno=0)
if os.fork():
    signal.pause()
os.setsid()
with open(sys.argv[1], "w") as stream:
    stream.write(str(os.getpid()))
what = sys.argv[2]
while what == "steal":
    # Blocking for all who have it; and quicker than they are, now and then.
    os.set_blocking(0, True)
    try:
        client, _ = listening.accept()
        client.close()
    except BlockingIOError:
        pass
if what == "linger":
    import struct
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1 << 20)
if what == "shutdown":
    while not os.path.exists(sys.argv[1] + ".go"):
        time.sleep(0.01)
    listening.shutdown(socket.SHUT_RDWR)
open(sys.argv[1] + ".done", "w")
signal.pause()
"""
OTHER = '{ name = "other"; address = "tcp:127.0.0.1:0"; service = "echo"; }'


class Held:
    """A daemon whose listener "w" was a program's before a reload, and is echo now; the program's child has it."""

    def __init__(self, what):
        command = [sys.executable, "-c", HOLDER, "@DIR@/pid", what]
        self.daemon = daemon_with(listener("w", command, "wait = true;"), OTHER)
        self.holder = None

    def __enter__(self):
        daemon = self.daemon.__enter__()
        path = os.path.join(daemon.dir, "pid")
        # The one that brings the program about.
        first = daemon.connect("w")
        eventually(lambda: os.path.exists(path) and os.path.getsize(path) > 0, lambda: "no program")
        with open(path, encoding="ascii") as stream:
            self.holder = int(stream.read())
        config = daemon.config
        begin = config.index('service = { type = "exec"')
        end = config.index("}", begin) + 1
        daemon.write_config(config[:begin] + 'service = "echo"' + config[end:])
        daemon.reload()
        first.close()
        return daemon

    def __exit__(self, *what):
        try:
            return self.daemon.__exit__(*what)
        finally:
            if self.holder:
                os.kill(self.holder, signal.SIGKILL)


def expect_served(daemon):
    with daemon.connect("other") as client:
        client.expect_echo()


def test_a_holder_that_makes_it_block_and_takes_its_clients_holds_up_nobody_else():
    with Held("steal") as daemon:
        served = 0
        for _ in range(scaled(400, 100)):
            with daemon.connect("w") as client:
                client.send(b"x")
                try:
                    served += client.recv_some() == b"x"
                except ConnectionResetError:
                    pass
            expect_served(daemon)
        # Reloads and the stop work, whatever its thread waits for.
        daemon.reload()
        expect_served(daemon)
        print(f"{served} of its clients were served")


def test_options_that_accepted_sockets_inherit_hold_up_no_worker():
    with Held("linger") as daemon:
        eventually(lambda: os.path.exists(os.path.join(daemon.dir, "pid.done")), lambda: "it does nothing")
        with daemon.connect("w") as client:
            # SO_RCVLOWAT of a million would hide this byte.
            client.expect_echo(b"x")
        # One that reads nothing, and has more to come than fits anywhere: close(2) must not wait for it.
        stuck = connect_to(daemon.addresses("w")[0])
        stuck.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.sock.setblocking(False)
        try:
            while True:
                stuck.sock.send(b"x" * 65536)
        except BlockingIOError:
            pass
        stuck.sock.setblocking(True)
        daemon.kill(signal.SIGTERM)
        expect_equal(daemon.wait_exit(), 0, "exit status")
        stuck.close()


def test_a_holder_that_shuts_it_down_stops_it_for_a_moment():
    with Held("shutdown") as daemon:
        with daemon.connect("w") as client:
            client.expect_echo()
        with open(os.path.join(daemon.dir, "pid.go"), "w", encoding="ascii"):
            pass
        daemon.wait_log(r"listener 'w': tcp:127.0.0.1:0 was shut down by another process that has the socket")
        expect_served(daemon)

        def comes_back():
            try:
                with daemon.connect("w") as client:
                    client.expect_echo()
                return True
            except ConnectionError:
                return False
        eventually(comes_back, lambda: "it listens no more")


main(globals())
