# SPDX-License-Identifier: MIT
"""What the tests of connpool-client share: the binary, and servers that are threads of the test.

Servers listen on port 0 of 127.0.0.1 or on a Unix socket in a temporary directory; each connection is served by a
function that gets the socket and may do with it what it likes.
"""
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
TOP_SRCDIR = os.path.abspath(os.environ.get("top_srcdir") or os.path.join(HERE, "..", ".."))
TOP_BUILDDIR = os.path.abspath(os.environ.get("top_builddir") or os.path.join(TOP_SRCDIR, "build"))
CLIENT = os.path.join(TOP_BUILDDIR, "src", "connpool-client")
# What takes longer hangs. Nothing is measured by it.
PATIENCE_S = 120


class Failure(Exception):
    pass


def expect(condition, text):
    if not condition:
        raise Failure(text)


def expect_equal(got, wanted, what):
    expect(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def run(*args, **kwargs):
    """Runs the client to its end; standard input is empty unless given."""
    if "stdin" not in kwargs:
        kwargs.setdefault("input", b"")
    kwargs.setdefault("stdout", subprocess.PIPE)
    return subprocess.run([CLIENT, *args], stderr=subprocess.PIPE, timeout=PATIENCE_S, check=False, **kwargs)


def expect_status(done, status):
    expect(done.returncode == status, f"{done.args[1:]} ended with {done.returncode}, wanted {status}: "
                                      f"{done.stderr.decode()}")
    expect((status == 0) == (done.stderr == b""), f"{done.args[1:]}: status {status}, but said {done.stderr!r}")


class Server:
    """Serves each connection by serve(socket) in a thread of its own. address is what the client is given."""

    def __init__(self, serve, path=None):
        self.serve = serve
        if path is None:
            self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
            self.port = self.listener.getsockname()[1]
            self.address = f"tcp:127.0.0.1:{self.port}"
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path.replace("@", "\0", 1) if path.startswith("@") else path)
            self.listener.listen(256)
            self.address = f"unix:{path}"
        self.connections = 0
        self.failures = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve_one, args=(connection,), daemon=True).start()

    def serve_one(self, connection):
        with connection:
            try:
                self.serve(connection)
            except OSError:
                pass
            except Exception as error:
                self.failures.append(error)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        # shutdown(2) is what wakes a thread in accept(2).
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        if kind is None:
            expect(not self.failures, f"the server failed: {self.failures}")


def echo(connection):
    while data := connection.recv(1 << 16):
        connection.sendall(data)


def read_all(connection):
    parts = []
    while data := connection.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


def reset(connection):
    """Closes so that the other side gets a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def free_port():
    """A port of 127.0.0.1 at which nobody listens, with the socket that holds it."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder, holder.getsockname()[1]


@contextlib.contextmanager
def temporary_folder():
    folder = tempfile.mkdtemp(prefix="connpool-client-", dir="/tmp")
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def main(*tests):
    """Runs each test and says how it went; the exit status is 1 if one failed."""
    if not os.access(CLIENT, os.X_OK):
        sys.exit(f"there is no {CLIENT}: build it, or set top_builddir")
    failed = 0
    for test in tests:
        try:
            test()
            print(f"ok    {test.__name__}")
        except Failure as failure:
            failed += 1
            print(f"FAIL  {test.__name__}: {failure}")
        except Exception:
            failed += 1
            print(f"FAIL  {test.__name__}:\n{traceback.format_exc()}")
    print(f"{len(tests)} tests, {failed} failed", flush=True)
    # Threads of servers may still be at work: they are not waited for.
    os._exit(1 if failed else 0)
