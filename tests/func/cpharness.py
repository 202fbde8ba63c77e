# SPDX-License-Identifier: MIT
"""Runs the real daemon for a test and tells what it does.

    from cpharness import Daemon, main

    def test_echo_gives_back_what_it_gets():
        with Daemon(listeners='{ name = "echo"; address = "tcp:127.0.0.1:0"; service = "echo"; }') as daemon:
            with daemon.connect("echo") as client:
                client.expect_echo(b"hello")

    main(globals())

Nothing here sleeps to synchronise. The daemon tells what it does by sd_notify(3) and by its log; a test waits for
the very message, and for the end of the process, which ends every wait. LIMIT is a safety net, not a clock.
Python's standard library alone.
"""
import contextlib
import ctypes
import faulthandler
import fcntl
import inspect
import os
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.dont_write_bytecode = True

HERE = os.path.dirname(os.path.abspath(__file__))
TOP_SRCDIR = os.path.abspath(os.environ.get("top_srcdir") or os.path.join(HERE, "..", ".."))
TOP_BUILDDIR = os.path.abspath(os.environ.get("top_builddir") or os.path.join(TOP_SRCDIR, "build"))
CONNPOOLD = os.path.join(TOP_BUILDDIR, "src", "connpoold")

# A shell that starts this in the background has SIGINT ignored, and what is started here would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

SANITIZERS = os.environ.get("SANITIZERS", "no").replace("no", "")
# How many times slower than a plain build the daemon may be.
SLOWNESS = 20 if "valgrind" in SANITIZERS else 5 if "thread" in SANITIZERS else 3 if SANITIZERS else 1
# A perturbed build delays its threads by a seed; a failure is looked into with the same one.
if "perturb" in SANITIZERS and "CONNPOOLD_PERTURB" not in os.environ:
    os.environ["CONNPOOLD_PERTURB"] = str(int.from_bytes(os.urandom(4), "little"))
# Seconds after which a wait has failed. Never reached by a daemon that works.
LIMIT = int(os.environ.get("CP_LIMIT", "60")) * (3 if SLOWNESS > 1 else 1)
# Seconds after which a whole test program is ended, with a traceback of where it was.
PROGRAM_LIMIT = 900

CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_NET_BIND_SERVICE, CAP_SYS_RESOURCE = 1, 2, 10, 24
PR_SET_PDEATHSIG, PR_CAPBSET_DROP = 1, 24
IP_BIND_ADDRESS_NO_PORT = 24
LIBC = ctypes.CDLL(None, use_errno=True)

EXIT_SKIP = 77


class Skip(Exception):
    """Raised by a test that can't run here; its text says why."""


class Failure(AssertionError):
    """The daemon did not do what was expected of it."""


