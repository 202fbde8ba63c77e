#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The recipes in conf/recipes/: each is an include file that passes --check, and serves when its program is a stub.

What a test can not have is replaced: ports are those that the kernel chooses, programs are a script that says what it
was called with, users are whoever runs the test, and the networks that may connect are 127.0.0.1.
"""
import glob
import os
import re
import struct
import tempfile

from cpharness import TOP_SRCDIR, Daemon, Skip, expect, expect_equal, expect_match, main
from importconf import check, has_service
from proxylib import Backend, ask, who

FOLDER = os.path.join(TOP_SRCDIR, "conf", "recipes")
RECIPES = sorted(os.path.basename(path) for path in glob.glob(os.path.join(FOLDER, "*.conf")))
STUB = """#!/bin/sh
echo "stub $*"
read -r line && echo "got $line"
exit @STATUS@
"""


def read(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as stream:
        return stream.read()


def services(text):
    """The types of service that it needs, comments apart."""
    return set(re.findall(r'\btype = "(\w+)"', re.sub(r"^\s*#.*$", "", text, flags=re.M)))


def need(text):
    for service in sorted(services(text)):
        if not has_service(service):
            raise Skip(f"no {service} service")


def adapt(text, folder, server=None, has_stub=True):
    """The recipe for this machine."""
    text = re.sub(r'^\s*(user|group|socket_group) = "[^"]*";\n', "", text, flags=re.M)
    if has_stub:
        text = re.sub(r'(command = \[ )"[^"]*"', rf'\1"{folder}/stub"', text)
    text = re.sub(r'(address = )"unix:/run/connpoold/([^"]*)"', rf'\1"unix:{folder}/\2"', text)
    text = re.sub(r'(directory = )"[^"]*"', rf'\1"{folder}"', text)
    text = re.sub(r'(allow = )\[[^\]]*\]', r'\1[ "127.0.0.1" ]', text)
    if server:
        text = re.sub(r'(servers = \( \{ address = )"[^"]*"', rf'\1"{server}"', text)
    return re.sub(r'^(\s*address = )"tcp:[^"]*"', r'\1"tcp:127.0.0.1:0"', text, flags=re.M)


class Recipe:
    """A daemon whose include_dir has that recipe."""

    def __init__(self, name, server=None, status=0, has_stub=True):
        need(read(name))
        self.temporary = tempfile.TemporaryDirectory(prefix="cp-recipe-", dir="/tmp")
        folder = self.temporary.name
        os.chmod(folder, 0o755)
        with open(folder + "/stub", "w", encoding="utf-8") as stream:
            stream.write(STUB.replace("@STATUS@", str(status)))
        os.chmod(folder + "/stub", 0o755)
        with open(f"{folder}/{name}", "w", encoding="utf-8") as stream:
            stream.write(adapt(read(name), folder, server, has_stub))
        self.daemon = Daemon(f'log: {{ target = "stderr"; }};\ndaemon: {{ drain_timeout = "1s"; }};\n'
                             f'include_dir = "{folder}";\n')

    def __enter__(self):
        return self.daemon.__enter__()

    def __exit__(self, *args):
        try:
            return self.daemon.__exit__(*args)
        finally:
            self.temporary.cleanup()


def expect_program(recipe, listener, arguments):
    """A client talks to the program, which was started with those arguments."""
    with Recipe(recipe) as daemon:
        with daemon.connect(listener) as client:
            client.send(b"hello\n")
            expect_equal(client.recv_all().decode(), f"stub {arguments}\ngot hello\n", "what the program says")
        if "allow = " in read(recipe):
            with daemon.connect(listener, source="127.0.0.2") as client:
                client.expect_refused()


def test_all_together_pass_check():
    expect(len(RECIPES) >= 10, f"recipes: {RECIPES}")
    texts = [read(name) for name in RECIPES]
    with tempfile.TemporaryDirectory(prefix="cp-recipe-", dir="/tmp") as folder:
        with open(folder + "/stub", "w", encoding="utf-8") as stream:
            stream.write(STUB)
        os.chmod(folder + "/stub", 0o755)
        left = 0
        for name, text in zip(RECIPES, texts):
            if all(has_service(service) for service in services(text)):
                with open(f"{folder}/{name}", "w", encoding="utf-8") as stream:
                    # Their own ports and networks: they are not in each other's way.
                    stream.write(re.sub(r'^\s*(user|group|directory) = "[^"]*";\n', "", re.sub(
                        r'(command = \[ )"[^"]*"', rf'\1"{folder}/stub"', text), flags=re.M))
                left += 1
        status, messages = check(f'include_dir = "{folder}";\n')
    expect_equal(status, 0, f"status of --check ({messages})")
    if left < len(RECIPES):
        print(f"{len(RECIPES) - left} recipes were left out: their services are not there")


def test_comments_say_what_it_is_for():
    for name in RECIPES:
        expect_match(rf"^# {re.escape(name)} - .{{20,}}$", read(name), f"the first line of {name}")


def test_programs_are_given_no_time_limits_that_do_not_apply():
    for name in RECIPES:
        if "exec" in services(read(name)):
            expect("idle_timeout" not in read(name), f"{name}: connpoold does not see whether a program is idle")


def test_what_needs_the_drop_in_names_it():
    for name in RECIPES:
        if re.search(r"^\s*(user|group|chroot|nice) = ", read(name), flags=re.M):
            expect("connpoold-programs.conf" in read(name), f"{name} names the drop-in")


def test_checkmk_agent():
    expect_program("checkmk-agent.conf", "check_mk", "")


def test_rsync():
    expect_program("rsync.conf", "rsync", "--daemon --config=/etc/rsyncd.conf")


def test_git_daemon():
    expect_program("git-daemon.conf", "git", "daemon --inetd --timeout=600 --base-path=/srv/git /srv/git")


def test_nrpe():
    expect_program("nrpe.conf", "nrpe", "-c /etc/nagios/nrpe.cfg --inetd")


def test_ctf_challenge():
    expect_program("ctf-challenge.conf", "ctf-pwn1", "")


def test_vnc():
    expect_program("vnc.conf", "vnc", "-inetd -once -query localhost -geometry 1280x1024 -depth 24 -SecurityTypes None")


def test_rsync_tells_one_too_many_in_its_own_words():
    with Recipe("rsync.conf") as daemon:
        clients = []
        try:
            for _ in range(5):
                clients.append(daemon.connect("rsync"))
                expect(clients[-1].recv_some().startswith(b"stub"), "the program is there")
            with daemon.connect("rsync") as client:
                expect_equal(client.recv_all(), b"@RSYNCD: 31.0\n@ERROR: max connections (200) reached -- "
                             b"try again later\n", "what one too many is told")
        finally:
            for client in clients:
                client.close()


def fastcgi(client, **variables):
    """A request of the FastCGI protocol, and what the script says."""
    def record(kind, content):
        return struct.pack("!BBHHBx", 1, kind, 1, len(content), 0) + content

    pairs = b"".join(bytes([len(key), len(value)]) + key.encode() + value.encode() for key, value in variables.items())
    client.send(record(1, struct.pack("!HB5x", 1, 0)) + record(4, pairs) + record(4, b"") + record(5, b""))
    data, said = client.recv_all(), b""
    while data:
        _, kind, _, length, padding = struct.unpack_from("!BBHHBx", data)
        said += data[8:8 + length] if kind == 6 else b""
        data = data[8 + length + padding:]
    return said


def test_fastcgi():
    if not os.path.exists("/usr/sbin/fcgiwrap"):
        raise Skip("there is no fcgiwrap")
    with Recipe("fastcgi.conf", has_stub=False) as daemon:
        script = os.path.join(daemon.dir, "hello.cgi")
        with open(script, "w", encoding="ascii") as stream:
            stream.write('#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\n$REQUEST_METHOD $PPID"\n')
        os.chmod(script, 0o755)
        parents = set()
        for _ in range(20):
            with daemon.connect("fastcgi") as client:
                said = fastcgi(client, SCRIPT_FILENAME=script, REQUEST_METHOD="GET").decode()
            found = expect_match(r"\AContent-Type: text/plain\r\n\r\nGET (\d+)\Z", said, "the answer")
            parents.add(found.group(1))
        # It was started once, and keeps its processes.
        expect(len(parents) <= 4, f"processes: {parents}")


def test_galera_clustercheck():
    for status, answer in ((0, "200"), (1, "503")):
        with Recipe("galera-clustercheck.conf", status=status) as daemon:
            with daemon.connect("clustercheck") as client:
                client.send(b"GET / HTTP/1.0\r\n\r\n")
                text = client.recv_all().decode()
            expect_match(rf"\AHTTP/1\.\d {answer} .*\r\n", text, "status line")
            expect("stub" in text.partition("\r\n\r\n")[2], f"the script's output is the body: {text!r}")
            with daemon.connect("clustercheck", source="127.0.0.2") as client:
                client.expect_refused()


def test_livestatus():
    with tempfile.TemporaryDirectory(prefix="cp-recipe-", dir="/tmp") as folder:
        with Backend(who, name="core", path=folder + "/live") as backend:
            with Recipe("livestatus.conf", backend.address) as daemon:
                expect_equal(ask(daemon, b"GET hosts", "livestatus"), "core", "who answers")
                with daemon.connect("livestatus", source="127.0.0.2") as client:
                    client.expect_refused()


def test_port_redirect():
    with Backend(who, name="api") as backend, Recipe("port-redirect.conf", backend.address) as daemon:
        expect_equal(ask(daemon, name="api"), "api", "who answers")


main(globals())
