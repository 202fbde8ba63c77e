# SPDX-License-Identifier: MIT
"""For the tests of the proxy service: servers to relay to, and the config that relays to them.

    with Backend(who, name="a") as a, Backend(who, name="b") as b:
        with proxied([a.server("weight = 2;"), b.server()], 'balance = "round_robin";') as daemon:
            ask(daemon)     # "a" or "b"

A Backend is a server in threads of the test, which counts what it sees and can be stopped and started again on its
very port; a Program is one in a process of its own, for a test that stops or kills it. Nobody else gets their ports
meanwhile: a socket that is bound, and does not listen, keeps each.
"""
import contextlib
import hashlib
import os
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import threading

from cpharness import LIMIT, Client, Daemon, Failure, connect_to, eventually, expect, make_config

TCP_ESTABLISHED = 1
V2_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"

# ---- config ----------------------------------------------------------------------------


def upstream(name, servers, group=""):
    return f'{name}: {{ servers = ( {", ".join(servers)} ); {group} }};'


def front(listener="", name="front", address='"tcp:127.0.0.1:0"', service="", upstream="web"):
    """A listener that relays."""
    return f'{{ name = "{name}"; address = {address}; service = {{ type = "proxy"; upstream = "{upstream}"; ' \
           f'{service} }}; {listener} }}'


def parts(servers, group="", listener="", more="", **rest):
    """What make_config() takes: one listener "front" that relays to the servers of the group "web"."""
    front_keys = {key: rest.pop(key) for key in ("address", "service") if key in rest}
    return {"listeners": front(listener, **front_keys),
            "more": f'upstreams: {{ {upstream("web", servers, group)} }};\n{more}', **rest}


def proxied(servers, group="", listener="", **rest):
    limits = {key: rest.pop(key) for key in ("limits",) if key in rest}
    return Daemon(make_config(**parts(servers, group, listener, **rest)), **limits)


def ask(daemon, word=b"hello", name="front", source=None):
    """Who answers; the connection is over afterwards."""
    with daemon.connect(name, source=source) as client:
        return ask_on(client, word)


def ask_on(client, word=b"hello"):
    client.send(word + b"\n")
    answer = recv_line(client)
    who_says, _, echoed = answer.partition(b" ")
    if echoed != word + b"\n":
        raise Failure(f"asked {word!r}, was answered {answer!r}")
    return who_says.decode()


def recv_line(peer):
    """Up to a line's end, or to the end of the stream. Byte by byte: what follows stays in the socket."""
    line = b""
    while not line.endswith(b"\n"):
        byte = peer.sock.recv(1)
        if not byte:
            break
        line += byte
    return line


def wait_state(daemon, place, state, reason="", since=0, name="web"):
    """Until the log says that a server has come to be in a state, for a reason."""
    return daemon.wait_log(rf"upstream '{name}': server {re.escape(place.address)}\b.*\b{state}\b.*{reason}", since)


# ---- what a server does with a connection ------------------------------------------------


def echo(_backend, peer):
    while data := peer.recv_some():
        peer.send(data)


def who(backend, peer):
    """Each line comes back with the server's name before it."""
    while line := recv_line(peer):
        peer.send(backend.name.encode() + b" " + line)


def who_once(backend, peer):
    """The same for one line, and the server ends."""
    peer.send(backend.name.encode() + b" " + recv_line(peer))


def greet(backend, peer):
    """Speaks first, as SMTP and SSH do."""
    peer.send(b"220 " + backend.name.encode() + b" ready\r\n")
    echo(backend, peer)


def digest(_backend, peer):
    """Takes everything up to the end of the stream, then says what its checksum is: a reply after a half-close."""
    peer.send(digest_of(peer).encode())


def digest_of(peer, begin=b""):
    checksum = hashlib.sha256(begin)
    while data := peer.recv_some(1 << 18):
        checksum.update(data)
    return checksum.hexdigest()


def reset(_backend, peer):
    peer.reset()


def hold(_backend, peer):
    """Says nothing, until the other end ends."""
    peer.recv_all()


def head(backend, peer):
    """Reads a PROXY protocol header, keeps it, and then is who()."""
    backend.note(recv_proxy_header(peer))
    who(backend, peer)


# ---- servers -----------------------------------------------------------------------------