def scaled(count, least=1):
    """A number of rounds, fewer where the build is slow."""
    return max(least, count // SLOWNESS)


def has_systemd():
    with open(os.path.join(TOP_BUILDDIR, "config.h"), encoding="utf-8") as stream:
        return re.search(r"^#define HAVE_SYSTEMD 1", stream.read(), re.M) is not None


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def expect(condition, text):
    if not condition:
        raise Failure(text)


def expect_equal(got, want, what="value"):
    if got != want:
        raise Failure(f"{what}: got {got!r}, expected {want!r}")


def expect_match(pattern, text, what="text"):
    match = re.search(pattern, text, re.M)
    if not match:
        raise Failure(f"{what} does not match {pattern!r}:\n{text}")
    return match


def eventually(condition, describe):
    """For what no message tells: asks until it is so, LIMIT at most. Prefer a wait on the log or a notification."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"not within {LIMIT} s: {describe()}")
        time.sleep(0.01)


def make_config(listeners="", pools="", daemon="", log="", more=""):
    """A config file of its parts; each part is the inside of its group. Clients left open do not keep it for long."""
    if "drain_timeout" not in daemon:
        daemon += ' drain_timeout = "1s";'
    return "\n".join(part for part in (
        f"daemon: {{ {daemon} }};",
        f"log: {{ target = \"stderr\"; {log} }};",
        f"pools: {{ {pools} }};" if pools else "",
        f"listeners: ( {listeners} );",
        more) if part) + "\n"


def run_daemon(*args, limit=LIMIT, **more):
    """Runs the daemon to its end, for command lines that are not to serve. Returns (status, stdout, stderr)."""
    done = subprocess.run([CONNPOOLD, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=limit, check=False, text=True, errors="replace", **more)
    return done.returncode, done.stdout, done.stderr


class Client:
    """A connection to the daemon. Every read has LIMIT as its safety net."""

    def __init__(self, sock):
        self.sock = sock
        self.sock.settimeout(LIMIT)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def recv_some(self, size=65536):
        return self.sock.recv(size)

    def recv_exactly(self, size):
        parts, left = [], size
        while left:
            part = self.sock.recv(min(left, 1 << 20))
            if not part:
                raise Failure(f"the daemon closed after {size - left} of {size} bytes")
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def recv_all(self):
        """Everything up to the end of the stream. A reset is an error: ConnectionResetError."""
        parts = []
        while True:
            part = self.sock.recv(1 << 20)
            if not part:
                return b"".join(parts)
            parts.append(part)

    def expect_echo(self, data=b"hello\n"):
        self.send(data)
        expect_equal(self.recv_exactly(len(data)), data, "echo")

    def expect_refused(self):
        """The daemon ends the connection without a byte, by an end of stream or by a reset."""
        try:
            expect_equal(self.recv_all(), b"", "bytes from a refused connection")
        except ConnectionResetError:
            pass

    def expect_end(self):
        expect_equal(self.recv_all(), b"", "bytes before the end of the stream")

    def shutdown_write(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        """Closes by a reset, as a client that dies does."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def name(self):
        """Ours, as the daemon's log writes it."""
        address = self.sock.getsockname()
        if self.sock.family == socket.AF_INET:
            return "%s:%d" % address
        if self.sock.family == socket.AF_INET6:
            return "[%s]:%d" % address[:2]
        return f"unix:pid={os.getpid()},uid={os.getuid()}"

    def close(self):
        self.sock.close()


def connect_to(address, source=None):
    """A Client of "tcp:HOST:PORT", "unix:PATH" or "unix:@ABSTRACT"; any-addresses become loopback."""
    kind, rest = address.split(":", 1)
    if kind == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        where = "\0" + rest[1:] if rest.startswith("@") else rest
    else:
        host, port = rest.rsplit(":", 1)
        host = host.strip("[]")
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        where = ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), int(port))
    try:
        if kind == "unix":
            # Blocking, with a limit: without waiting, a full backlog is an error at once (EAGAIN).
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", LIMIT, 0))
        else:
            sock.settimeout(LIMIT)
        if source:
            # The port is chosen by connect(2), which may use one for several destinations.
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((source, 0))
        sock.connect(where)
    except OSError:
        sock.close()
        raise
    return Client(sock)


CLOSED = re.compile(r"connection (?P<id>\d+) from (?P<client>\S+) on listener '(?P<listener>[^']+)' closed: "
                    r"(?P<end>[a-z-]+) \(in (?P<bytes_in>\d+), out (?P<bytes_out>\d+) bytes; "
                    r"queued (?P<queued>[\d.]+) ms, served (?P<served>[\d.]+) ms(?: by (?P<server>[^);]+))?"
                    r"(?:; (?P<program>.*))?\)")


