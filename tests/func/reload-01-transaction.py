#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""SIGHUP: a good config is taken as a whole, a bad one changes nothing; connections live on."""
import os
import signal
import socket

from cpharness import Daemon, eventually, expect, expect_equal, expect_match, main, make_config


def echo(name="echo", address="tcp:127.0.0.1:0", more="", service="echo"):
    return f'{{ name = "{name}"; address = "{address}"; service = "{service}"; {more} }}'


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def test_the_same_file_again_changes_nothing():
    with Daemon(listeners=echo()) as daemon, daemon.connect("echo") as client:
        client.expect_echo()
        line = daemon.reload()
        expect_match(r"reload", line, "the log")
        client.expect_echo()
        with daemon.connect("echo") as other:
            other.expect_echo()


def test_a_listener_is_added():
    with Daemon(listeners=echo()) as daemon:
        mark = daemon.log.mark()
        daemon.reload(listeners=echo() + "," + echo("day", "unix:@DIR@/day.sock", service="daytime"))
        daemon.wait_log(r"added.*\bday\b|\bday\b.*added", since=mark)
        with daemon.connect("day") as client:
            expect(client.recv_all().endswith(b"\r\n"), "a line")
        with daemon.connect("echo") as client:
            client.expect_echo()


def test_a_listener_is_removed_and_its_connections_live_on():
    with Daemon(listeners=echo() + "," + echo("gone")) as daemon:
        client = daemon.connect("gone")
        client.expect_echo()
        mark = daemon.log.mark()
        daemon.reload(listeners=echo())
        daemon.wait_log(r"removed.*\bgone\b|\bgone\b.*removed", since=mark)
        client.expect_echo()
        try:
            daemon.connect("gone").close()
            raise AssertionError("a removed listener still listens")
        except ConnectionRefusedError:
            pass
        name = client.name()
        client.close()
        expect_equal(daemon.wait_closed(client=name)["listener"], "gone", "listener of the record")


def test_a_unix_socket_goes_with_its_listener_and_comes_back():
    both = echo() + "," + echo("path", "unix:@DIR@/p.sock")
    with Daemon(listeners=both) as daemon:
        path = f"{daemon.dir}/p.sock"
        client = daemon.connect("path")
        client.expect_echo()
        daemon.reload(listeners=echo())
        expect(not os.path.lexists(path), "the file is gone")
        client.expect_echo()
        client.close()
        daemon.reload(listeners=both)
        with daemon.connect("path") as again:
            again.expect_echo()


def test_a_listener_that_stays_keeps_its_very_socket():
    port = free_port()
    with Daemon(listeners=echo(address=f"tcp:127.0.0.1:{port}")) as daemon:
        inode = os.popen(f"ss -Htlne 'sport = :{port}'").read()
        inode = expect_match(r"ino:(\d+)", inode, "ss").group(1)
        daemon.reload(listeners=echo(address=f"tcp:127.0.0.1:{port}", more="backlog = 77; max_connections = 50;"))
        after = os.popen(f"ss -Htlne 'sport = :{port}'").read()
        expect_equal(expect_match(r"ino:(\d+)", after, "ss").group(1), inode, "inode of the socket")
        # listen(2) again on the live socket: ss shows the backlog as Send-Q.
        expect_match(r"LISTEN\s+\d+\s+77\s", after, "backlog in ss")


def test_clients_in_the_backlog_survive():
    pool = 'one: { workers = 1; connections_per_worker = 1; queue_size = 1; queue_full = "wait"; };'
    listener = echo(more='pool = "one";')
    with Daemon(listeners=listener, pools=pool) as daemon:
        holder = daemon.connect("echo")
        holder.expect_echo()
        waiting = [daemon.connect("echo") for _ in range(10)]
        for round_number in range(3):
            daemon.reload(listeners=echo(more=f'pool = "one"; idle_timeout = "{100 + round_number}s";'), pools=pool)
        holder.close()
        for client in waiting:
            client.expect_echo()
            client.close()


def test_a_port_given_is_moved():
    first, second = free_port(), free_port()
    with Daemon(listeners=echo(address=f"tcp:127.0.0.1:{first}")) as daemon:
        client = daemon.connect("echo")
        client.expect_echo()
        daemon.reload(listeners=echo(address=f"tcp:127.0.0.1:{second}"))
        daemon.wait_log(rf"listening on tcp:127\.0\.0\.1:{second}")
        with socket.create_connection(("127.0.0.1", second), timeout=60) as fresh:
            fresh.sendall(b"x")
            expect_equal(fresh.recv(1), b"x", "echo on the new port")
        try:
            socket.create_connection(("127.0.0.1", first), timeout=60).close()
            raise AssertionError("the old port is still open")
        except ConnectionRefusedError:
            pass
        client.expect_echo()
        client.close()