def keep_port(host, port=0):
    """A socket that nobody can connect to, and that keeps its port from being another's; a listener may share it."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def keep_one_port(hosts):
    """The same port of several addresses: the sockets that keep it, and the port."""
    for _ in range(100):
        kept = [keep_port(hosts[0])]
        port = kept[0].getsockname()[1]
        try:
            kept += [keep_port(host, port) for host in hosts[1:]]
            return kept, port
        except OSError:
            for sock in kept:
                sock.close()
    raise Failure(f"no port is free on all of {hosts}")


class Place:
    """An address for a server: a kept TCP port, or a path."""

    def __init__(self, host="127.0.0.1", port=0, path=None):
        self.path, self.kept = path, None
        if path:
            self.where, self.address = path, f"unix:{path}"
        else:
            self.kept = keep_port(host, port)
            self.where = self.kept.getsockname()[:2]
            self.address = f"tcp:[{host}]:{self.port}" if ":" in host else f"tcp:{host}:{self.port}"

    @property
    def port(self):
        return self.where[1]

    def server(self, more=""):
        """Its line in a config."""
        return f'{{ address = "{self.address}"; {more} }}'

    def listen(self, backlog):
        if self.path:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        else:
            sock = socket.socket(self.kept.family, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(self.where)
        sock.listen(backlog)
        return sock

    def close(self):
        if self.kept:
            self.kept.close()


def is_open(peer):
    """The kernel has heard of no end of a TCP connection."""
    return peer.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == TCP_ESTABLISHED


class Backend(Place):
    """A server in threads, one a connection. serve(backend, peer) is what it does; peer is a Client.

    accepted    connections so far; peer.number counts them from 1
    most        the most that it ever had at once; exact: those that the other end has closed do not count, even if
                serve() has not seen that yet
    notes       what serve() noted, in order
    troubles    what went wrong in connections: the names of their exceptions, in order
    """

    def __init__(self, serve, name="", host="127.0.0.1", port=0, path=None, backlog=4096, start=True,
                 exact=False):
        super().__init__(host, port, path)
        self.serve, self.name, self.backlog, self.exact = serve, name, backlog, exact
        self.changed = threading.Condition()
        self.peers, self.listener, self.thread = set(), None, None
        self.accepted = self.most = 0
        self.notes, self.troubles = [], []
        if start:
            self.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()
        self.close()

    def start(self):
        """Also again, after a stop, at the same address."""
        self.listener = self.listen(self.backlog)
        self.thread = threading.Thread(target=self._accept, args=(self.listener,), daemon=True)
        self.thread.start()
        return self

    def stop(self, broken=False):
        """Refuses from now on, and ends the connections it has, in order or by a reset."""
        self.refuse()
        with self.changed:
            peers = list(self.peers)
        for peer in peers:
            with contextlib.suppress(OSError):
                if broken:
                    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # close() by another thread would not end a recv(2) under way.
                peer.sock.shutdown(socket.SHUT_RD if broken else socket.SHUT_RDWR)
        self.wait(lambda: not self.peers, "its connections end")

    def refuse(self):
        """Takes no new connections; those it has live on."""
        if self.listener:
            # Ends the accept(2) under way, which close() alone does not.
            self.listener.shutdown(socket.SHUT_RDWR)
            self.thread.join(LIMIT)
            self.listener.close()
            self.listener = None

    def _accept(self, listener):
        while True:
            try:
                peer = Client(listener.accept()[0])
            except OSError:
                return
            with self.changed:
                self.peers.add(peer)
                self.accepted += 1
                peer.number = self.accepted
                self.most = max(self.most, sum(map(is_open, self.peers)) if self.exact else len(self.peers))
                self.changed.notify_all()
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        try:
            self.serve(self, peer)
        except (OSError, Failure) as error:
            with self.changed:
                self.troubles.append(type(error).__name__)
        finally:
            # First, so that nobody who sees the end sees it counted still.
            with self.changed:
                self.peers.discard(peer)
                self.changed.notify_all()
            peer.close()

    def note(self, item):
        with self.changed:
            self.notes.append(item)
            self.changed.notify_all()

    @property
    def active(self):
        with self.changed:
            return len(self.peers)

    def wait(self, condition, what):
        with self.changed:
            if not self.changed.wait_for(condition, LIMIT):
                raise Failure(f"server {self.name!r}, waiting until {what}: not within {LIMIT} s; "
                              f"{self.accepted} accepted, {len(self.peers)} active, notes {self.notes[-5:]}, "
                              f"troubles {self.troubles}")

    def wait_accepted(self, count):
        self.wait(lambda: self.accepted >= count, f"it has accepted {count}")

    def wait_active(self, count):
        self.wait(lambda: len(self.peers) == count, f"it has {count} connections")

    def wait_notes(self, count):
        self.wait(lambda: len(self.notes) >= count, f"it has {count} notes")


def accept_queue(port):
    """Connections that are complete and not yet accepted, of a listening socket of 127.0.0.1."""
    with open("/proc/net/tcp", encoding="ascii") as stream:
        match = re.search(rf" 0100007F:{port:04X} 0+:0000 0A [0-9A-F]+:([0-9A-F]+)", stream.read())
    return int(match.group(1), 16)


class Deaf(Place):
    """A server whose backlog is full: a connect to it comes to no end."""

    def __init__(self):
        super().__init__()
        self.listener = self.listen(0)
        self.fillers = []

    def __enter__(self):
        while not self.is_full():
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(self.where)
            self.fillers.append(sock)
            if len(self.fillers) > 10:
                raise Failure("the backlog does not get full")
            eventually(lambda: self.is_full() or select.select([], [sock], [], 0)[1], lambda: "the filler is nowhere")
        return self

    def __exit__(self, *unused):
        for sock in [*self.fillers, self.listener]:
            sock.close()
        self.close()

    def is_full(self):
        return accept_queue(self.port) >= 1


class Program(Place):
    """who(), or another of the above by its name, in a process of its own, to be killed, stopped and continued."""

    def __init__(self, serve="who", name="", host="127.0.0.1"):
        super().__init__(host)
        self.serve, self.name, self.process = serve, name, None
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.kill()
        self.close()

    def start(self):
        command = [sys.executable, os.path.abspath(__file__), self.serve, self.name, self.where[0], str(self.port)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        expect(self.process.stdout.readline() == "ready\n", "the server program is ready")

    def kill(self):
        if self.process:
            self.process.kill()
            self.process.wait(LIMIT)
            self.process.stdin.close()
            self.process.stdout.close()
            self.process = None

    def pause(self):
        """Returns when every thread of it has stopped."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)