class Log:
    """The daemon's standard error, read by a thread of its own as it comes."""

    def __init__(self, stream, copy):
        self.lines = []
        self.ended = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._read, args=(stream, copy), daemon=True)
        self.thread.start()

    def _read(self, stream, copy):
        with stream, open(copy, "wb") as out:
            for line in stream:
                out.write(line)
                with self.changed:
                    self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def mark(self):
        """Where the log ends now, for since= of the waits."""
        with self.changed:
            return len(self.lines)

    def wait_next(self, pattern, position):
        """The match of the first line from position on that matches, and the position after it; waits for it."""
        pattern = re.compile(pattern)
        deadline = time.monotonic() + LIMIT
        with self.changed:
            while True:
                while position < len(self.lines):
                    match = pattern.search(self.lines[position])
                    position += 1
                    if match:
                        return match, position
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    why = "the daemon has ended" if self.ended else f"not within {LIMIT} s"
                    raise Failure(f"waiting for log line {pattern.pattern!r}: {why}")
                self.changed.wait(left)

    def wait(self, pattern, since=0, count=1):
        """The match of the count-th line from since on that matches; waits for it."""
        for found in range(count):
            try:
                match, since = self.wait_next(pattern, since)
            except Failure as failure:
                raise Failure(f"{failure} ({found} of {count} came)") from None
        return match

    def find(self, pattern, since=0):
        """The matches in what is there already."""
        pattern = re.compile(pattern)
        with self.changed:
            return [match for match in map(pattern.search, self.lines[since:]) if match]


class Notify:
    """What the daemon tells its service manager, as a list of dictionaries in the order they came."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind(self.path)
        # Also for one that is nobody by then.
        os.chmod(self.path, 0o777)
        self.messages = []

    def close(self):
        self.sock.close()

    def drain(self):
        """Takes what has come. A message may carry several assignments."""
        while True:
            try:
                data = self.sock.recv(65536)
            except BlockingIOError:
                return
            pairs = (line.split("=", 1) for line in data.decode().split("\n") if "=" in line)
            self.messages.append(dict(pairs))

    def mark(self):
        self.drain()
        return len(self.messages)

    def wait(self, wanted, since, pidfd):
        """Index of the first message from since on that wanted() likes; the end of the process ends the wait."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        deadline = time.monotonic() + LIMIT
        while True:
            self.drain()
            for index in range(since, len(self.messages)):
                if wanted(self.messages[index]):
                    return index
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure(f"the notification did not come within {LIMIT} s; came: {self.messages[since:]}")
            ready = dict(poll.poll(left * 1000))
            if pidfd in ready and self.sock.fileno() not in ready:
                raise Failure(f"the daemon ended before the notification; came: {self.messages[since:]}")