def test_a_changed_option_holds_for_new_connections():
    with Daemon(listeners=echo(address="unix:@DIR@/e.sock")) as daemon:
        old = daemon.connect("echo")
        old.expect_echo()
        mark = daemon.log.mark()
        daemon.reload(listeners=echo(address="unix:@DIR@/e.sock", more='idle_timeout = "200ms";'))
        daemon.wait_log(r"changed.*\becho\b|\becho\b.*(changed|idle_timeout)", since=mark)
        with daemon.connect("echo") as fresh:
            fresh.expect_end()
        daemon.wait_closed(end="idle")
        old.expect_echo()
        old.close()


def test_the_service_of_a_listener_is_changed():
    with Daemon(listeners=echo(address="unix:@DIR@/e.sock")) as daemon:
        old = daemon.connect("echo")
        old.expect_echo()
        daemon.reload(listeners=echo(address="unix:@DIR@/e.sock", service="daytime"))
        with daemon.connect("echo") as fresh:
            expect(fresh.recv_all().endswith(b"\r\n"), "a line of daytime")
        old.expect_echo()
        old.close()


BAD_CONFIGS = (
    ("a misspelt key", make_config(listeners=echo(more="backlgo = 5;")), r"backlgo.*backlog"),
    ("a syntax error", "listeners: ( { name = ; } );\n", r"connpoold\.conf:1"),
    ("a pool that is not there", make_config(listeners=echo(more='pool = "none";')), r"none"),
    ("two listeners on one address", make_config(listeners=echo(address="tcp:127.0.0.1:7") + "," +
                                                 echo("b", "tcp:127.0.0.1:7")), r"tcp:127\.0\.0\.1:7"),
    ("no listener", "listeners: ( );\n", r"listener"),
    ("an address that can not be bound", make_config(listeners=echo(address="unix:@DIR@/new.sock") + "," +
                                                     echo("far", "tcp:192.0.2.77:0")), r"192\.0\.2\.77"),
)


def test_a_bad_config_changes_nothing_and_says_why():
    good = make_config(listeners=echo(address="unix:@DIR@/e.sock", more="max_connections = 3;"))
    with Daemon(good) as daemon:
        client = daemon.connect("echo")
        client.expect_echo()
        for what, config, why in BAD_CONFIGS:
            print(f"  {what}")
            mark, fds = daemon.log.mark(), daemon.fd_count()
            daemon.reload(config)
            daemon.wait_log(why, since=mark)
            daemon.wait_log(r"keep", since=mark)
            client.expect_echo()
            with daemon.connect("echo") as fresh:
                fresh.expect_echo()
                name = fresh.name()
            expect(not os.path.exists(f"{daemon.dir}/new.sock"), "no socket file is left of a reload that failed")
            daemon.wait_closed(client=name, since=mark)
            eventually(lambda: daemon.fd_count() == fds,
                       lambda: f"{daemon.fd_count()} descriptors, {fds} before {what}")
        client.close()
        daemon.reload(good)


def test_a_file_that_is_gone_changes_nothing():
    with Daemon(listeners=echo()) as daemon:
        os.unlink(daemon.config_path)
        daemon.reload()
        daemon.wait_log(r"No such file")
        with daemon.connect("echo") as client:
            client.expect_echo()


def test_a_reload_that_failed_is_mended_by_the_next():
    with Daemon(listeners=echo()) as daemon:
        daemon.reload("nonsense")
        daemon.reload(listeners=echo() + "," + echo("more"))
        with daemon.connect("more") as client:
            client.expect_echo()


def test_many_signals_at_once_end_in_the_last_config():
    with Daemon(listeners=echo()) as daemon:
        daemon.write_config(make_config(listeners=echo() + "," + echo("last")))
        for _ in range(20):
            daemon.kill(signal.SIGHUP)
        daemon.wait_log(r"listener 'last': listening on")
        with daemon.connect("last") as client:
            client.expect_echo()


def test_include_dir_is_read_again():
    daemon = Daemon(listeners=echo(), more='include_dir = "conf.d";')
    os.mkdir(f"{daemon.dir}/conf.d")
    with daemon:
        with open(f"{daemon.dir}/conf.d/a.conf", "w", encoding="ascii") as stream:
            stream.write(f"listeners: ( {echo('added')} );\n")
        daemon.reload()
        with daemon.connect("added") as client:
            client.expect_echo()


main(globals())
