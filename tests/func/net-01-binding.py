#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Sockets: what can't be bound says which listener, which address and what to do; Unix sockets come and go cleanly."""
import grp
import os
import pwd
import socket
import stat
import tempfile

from cpharness import (CAP_DAC_OVERRIDE, CAP_NET_BIND_SERVICE, Daemon, Skip, connect_to, expect, expect_equal,
                       expect_match, has_ipv6, main)


def listener(address, more="", name="echo"):
    return f'{{ name = "{name}"; address = {address}; service = "echo"; {more} }}'


def start_must_fail(config_listeners, *patterns, **options):
    with Daemon(listeners=config_listeners, wait_ready=False, **options) as daemon:
        expect_equal(daemon.wait_exit(), 1, "exit status")
        text = "\n".join(daemon.log.lines)
        for pattern in patterns:
            expect_match(pattern, text, "log")


def test_port_0_is_bound_and_named_in_the_log():
    with Daemon(listeners=listener('"tcp:127.0.0.1:0"')) as daemon:
        expect(daemon.port("echo") > 0, "a real port")
        with daemon.connect("echo") as client:
            client.expect_echo()


def test_several_addresses_of_one_listener():
    addresses = '[ "tcp:127.0.0.1:0", "tcp:127.0.0.2:0", "unix:@DIR@/a.sock", "unix:@DIR@/b.sock" ]'
    with Daemon(listeners=listener(addresses)) as daemon:
        expect_equal(len(daemon.addresses("echo")), 4, "addresses")
        for index in range(4):
            with daemon.connect("echo", index) as client:
                client.expect_echo()
        daemon.wait_closed(listener="echo", count=4)


def test_a_host_name_is_not_looked_up_and_says_so():
    start_must_fail(listener('"tcp:localhost:0"'), r"listener 'echo'.*tcp:localhost:0.*names are not looked up")


def test_port_in_use_says_which_and_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        start_must_fail(listener(f'"tcp:127.0.0.1:{port}"'),
                        rf"listener 'echo'.*tcp:127\.0\.0\.1:{port}.*[Aa]ddress already in use",
                        rf"ss -|another (process|program)|port {port}")


def test_privileged_port_says_what_to_do():
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", encoding="ascii") as stream:
        if int(stream.read()) <= 1:
            raise Skip("every port may be bound by everybody here")
    start_must_fail(listener('"tcp:127.0.0.1:1"'), r"listener 'echo'.*tcp:127\.0\.0\.1:1\b.*[Pp]ermission denied",
                    r"CAP_NET_BIND_SERVICE|root|1024", without_caps=[CAP_NET_BIND_SERVICE])


def test_address_that_the_machine_does_not_have_says_so():
    start_must_fail(listener('"tcp:192.0.2.77:0"'),
                    r"listener 'echo'.*tcp:192\.0\.2\.77:0.*[Cc]annot assign", r"free_bind")


def test_free_bind_takes_it_all_the_same():
    with Daemon(listeners=listener('"tcp:192.0.2.77:0"', "free_bind = true;")) as daemon:
        daemon.wait_log(r"listener 'echo': listening on tcp:192\.0\.2\.77:")


def test_one_address_that_fails_ends_the_start_and_leaves_no_file_behind():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder, socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        start_must_fail(listener(f'"unix:{folder}/x.sock"', name="a") + "," + listener(f'"tcp:127.0.0.1:{port}"'),
                        "listener 'echo'")
        expect_equal(os.listdir(folder), [], "files left")


def test_unix_socket_is_made_and_removed():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = f"{folder}/x.sock"
        with Daemon(listeners=listener(f'"unix:{path}"')) as daemon:
            expect(stat.S_ISSOCK(os.stat(path).st_mode), "a socket file")
            with daemon.connect("echo") as client:
                client.expect_echo()
        expect(not os.path.lexists(path), "the file is gone after the stop")


def test_stale_unix_socket_is_taken_over():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = f"{folder}/x.sock"
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(path)
        with Daemon(listeners=listener(f'"unix:{path}"')) as daemon, daemon.connect("echo") as client:
            client.expect_echo()


def test_live_unix_socket_is_left_alone():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = f"{folder}/x.sock"
        with Daemon(listeners=listener(f'"unix:{path}"')) as first:
            start_must_fail(listener(f'"unix:{path}"', name="second"),
                            rf"listener 'second'.*unix:{path}.*(in use|served|listen)")
            with first.connect("echo") as client:
                client.expect_echo()


def test_file_that_is_no_socket_is_left_alone():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = f"{folder}/precious"
        with open(path, "w", encoding="ascii") as stream:
            stream.write("data")
        start_must_fail(listener(f'"unix:{path}"'), rf"listener 'echo'.*unix:{path}")
        with open(path, encoding="ascii") as stream:
            expect_equal(stream.read(), "data", "the file")


def test_folder_that_may_not_be_written_says_so():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o555)
        start_must_fail(listener(f'"unix:{folder}/x.sock"'),
                        rf"listener 'echo'.*unix:{folder}/x\.sock.*[Pp]ermission denied",
                        without_caps=[CAP_DAC_OVERRIDE])


def test_folder_that_is_not_there_says_so():
    start_must_fail(listener('"unix:/nonexistent/x.sock"'), r"listener 'echo'.*unix:/nonexistent/x\.sock.*No such file")


def test_socket_mode_and_owner():
    mode = 'socket_mode = "0640";'
    want = (0o640, os.getuid(), os.getgid())
    if os.getuid() == 0:
        user, group = pwd.getpwnam("nobody"), grp.getgrnam("nogroup")
        mode += f' socket_user = "{user.pw_name}"; socket_group = "{group.gr_name}";'
        want = (0o640, user.pw_uid, group.gr_gid)
    with Daemon(listeners=listener('"unix:@DIR@/x.sock"', mode)) as daemon:
        info = os.stat(f"{daemon.dir}/x.sock")
        expect_equal((stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid), want, "mode, user, group")


def test_ipv6_only():
    if not has_ipv6():
        raise Skip("there is no IPv6 here")
    with Daemon(listeners=listener('"tcp:[::]:0"')) as daemon:
        port = daemon.port("echo")
        with connect_to(f"tcp:[::1]:{port}") as client:
            client.expect_echo()
        try:
            connect_to(f"tcp:127.0.0.1:{port}").close()
        except ConnectionRefusedError:
            return
        raise AssertionError("[::] took a client over IPv4")


main(globals())