class Daemon:
    """The daemon on a config of its own, in a folder of its own; @DIR@ in the config is that folder."""

    def __init__(self, config=None, *, limits=None, without_caps=(), env=None, args=(), wait_ready=True, quiet=False,
                 **parts):
        self.dir = tempfile.mkdtemp(prefix="cp-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        self.config_path = os.path.join(self.dir, "connpoold.conf")
        self.log_path = os.path.join(self.dir, "log")
        self.limits = limits or {}
        self.without_caps = without_caps
        self.env = env or {}
        self.args = list(args)
        self.wait_for_ready = wait_ready
        self.quiet = quiet
        self.process = self.notify = self.log = self.pidfd = None
        self.uses_notify = has_systemd()
        self.write_config(config if config is not None else make_config(**parts))

    # ---- life ------------------------------------------------------------------------

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self._show()
            self._end()
            raise
        return self

    def __exit__(self, kind, *unused):
        try:
            if kind is None and self.process.returncode is None:
                expect_equal(self.stop(), 0, "exit status after SIGTERM")
            if kind is None:
                self.expect_clean_log()
        except BaseException:
            self._show()
            raise
        finally:
            if kind is not None and kind is not Skip:
                self._show()
            self._end()
        return False

    def write_config(self, text):
        self.config = text.replace("@DIR@", self.dir)
        with open(self.config_path + ".new", "w", encoding="utf-8") as stream:
            stream.write(self.config)
        os.rename(self.config_path + ".new", self.config_path)

    def _in_child(self):
        """Between fork and exec: nothing may outlive the test; limits and lost capabilities as asked."""
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for which, value in self.limits.items():
            resource.setrlimit(which, value)
        for cap in self.without_caps:
            LIBC.prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)

    def start(self):
        env = {name: value for name, value in os.environ.items()
               if not name.startswith(("NOTIFY_", "LISTEN_", "WATCHDOG_", "JOURNAL_"))}
        self.notify = Notify(self.dir)
        env["NOTIFY_SOCKET"] = self.notify.path
        env.update(self.env)
        command = os.environ.get("CP_WRAPPER", "").split() + [CONNPOOLD, "-f", self.config_path] + self.args
        reader, writer = os.pipe()
        # Python reads more slowly than a burst is written.
        with contextlib.suppress(OSError):
            fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 1 << 20)
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer, env=env,
                                            cwd=self.dir, preexec_fn=self._in_child)
        finally:
            os.close(writer)
        self.log = Log(os.fdopen(reader, "rb"), self.log_path)
        self.pidfd = os.pidfd_open(self.process.pid)
        if self.wait_for_ready:
            self.wait_ready()

    def wait_ready(self):
        if self.uses_notify:
            self.notify.wait(lambda message: message.get("READY") == "1", 0, self.pidfd)
        # The last line of the start: the addresses stand above it, and what was open for the start only is closed.
        if not re.search(r"\blevel *=", self.config) or not self.uses_notify:
            self.log.wait(READY_LINE)
        return self

    def kill(self, number):
        os.kill(self.process.pid, number)

    def wait_exit(self):
        """The exit status; negative: ended by that signal."""
        status = self.process.wait(timeout=LIMIT)
        self.log.thread.join(LIMIT)
        return status

    def stop(self, number=signal.SIGTERM):
        self.kill(number)
        return self.wait_exit()

    def reload(self, config=None, **parts):
        """SIGHUP, then waits for RELOADING=1 and the READY=1 after it. Returns the log line that tells the outcome."""
        if config is not None or parts:
            self.write_config(config if config is not None else make_config(**parts))
        mark, lines = self.notify.mark(), self.log.mark()
        self.kill(signal.SIGHUP)
        if self.uses_notify:
            index = self.notify.wait(lambda message: message.get("RELOADING") == "1", mark, self.pidfd)
            self.notify.wait(lambda message: message.get("READY") == "1", index, self.pidfd)
        return self.log.wait(RELOADED_LINE, lines).string

    def status(self):
        """The last STATUS= that it sent."""
        self.notify.drain()
        texts = [message["STATUS"] for message in self.notify.messages if "STATUS" in message]
        return texts[-1] if texts else None

    def expect_clean_log(self):
        """No sanitizer, assertion or valgrind has spoken."""
        bad = self.log.find(r"Sanitizer|runtime error:|[Aa]ssertion|==\d+== (?!Warning: set address range)")
        expect(not bad, "the daemon's log holds a report: " + (bad[0].string if bad else ""))

    def _show(self):
        if self.quiet:
            return
        print(f"---- config {self.config_path}\n{self.config}---- log (last 200 lines)")
        if self.log:
            print("\n".join(self.log.lines[-200:]))
        if self.notify:
            self.notify.drain()
            print(f"---- notifications\n{self.notify.messages[-20:]}")
        print("----", flush=True)

    def _end(self):
        if self.process and self.process.returncode is None:
            self.process.kill()
            self.process.wait()
        if self.log:
            self.log.thread.join(LIMIT)
        if self.pidfd is not None:
            os.close(self.pidfd)
        if self.notify:
            self.notify.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- where it listens ------------------------------------------------------------

    def addresses(self, name):
        """Where a listener listens, in the order of the log, as address texts with real ports."""
        lines = self.log.find(rf"listener '{re.escape(name)}': listening on (\S+)")
        expect(lines, f"the log names no address of listener '{name}'")
        return list(dict.fromkeys(line.group(1).rstrip(",;") for line in lines))

    def port(self, name, index=0):
        return int(self.addresses(name)[index].rsplit(":", 1)[1])

    def connect(self, name, index=0, source=None):
        # Listening is logged before READY=1 is sent, but through the logger thread: wait for the line.
        self.log.wait(rf"listener '{re.escape(name)}': listening on \S+", count=index + 1)
        return connect_to(self.addresses(name)[index], source)

    # ---- what it logs ------------------------------------------------------------------

    def wait_log(self, pattern, since=0, count=1):
        return self.log.wait(pattern, since, count)

    def wait_closed(self, client=None, since=0, count=1, end=None, listener=None):
        """The record of a closed connection as a dictionary; client is a Client.name() or None for any."""
        pattern = CLOSED.pattern
        if client:
            pattern = pattern.replace(r"(?P<client>\S+)", f"(?P<client>{re.escape(client)})")
        if listener:
            pattern = pattern.replace(r"(?P<listener>[^']+)", f"(?P<listener>{re.escape(listener)})")
        if end:
            pattern = pattern.replace(r"(?P<end>[a-z-]+)", f"(?P<end>{end})")
        return self.log.wait(pattern, since, count).groupdict()

    def wait_accounted(self, total, since=0):
        """Until each of total connections is in the log: by its record, in a sum of refusals, or among the records that
        the log says it had to drop (a burst may be longer than its ring; they are counted, never lost in silence)."""
        pattern = r"closed: [a-z-]+ \(|: refused (\d+) connection|(\d+) log records? (?:were|was) dropped"
        accounted = 0
        while accounted < total:
            match, since = self.log.wait_next(pattern, since)
            accounted += int(match.group(1) or match.group(2) or 1)
        return accounted

    # ---- what it uses ------------------------------------------------------------------

    def _proc(self, name):
        return f"/proc/{self.process.pid}/{name}"

    def fd_count(self):
        return len(os.listdir(self._proc("fd")))

    def thread_names(self):
        names = []
        for task in os.listdir(self._proc("task")):
            with contextlib.suppress(OSError), open(self._proc(f"task/{task}/comm"), encoding="utf-8") as stream:
                names.append(stream.read().strip())
        return sorted(names)

    def thread_count(self):
        return len(os.listdir(self._proc("task")))

    def rss_bytes(self):
        with open(self._proc("statm"), encoding="utf-8") as stream:
            return int(stream.read().split()[1]) * resource.getpagesize()

    def cpu_seconds(self):
        with open(self._proc("stat"), encoding="utf-8") as stream:
            fields = stream.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# What the log says at the end of a start and of a reload.
