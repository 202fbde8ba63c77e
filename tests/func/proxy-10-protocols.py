#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Programs that others wrote, at both ends of a relay: they notice nothing. CP_SOAK=full: 1 GiB and longer runs."""
import contextlib
import glob
import hashlib
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile

from cpharness import (LIBC, LIMIT, PR_SET_PDEATHSIG, Daemon, Failure, Skip, eventually, expect, expect_equal,
                       expect_match, main)
from proxylib import Backend, Place, greet, proxied, recv_line
from soaklib import FULL, need_program, size

NOBODY = pwd.getpwnam("nobody")
# Seconds for a program of others to do its work, on a slow machine too.
PATIENCE = LIMIT * (20 if FULL else 3)


def die_with_the_test():
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Server(Place):
    """A program of others at a port of its own, with a folder of its own, for as long as the test runs."""

    def __init__(self, executable, arguments, unprivileged=False, prepare=None):
        """arguments(server) and prepare(server) may use its port and folder."""
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="cp-", dir="/tmp")
        self.executable, self.arguments, self.prepare = executable, arguments, prepare
        self.who = {}
        if unprivileged and os.getuid() == 0:
            os.chown(self.folder, NOBODY.pw_uid, NOBODY.pw_gid)
            self.who = {"user": NOBODY.pw_uid, "group": NOBODY.pw_gid, "extra_groups": []}
        self.process = None

    def __enter__(self):
        try:
            if self.prepare:
                self.prepare(self)
            with open(self.path_of("output"), "wb") as output:
                self.process = subprocess.Popen(self.arguments(self), executable=self.executable, cwd=self.folder,
                                                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                                preexec_fn=die_with_the_test, **self.who)
            eventually(self.answers, lambda: f"{self.executable} listens; it says: {self.output()}")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        if self.process and self.process.poll() is None:
            # PostgreSQL: ends without waiting for clients. Others: as SIGTERM.
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.close()

    def path_of(self, name):
        return os.path.join(self.folder, name)

    def output(self):
        with open(self.path_of("output"), encoding="utf-8", errors="replace") as stream:
            return stream.read()[-2000:]

    def answers(self):
        if self.process.poll() is not None:
            raise Failure(f"{self.executable} has ended: {self.output()}")
        with contextlib.suppress(OSError), socket.create_connection(self.where, LIMIT):
            return True
        return False


def run(*command, data=None, env=None, **more):
    """What it prints; a status other than 0 is a failure."""
    done = subprocess.run(command, input=data, stdin=None if data is not None else subprocess.DEVNULL, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE,
                          env={**os.environ, "LC_ALL": "C", **(env or {})}, **more)
    if done.returncode != 0:
        raise Failure(f"{' '.join(command)}: status {done.returncode}\n{done.stdout.decode(errors='replace')[-2000:]}"
                      f"{done.stderr.decode(errors='replace')[-2000:]}")
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


def expect_orderly(daemon, ends="client|server"):
    """Nothing ended otherwise than one of both sides wanted it."""
    others = [match.string for match in daemon.log.find(rf"closed: (?!{ends})")]
    expect_equal(others, [], "connections that ended otherwise")


# ---- PostgreSQL ------------------------------------------------------------------------


def postgresql_program(name):
    for path in sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"), reverse=True):
        return path
    return need_program(name)


def postgresql():
    def prepare(server):
        run(postgresql_program("initdb"), "-D", server.path_of("data"), "-A", "trust", "-U", "postgres", "-N",
            "-E", "UTF8", "--no-locale", cwd=server.folder, **server.who)

    return Server(postgresql_program("postgres"), lambda server: [
        "postgres", "-D", server.path_of("data"), "-k", server.folder, "-p", str(server.port),
        "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=50",
        # So much memory is there everywhere, containers included.
        "-c", "shared_buffers=32MB", "-c", "dynamic_shared_memory_type=mmap", "-c", "wal_level=minimal",
        "-c", "max_wal_senders=0"], unprivileged=True, prepare=prepare)


def psql_ready(server):
    """It may take connections a moment before it serves them."""
    command = [postgresql_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(server.port)]
    return subprocess.run(command, check=False).returncode == 0


@contextlib.contextmanager
def postgresql_behind():
    pgbench, psql = postgresql_program("pgbench"), postgresql_program("psql")
    with postgresql() as server:
        eventually(lambda: psql_ready(server), server.output)
        addresses = '[ "tcp:127.0.0.1:0", "unix:@DIR@/.s.PGSQL.5432" ]'
        with proxied([server.server()], address=addresses) as daemon:
            yield daemon, pgbench, psql, {"PGHOST": "127.0.0.1", "PGPORT": str(daemon.port("front")),
                                          "PGUSER": "postgres", "PGDATABASE": "postgres"}


