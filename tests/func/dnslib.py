# SPDX-License-Identifier: MIT
"""A small name server for the tests: what it answers is a table that a test changes while it runs.

    with NameServer() as names:
        names.set("web.test", "A", ["127.0.0.2", "127.0.0.3"], ttl=1)
        names.mode = "servfail"      # or "silent", "nxdomain", "answer"

Only what RFC 1035 and 2782 need for A, AAAA and SRV over UDP.
"""
import contextlib
import socket
import struct
import threading

from cpharness import LIMIT, Failure

TYPES = {"A": 1, "AAAA": 28, "SRV": 33}
NAMES = {number: name for name, number in TYPES.items()}
NOERROR, SERVFAIL, NXDOMAIN = 0, 2, 3


def wire_name(text):
    return b"".join(bytes([len(label)]) + label.encode() for label in text.strip(".").split(".")) + b"\0"


def read_question(packet):
    """(name in lower case, number of the type, the question's bytes)."""
    labels, position = [], 12
    while packet[position]:
        length = packet[position]
        labels.append(packet[position + 1:position + 1 + length].decode())
        position += 1 + length
    kind, _ = struct.unpack("!HH", packet[position + 1:position + 5])
    return ".".join(labels).lower(), kind, packet[12:position + 5]


def wire_data(kind, item):
    if kind == "A":
        return socket.inet_pton(socket.AF_INET, item)
    if kind == "AAAA":
        return socket.inet_pton(socket.AF_INET6, item)
    priority, weight, port, target = item
    return struct.pack("!HHH", priority, weight, port) + wire_name(target)


class NameServer:
    """mode is how it answers everything; asked counts the questions by (name, type)."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        self.changed = threading.Condition()
        self.table, self.asked, self.mode = {}, {}, "answer"
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        # shutdown(2) wakes the thread also where it says that a datagram socket is not connected.
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(LIMIT)
        self.sock.close()

    def resolver(self, more='timeout = "1s"; retry = "100ms"; min_ttl = "100ms"; max_ttl = "1h";'):
        """The part of a config that makes the daemon ask here."""
        return f'resolver: {{ servers = [ "127.0.0.1:{self.port}" ]; {more} }};'

    def set(self, name, kind, items, ttl=0):
        """items: addresses, or (priority, weight, port, target) of SRV. No items: the name is there, but has none."""
        with self.changed:
            self.table[name, kind] = (ttl, list(items))

    def count(self, name, kind):
        with self.changed:
            return self.asked.get((name, kind), 0)

    def wait_asked(self, name, kind, more=1):
        """As many questions from now on; whoever asked may not have got the last answer yet."""
        with self.changed:
            wanted = self.asked.get((name, kind), 0) + more
            if not self.changed.wait_for(lambda: self.asked.get((name, kind), 0) >= wanted, LIMIT):
                raise Failure(f"{name} {kind} was not asked for within {LIMIT} s; asked: {self.asked}")

    def _run(self):
        while True:
            try:
                packet, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            if not packet:
                return
            answer = self._answer(packet)
            if answer:
                with contextlib.suppress(OSError):
                    self.sock.sendto(answer, peer)

    def _answer(self, packet):
        name, number, question = read_question(packet)
        kind = NAMES.get(number, str(number))
        with self.changed:
            self.asked[name, kind] = self.asked.get((name, kind), 0) + 1
            self.changed.notify_all()
            mode = self.mode
            known = any(there == name for there, _ in self.table)
            ttl, items = self.table.get((name, kind), (0, []))
        if mode == "silent":
            return None
        code = {"servfail": SERVFAIL, "nxdomain": NXDOMAIN}.get(mode, NOERROR if known else NXDOMAIN)
        if code != NOERROR:
            items = []
        # An answer, authoritative; recursion was wanted and is there.
        header = packet[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, len(items), 0, 0)
        records = b""
        for item in items:
            data = wire_data(kind, item)
            records += b"\xc0\x0c" + struct.pack("!HHIH", number, 1, ttl, len(data)) + data
        return header + question + records