class Agent(Backend):
    """Says its text to whoever connects, as HAProxy's agents do."""

    def __init__(self, text="up\n"):
        self.text = text
        super().__init__(Agent.speak, name="agent")

    def speak(self, peer):
        peer.send(self.text.encode())

    def wait_asked(self, more=1):
        """It has been asked as often from now on."""
        self.wait_accepted(self.accepted + more)


# ---- the PROXY protocol ------------------------------------------------------------------


def proxy_v1(source, target, source_port=11111, target_port=22222):
    kind = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {kind} {source} {target} {source_port} {target_port}\r\n".encode()


def proxy_v2(source=None, target=None, source_port=11111, target_port=22222, more=b""):
    """Without a source: LOCAL, the proxy's own."""
    if source is None:
        return V2_SIGNATURE + struct.pack("!BBH", 0x20, 0x00, len(more)) + more
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    body = socket.inet_pton(family, source) + socket.inet_pton(family, target) + \
        struct.pack("!HH", source_port, target_port) + more
    return V2_SIGNATURE + struct.pack("!BBH", 0x21, 0x21 if ":" in source else 0x11, len(body)) + body


def proxy_tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def recv_proxy_header(peer):
    """Reads one as a server does: (version, what it names): None for LOCAL and UNKNOWN, else
    (source, source port, target, target port)."""
    begin = peer.recv_exactly(1)
    if begin == V2_SIGNATURE[:1]:
        begin += peer.recv_exactly(15)
        version_command, family, size = struct.unpack("!BBH", begin[12:])
        body = peer.recv_exactly(size)
        if begin[:12] != V2_SIGNATURE or version_command >> 4 != 2:
            raise Failure(f"no header of version 2: {begin + body!r}")
        if version_command & 15 == 0 or family not in (0x11, 0x21):
            return 2, None
        length, kind = (4, socket.AF_INET) if family == 0x11 else (16, socket.AF_INET6)
        ports = struct.unpack("!HH", body[2 * length:2 * length + 4])
        return 2, (socket.inet_ntop(kind, body[:length]), ports[0],
                   socket.inet_ntop(kind, body[length:2 * length]), ports[1])
    line = begin + recv_line(peer)
    words = line.decode().split(" ")
    if not line.endswith(b"\r\n") or words[0] != "PROXY" or len(line) > 107:
        raise Failure(f"no header of version 1: {line!r}")
    if words[1].strip() == "UNKNOWN":
        return 1, None
    if len(words) != 6 or words[1] != ("TCP6" if ":" in words[2] else "TCP4"):
        raise Failure(f"no header of version 1: {line!r}")
    return 1, (words[2], int(words[4]), words[3], int(words[5]))


# ---- a server program --------------------------------------------------------------------


def run_program(serve, name, host, port):
    backend = Backend(globals()[serve], name, host, int(port))
    print("ready", flush=True)
    # The test that started it keeps this open for as long as it lives.
    sys.stdin.read()
    os._exit(backend.accepted == 0)


if __name__ == "__main__":
    run_program(*sys.argv[1:])
