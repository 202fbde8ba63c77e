# SPDX-License-Identifier: MIT
"""Clients of every kind, and the servers of the proxy listeners. All are coroutines of one loop."""
import asyncio
import contextlib
import errno
import os
import random
import socket
import struct

from cpharness import Failure

CHUNK = 65536
RESET = struct.pack("ii", 1, 0)
BUSY = b"busy\r\n"


class Wrong(Failure):
    """A client was told what it must not be told: bytes of another one, or of nobody."""


class Cut(Failure):
    """The daemon ended a connection before the service was done."""


def stream_of(number, length):
    """The bytes of client number, and of no other: any part of 16 bytes says whose it is."""
    word = b"<%014d>" % number
    return (word * (length // len(word) + 1))[:length]


def expect_bytes(got, want, what):
    if got != want[:len(got)]:
        at = next(i for i, pair in enumerate(zip(got + b"\0", want + b"\1")) if pair[0] != pair[1])
        raise Wrong(f"{what}: byte {at} is of somebody else: got {got[max(0, at - 20):at + 40]!r}, "
                    f"expected {want[max(0, at - 20):at + 40]!r}")


class Peer:
    """A connected socket."""

    def __init__(self, sock, number=0):
        self.sock, self.number = sock, number
        self.loop = asyncio.get_running_loop()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    async def send(self, data):
        await self.loop.sock_sendall(self.sock, data)

    async def recv(self, size=CHUNK):
        return await self.loop.sock_recv(self.sock, size)

    async def recv_exactly(self, size):
        data = b""
        while len(data) < size:
            part = await self.recv(min(size - len(data), CHUNK))
            if not part:
                raise Cut(f"the daemon closed after {len(data)} of {size} bytes: {data[:60]!r}")
            data += part
        return data

    async def recv_all(self, limit=1 << 22):
        data = b""
        while len(data) < limit:
            part = await self.recv()
            if not part:
                break
            data += part
        return data

    def half_close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """By a reset over TCP; a Unix socket has none but by what it leaves unread."""
        with contextlib.suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.close()

    def close(self):
        if self.sock.fileno() >= 0:
            # Else a wait for it that was cancelled at the same moment would be left with a number that is used again.
            self.loop.remove_reader(self.sock.fileno())
            self.loop.remove_writer(self.sock.fileno())
        self.sock.close()

    def name(self):
        """Ours, as the daemon's log writes it; nothing says which client of a Unix socket it was."""
        address = self.sock.getsockname()
        return "%s:%d" % address if self.sock.family == socket.AF_INET else None


async def connect(where):
    """where: (family, address). A full backlog of a Unix socket is an error at once: tried again."""
    family, address = where
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        while True:
            code = sock.connect_ex(address)
            if family != socket.AF_UNIX or code != errno.EAGAIN:
                break
            await asyncio.sleep(0.01)
        if code == errno.EINPROGRESS:
            await wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code != 0:
            raise OSError(code, os.strerror(code))
    except BaseException:
        sock.close()
        raise
    return Peer(sock)


async def wait_writable(sock):
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(sock, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_writer(sock)


# ---- what an honest client says and hears, by kind -----------------------------------------------


async def talk_echo(peer, length=64):
    data = stream_of(peer.number, length)
    await peer.send(data)
    try:
        got = await peer.recv_exactly(length)
    except Cut as cut:
        raise Cut(f"echo: {cut}") from None
    expect_bytes(got, data, "echo")


async def talk_discard(peer):
    await peer.send(stream_of(peer.number, 64))
    peer.half_close()
    expect_bytes(await peer.recv_all(), b"", "discard")


async def talk_header(peer):
    await peer.send(b"PROXY TCP4 192.0.2.%d 203.0.113.1 %d 80\r\n" % (peer.number % 250 + 1, peer.number % 60000 + 1))
    await talk_echo(peer)


async def talk_line(peer):
    line = await peer.recv_all()
    if not line.endswith(b"\n") or len(line) > 100:
        raise Cut(f"not a line: {line[:200]!r}")


async def talk_time(peer):
    got = await peer.recv_all()
    if len(got) != 4:
        raise Cut(f"not a time: {got!r}")


async def talk_chargen(peer):
    got = await peer.recv_exactly(740)
    lines = got.split(b"\r\n")[:-1]
    if len(lines) < 9 or any(len(line) != 72 for line in lines):
        raise Wrong(f"not of chargen: {got!r}")


async def talk_module(peer):
    await peer.send(b"reply\n")
    expect_bytes(await peer.recv_exactly(4), b"one\n", "module")


async def talk_record(peer):
    await peer.send(stream_of(peer.number, 64))
    peer.half_close()
    await peer.recv_all()


TALKS = {"echo": talk_echo, "exec-echo": talk_echo, "wait-accept": talk_echo, "proxy": talk_echo, "header": talk_header,
         "discard": talk_discard, "daytime": talk_line, "check": talk_line, "time": talk_time, "chargen": talk_chargen,
         "module": talk_module, "exec-record": talk_record, "proxy-record": talk_record}
ECHOES = ("echo", "exec-echo", "wait-accept", "proxy")


# ---- the servers of upstreams --------------------------------------------------------------------


class Server:
    """One server, on an address of its own."""

    def __init__(self, run, spec, name):
        self.run, self.spec, self.name = run, spec, name
        self.mode = spec["mode"]
        self.peers = set()
        self.most = 0
        self.recorded = []
        self.tasks = set()
        self.random = random.Random(name)
        self.sock = None
        if spec["unix"]:
            self.where = (socket.AF_UNIX, os.path.join(run.dir, f"server-{name}"))
            self.address = "unix:" + self.where[1]
        self.sock = socket.socket(socket.AF_UNIX if spec["unix"] else socket.AF_INET,
                                  socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self.sock.bind(self.where[1] if spec["unix"] else ("127.0.0.1", 0))
        if spec["unix"]:
            os.chmod(self.where[1], 0o777)
        else:
            self.address = "tcp:127.0.0.1:%d" % self.sock.getsockname()[1]
        if self.mode != "refuse":
            self.sock.listen(1000)
            self.task = asyncio.ensure_future(self.accept())

    async def accept(self):
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self.sock)
            peer = Peer(sock)
            self.peers.add(peer)
            self.check_limit()
            task = asyncio.ensure_future(self.serve(peer))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    def check_limit(self):
        """Of those that the daemon has not closed: what it has closed is known here at once, on one machine."""
        if self.spec["max"] == 0 or len(self.peers) <= self.spec["max"]:
            return
        living = sum(not has_ended(peer.sock) for peer in self.peers)
        self.most = max(self.most, living)
        if living > self.spec["max"]:
            self.run.fail("limit", f"server {self.name}: {living} connections, max_connections is {self.spec['max']}")

    async def serve(self, peer):
        try:
            with peer:
                await getattr(self, "be_" + self.mode)(peer)
        except OSError:
            pass
        finally:
            self.peers.discard(peer)

    async def be_good(self, peer):
        while data := await peer.recv():
            await peer.send(data)

    async def be_record(self, peer):
        self.recorded.append(await peer.recv_all())

    async def be_slow(self, peer):
        while data := await peer.recv(2000):
            await asyncio.sleep(0.05)
            await peer.send(data)

    async def be_reset(self, peer):
        await peer.recv(100)
        peer.reset()

    async def be_close(self, peer):
        if self.random.random() < 0.5:
            await peer.send(await peer.recv(10))

    async def be_mute(self, peer):
        await asyncio.sleep(3)

    async def be_flood(self, peer):
        for _ in range(200):
            await peer.send(bytes(CHUNK))

    def drop_all(self):
        for peer in list(self.peers):
            with contextlib.suppress(OSError):
                peer.sock.shutdown(socket.SHUT_RDWR)

    async def end(self):
        tasks = list(self.tasks) + ([self.task] if self.mode != "refuse" else [])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.sock.close()


def has_ended(sock):
    """The other side has said its end, or is gone: nothing of it is counted."""
    if sock.fileno() < 0:
        return True
    try:
        if sock.family == socket.AF_INET:
            return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] != 1
        return sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