def test_postgresql_with_pgbench():
    with postgresql_behind() as (daemon, pgbench, psql, env):
        run(pgbench, "-i", "-q", "-s", "1", env=env)
        count = size(200, 2000)
        for more in ((), ("-M", "prepared"), ("-C", "-S")):
            out = run(pgbench, "-c", "8", "-j", "2", "-t", str(count), "-n", *more, env=env)
            expect_match(rf"actually processed: {8 * count}/{8 * count}", out, "what pgbench says")
        # The same by way of a Unix socket.
        unix = {**env, "PGHOST": daemon.dir, "PGPORT": "5432"}
        expect_equal(run(psql, "-Atc", "select count(*) from pgbench_accounts", env=unix).strip(), "100000", "accounts")
        expect_orderly(daemon)


def test_postgresql_cancels():
    with postgresql_behind() as (daemon, _, psql, env):
        process = subprocess.Popen([psql, "-c", "select pg_sleep(3600)"], env={**os.environ, "LC_ALL": "C", **env},
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            running = "select count(*) from pg_stat_activity where query ~ '^select pg_sleep'"
            eventually(lambda: run(psql, "-Atc", running, env=env) == "1\n", lambda: "the query does not run")
            # The second connection, by which psql cancels, has to come to the same server.
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
            process.wait()
        expect_match("canceling statement due to user request", out.decode(), "what psql says")
        expect_orderly(daemon)


def test_postgresql_copies():
    megabytes = size(24, 1024)
    with postgresql_behind() as (daemon, _, psql, env):
        run(psql, "-qc", "create unlogged table t (line text)", env=env)
        command = [psql, "-q", "-v", "ON_ERROR_STOP=1", "-c"]
        sent, got = hashlib.sha256(), hashlib.sha256()
        env = {**os.environ, "LC_ALL": "C", **env}
        with subprocess.Popen(command + [r"\copy t from pstdin"], env=env, stdin=subprocess.PIPE) as writer:
            for number in range(megabytes):
                line = hashlib.sha256(b"%d" % number).hexdigest().encode()
                block = b"".join(b"%d %s\n" % (row, line * 16) for row in range(1000))
                sent.update(block)
                writer.stdin.write(block)
            writer.stdin.close()
            expect_equal(writer.wait(PATIENCE), 0, "status of psql, copying in")
        with subprocess.Popen(command + [r"\copy t to pstdout"], env=env, stdout=subprocess.PIPE) as reader:
            while block := reader.stdout.read(1 << 20):
                got.update(block)
            expect_equal(reader.wait(PATIENCE), 0, "status of psql, copying out")
        expect_equal(got.hexdigest(), sent.hexdigest(), "checksum of what was copied in and out again")
        expect_orderly(daemon)


# ---- Redis -----------------------------------------------------------------------------


def redis():
    # Debian's redis-tools has the server by another name; it goes by the one it is called by.
    try:
        program = need_program("redis-server")
    except Skip:
        program = need_program("redis-check-rdb")
    return Server(program, lambda server: ["redis-server", "--port", str(server.port), "--bind", "127.0.0.1",
                                           "--save", "", "--appendonly", "no", "--dir", server.folder])


def test_redis_with_its_benchmark():
    benchmark = need_program("redis-benchmark")
    with redis() as server, proxied([server.server()]) as daemon:
        # Pipelines, large values, a connection a request, and answers of many lines.
        for more in ((), ("-P", "16"), ("-d", "20000"), ("-k", "0"), ("-t", "lrange_300", "-P", "4")):
            out = run(benchmark, "-h", "127.0.0.1", "-p", str(daemon.port("front")), "-q", "-c", "20",
                      "-n", str(size(2000, 200000)), "-t", "ping,set,get,incr", *more)
            expect("requests per second" in out, f"what redis-benchmark says: {out}")
            expect("rror" not in out, f"what redis-benchmark says: {out}")


def expect_hear(client, text):
    expect_equal(client.recv_exactly(len(text)), text, "what Redis says")


def test_redis_publishes_to_subscribers():
    with redis() as server, proxied([server.server()]) as daemon:
        with daemon.connect("front") as listener, daemon.connect("front") as speaker:
            listener.send(b"SUBSCRIBE news\r\n")
            expect_hear(listener, b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n")
            speaker.send(b"PUBLISH news hello\r\n")
            expect_hear(speaker, b":1\r\n")
            expect_hear(listener, b"*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n")


# ---- HTTP ------------------------------------------------------------------------------


def nginx(listen="", body=""):
    def prepare(server):
        os.makedirs(server.path_of("www"))
        with open(server.path_of("www/big"), "wb") as stream:
            stream.write(os.urandom(1 << 20) * size(16, 512))
        with open(server.path_of("www/small"), "wb") as stream:
            stream.write(b"hello\n")
        with open(server.path_of("nginx.conf"), "w", encoding="ascii") as stream:
            temps = "".join(f"{name}_temp_path {server.folder}/{name};"
                            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            stream.write(f"daemon off; master_process off; pid {server.folder}/pid; error_log stderr;\n"
                         f"events {{ worker_connections 500; }}\n"
                         f"http {{ access_log off; {temps} client_max_body_size 2g; sendfile on; server {{\n"
                         f"listen 127.0.0.1:{server.port} {listen}; root {server.folder}/www;\n{body} }} }}\n")
        os.chmod(server.folder, 0o755)

    return Server(need_program("nginx"), lambda server: [
        "nginx", "-p", server.folder, "-c", server.path_of("nginx.conf"), "-e", "stderr"], prepare=prepare)


def checksum_of(path):
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def test_http_with_curl():
    curl = need_program("curl")
    with nginx() as server, proxied([server.server()]) as daemon:
        url = f"http://127.0.0.1:{daemon.port('front')}"
        run(curl, "-sSf", "-o", server.path_of("got"), f"{url}/big")
        expect_equal(checksum_of(server.path_of("got")), checksum_of(server.path_of("www/big")), "checksum")
        # Slowly, so that the server has to wait for the client all the time.
        if FULL:
            run(curl, "-sSf", "--limit-rate", "100M", "-o", server.path_of("got"), f"{url}/big")
            expect_equal(checksum_of(server.path_of("got")), checksum_of(server.path_of("www/big")), "checksum")
        # Many requests of one connection.
        out = run(curl, "-sSf", *[f"{url}/small"] * 50)
        expect_equal(out, "hello\n" * 50, "what curl got")
        expect_equal(len(daemon.log.find("closed: ")) <= 3 + FULL, True, "connections are kept alive")


def test_http_with_wrk():
    wrk = need_program("wrk")
    with nginx() as server, proxied([server.server()]) as daemon:
        for more in ((), ("-H", "Connection: close")):
            out = run(wrk, "-t", "2", "-c", "40", "-d", "10s" if FULL else "1s", "--timeout", f"{LIMIT}s", *more,
                      f"http://127.0.0.1:{daemon.port('front')}/small")
            requests = int(expect_match(r"(\d+) requests in", out, "what wrk says").group(1))
            expect(requests > 40, f"{requests} requests")
            expect("Socket errors" not in out and "Non-2xx" not in out, f"what wrk says: {out}")


def test_nginx_reads_the_header():
    curl = need_program("curl")
    for version in ("v1", "v2"):
        with nginx("proxy_protocol", 'location /who { return 200 "$proxy_protocol_addr $proxy_protocol_port\\n"; }') \
                as server, proxied([server.server(f'send_proxy = "{version}";')]) as daemon:
            out = run(curl, "-sSf", "--interface", "127.0.0.5", "-w", "%{local_ip} %{local_port}\n",
                      f"http://127.0.0.1:{daemon.port('front')}/who")
            told, was = out.splitlines()
            expect_equal(told, was, "the client that nginx was told of")


# ---- SSH -------------------------------------------------------------------------------


def dropbear():
    """In a name space of its own, where the home of the user is the folder of the test."""
    if os.getuid() != 0:
        raise Skip("needs root, to give the server a home of its own")
    program, keygen = need_program("dropbear"), need_program("dropbearkey")
    unshare, ssh_keygen = need_program("unshare"), need_program("ssh-keygen")
    home = pwd.getpwuid(0).pw_dir
    probe = [unshare, "-m", "mount", "--bind", "/tmp", home]
    if subprocess.run(probe, check=False, stderr=subprocess.DEVNULL).returncode:
        raise Skip("may not have a name space of its own")

    def prepare(server):
        os.chmod(server.folder, 0o700)
        run(keygen, "-t", "ed25519", "-f", server.path_of("hostkey"))
        run(ssh_keygen, "-q", "-t", "ed25519", "-N", "", "-f", server.path_of("key"))
        os.makedirs(server.path_of(".ssh"), 0o700)
        shutil.copy(server.path_of("key.pub"), server.path_of(".ssh/authorized_keys"))
        with open(server.path_of("known"), "w", encoding="ascii") as stream:
            line = re.search(r"^ssh-ed25519 \S+", run(keygen, "-y", "-f", server.path_of("hostkey")), re.M).group(0)
            stream.write(f"server {line}\n")

    return Server(unshare, lambda server: [
        "unshare", "-m", "sh", "-c",
        'mount --bind "$1" "$2" && exec "$3" -F -E -s -r "$1/hostkey" -p "127.0.0.1:$4" -P "$1/pid"',
        "sh", server.folder, home, program, str(server.port)], prepare=prepare)


def test_ssh():
    ssh = need_program("ssh")
    with dropbear() as server, proxied([server.server()]) as daemon:
        with daemon.connect("front") as client:
            expect(recv_line(client).startswith(b"SSH-2.0-"), "the server speaks first")
        command = [ssh, "-F", "none", "-p", str(daemon.port("front")), "-i", server.path_of("key"),
                   "-o", "BatchMode=yes",
                   "-o", f"UserKnownHostsFile={server.path_of('known')}", "-o", "HostKeyAlias=server",
                   "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes",
                   f"{pwd.getpwuid(0).pw_name}@127.0.0.1"]
        data = os.urandom(1 << 20) * size(4, 64)
        out = run(*command, "sha256sum", data=data)
        expect_match(hashlib.sha256(data).hexdigest(), out, "what the other side got")
        expect_equal(run(*command, "seq 200000").count("\n"), 200000, "lines from the other side")


# ---- HAProxy ---------------------------------------------------------------------------


def haproxy(target, sends):
    def prepare(server):
        with open(server.path_of("haproxy.cfg"), "w", encoding="ascii") as stream:
            stream.write(f"defaults\n mode tcp\n timeout connect {LIMIT}s\n timeout client {LIMIT}s\n"
                         f" timeout server {LIMIT}s\n timeout check {LIMIT}s\n"
                         f"listen front\n bind 127.0.0.1:{server.port}\n server connpoold {target} {sends}\n")

    return Server(need_program("haproxy"), lambda server: ["haproxy", "-db", "-f", server.path_of("haproxy.cfg")],
                  prepare=prepare)


def expect_haproxy_in_front(daemon, sends):
    with haproxy(f"127.0.0.1:{daemon.port('front')}", sends) as server:
        for source in ("127.0.0.1", "127.0.0.66"):
            with socket.create_connection(server.where, LIMIT, (source, 0)) as sock:
                sock.sendall(b"hello\n")
                expect_equal(sock.recv(6, socket.MSG_WAITALL), b"hello\n", "echo")
                host, port = sock.getsockname()
                sock.shutdown(socket.SHUT_WR)
                expect_equal(sock.recv(1), b"", "the end")
            daemon.wait_closed(client=f"{host}:{port}")
    expect_equal(daemon.log.find("refused"), [], "refusals")


def test_haproxy_in_front():
    more = 'accept_proxy = true; trusted_proxies = "127.0.0.1";'
    for sends in ("send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options ssl,unique-id,crc32c",
                  "send-proxy-v2 check inter 50ms", "send-proxy-v2-ssl check check-send-proxy inter 50ms"):
        with Daemon(listeners='{ name = "front"; address = "tcp:127.0.0.1:0"; service = "echo"; ' + more + "}"
                    ) as daemon:
            expect_haproxy_in_front(daemon, sends)


def test_haproxy_in_front_of_a_relay_that_tells_the_server():
    with nginx("proxy_protocol", 'location /who { return 200 "$proxy_protocol_addr\\n"; }') as web, \
            proxied([web.server('send_proxy = "v2";')], "",
                    'accept_proxy = true; trusted_proxies = "127.0.0.1";') as daemon, \
            haproxy(f"127.0.0.1:{daemon.port('front')}", "send-proxy-v2") as server:
        out = run(need_program("curl"), "-sSf", "--interface", "127.0.0.44", f"http://127.0.0.1:{server.port}/who")
        expect_equal(out, "127.0.0.44\n", "the client that nginx was told of")


# ---- others ----------------------------------------------------------------------------


def test_ncat_and_a_server_that_speaks_first():
    ncat = need_program("ncat")
    with Backend(greet, "s") as backend, proxied([backend.server()]) as daemon:
        out = run(ncat, "127.0.0.1", str(daemon.port("front")), data=b"line\n" * 1000)
        expect_equal(out, "220 s ready\r\n" + "line\n" * 1000, "what ncat got")


main(globals())