READY_LINE = r"connpoold \S+ ready: "
RELOADED_LINE = r"reloaded: \d+ changes?$|reload failed: "


def run_one(name, function):
    """True: passed, False: failed, None: skipped."""
    print(f"==== {name}", flush=True)
    begin = time.monotonic()
    try:
        function()
    except Skip as why:
        print(f"skip {name}: {why}", flush=True)
        return None
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        print(f"FAIL {name}", flush=True)
        return False
    print(f"ok {name} ({time.monotonic() - begin:.1f} s)", flush=True)
    return True


def main(module):
    """Runs the test_* functions of a module, all or those named on the command line, and exits."""
    faulthandler.enable(file=sys.stdout)
    faulthandler.dump_traceback_later(PROGRAM_LIMIT, exit=True, file=sys.stdout)
    tests = {name: item for name, item in module.items() if name.startswith("test_") and inspect.isfunction(item)}
    names = sys.argv[1:] or list(tests)
    if names == ["--list"]:
        print("\n".join(tests))
        sys.exit(0)
    unknown = [name for name in names if name not in tests]
    if unknown:
        sys.exit(f"there is no test {unknown[0]}; there are: {', '.join(tests)}")
    if not os.access(CONNPOOLD, os.X_OK):
        sys.exit(f"there is no {CONNPOOLD}: build it, or set top_builddir")
    # A descriptor a client: as many as may be.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if "perturb" in SANITIZERS:
        print(f"seed {os.environ['CONNPOOLD_PERTURB']}; again with CONNPOOLD_PERTURB={os.environ['CONNPOOLD_PERTURB']}")
    results = [run_one(name, tests[name]) for name in names]
    print(f"{results.count(True)} passed, {results.count(False)} failed, {results.count(None)} skipped")
    if False in results:
        sys.exit(1)
    sys.exit(0 if True in results else EXIT_SKIP)
