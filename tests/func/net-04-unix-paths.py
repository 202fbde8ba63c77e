#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The files of Unix sockets: made again by a reload when they were removed; others' files in their place are left
alone, at the start, by a reload and at the end."""
import grp
import os
import pwd
import socket
import stat

from cpharness import Daemon, Skip, connect_to, expect, expect_equal, expect_match, main

SMALL = 'main: { workers = 1; connections_per_worker = 1; queue_size = 1; queue_full = "wait"; };'


def listener(path="s/x.sock", more="", name="echo"):
    return f'{{ name = "{name}"; address = "unix:@DIR@/{path}"; service = "echo"; {more} }}'


TCP = ', { name = "tcp"; address = "tcp:127.0.0.1:0"; service = "echo"; }'


def daemon_with(listeners, owner=None, **options):
    """With a folder "s" for sockets, which belongs to owner."""
    daemon = Daemon(listeners=listeners, **options)
    os.mkdir(daemon.dir + "/s")
    if owner is not None:
        os.chown(daemon.dir + "/s", *owner)
    return daemon


def path_of(daemon, name="x.sock"):
    return f"{daemon.dir}/s/{name}"


def serves(daemon, name="x.sock"):
    with connect_to("unix:" + path_of(daemon, name)) as client:
        client.expect_echo()


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def look(path):
    st = os.lstat(path)
    return st.st_mode, st.st_uid, st.st_gid, st.st_ino, st.st_ctime_ns


def nobody():
    if os.geteuid() != 0:
        raise Skip("to become another user needs root")
    entry = pwd.getpwnam("nobody")
    return entry.pw_uid, entry.pw_gid


# ---- what others put there: (kind, how it is made) ------------------------------------------


def make_file(path):
    with open(path, "w", encoding="ascii") as stream:
        stream.write("gold")
    os.chmod(path, 0o600)


def make_link(path):
    make_file(path + ".target")
    os.symlink(path + ".target", path)


def make_socket(path):
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    os.chmod(path, 0o600)
    return server


def make_live_socket(path):
    server = make_socket(path)
    server.listen()
    return server


def make_stale_socket(path):
    make_socket(path).close()


FOREIGN = {
    "a regular file": make_file,
    "a symbolic link": make_link,
    "a directory": os.mkdir,
    "a FIFO": lambda path: os.mkfifo(path, 0o600),
    "another program's socket": make_live_socket,
    "a socket that nobody listens on": make_stale_socket,
}


def remove(path):
    if os.path.isdir(path) and not os.path.islink(path):
        os.rmdir(path)
    else:
        os.unlink(path)


# ---- reload -----------------------------------------------------------------------------


def test_a_removed_file_is_made_again():
    with daemon_with(listener(more='socket_mode = "0600";')) as daemon:
        with connect_to("unix:" + path_of(daemon)) as client:
            client.expect_echo()
            for _ in range(3):
                os.unlink(path_of(daemon))
                expect_match(r"reloaded: 0 changes", daemon.reload(), "the log")
                daemon.wait_log(r"listener 'echo': the socket file of unix:\S+ was removed: it was made again")
                expect_equal(mode_of(path_of(daemon)), 0o600, "mode")
                serves(daemon)
            client.expect_echo()
        fds = daemon.fd_count()
        ino = os.lstat(path_of(daemon)).st_ino
        daemon.reload()
        expect_equal(os.lstat(path_of(daemon)).st_ino, ino, "inode after a reload that had nothing to make")
        expect(daemon.fd_count() < fds, f"the socket without a file is closed: {daemon.fd_count()} of {fds}")
        expect_equal(daemon.stop(), 0, "exit status")
        expect(not os.path.lexists(path_of(daemon)), "its file is removed at the end")


def test_who_waits_in_the_backlog_is_served():
    with daemon_with(listener(), pools=SMALL) as daemon:
        clients = [connect_to("unix:" + path_of(daemon)) for _ in range(4)]
        clients[0].expect_echo()
        os.unlink(path_of(daemon))
        daemon.reload()
        for client in clients:
            client.expect_echo()
            client.close()
        serves(daemon)


def test_a_removed_folder_is_an_error_until_it_is_back():
    with daemon_with(listener() + TCP) as daemon:
        os.unlink(path_of(daemon))
        os.rmdir(daemon.dir + "/s")
        expect_match(r"reload failed: .*the socket file of unix:\S+x\.sock was removed and cannot be made again.*"
                     r"the folder does not exist", daemon.reload(), "the log")
        with daemon.connect("tcp") as client:
            client.expect_echo()
        os.mkdir(daemon.dir + "/s")
        daemon.reload()
        serves(daemon)


def test_what_others_put_there_is_left_alone():
    for kind, make in FOREIGN.items():
        with daemon_with(listener() + TCP) as daemon:
            path = path_of(daemon)
            os.unlink(path)
            made = make(path)
            before = look(path)
            target = look(path + ".target") if kind == "a symbolic link" else None
            line = daemon.reload(listeners=listener(more='socket_mode = "0640"; socket_user = "root";'))
            expect_match(rf"reload failed: listener 'echo': the file of its socket unix:{path} was replaced by {kind}; "
                         r"that is left alone: move it away, and reload", line, "the log")
            expect_equal(look(path), before, kind)
            if target:
                expect_equal(look(path + ".target"), target, "what the link points to")
            # Nothing of the new config is in force: the listener that it leaves out serves.
            with daemon.connect("tcp") as client:
                client.expect_echo()
            remove(path)
            daemon.reload(listeners=listener(more='socket_mode = "0640"; socket_user = "root";'))
            expect_equal(mode_of(path), 0o640, "mode")
            serves(daemon)
            if made:
                made.close()


def test_what_others_put_there_is_not_removed_at_the_end():
    for kind, make in FOREIGN.items():
        with daemon_with(listener()) as daemon:
            os.unlink(path_of(daemon))
            made = make(path_of(daemon))
            before = look(path_of(daemon))
            expect_equal(daemon.stop(), 0, "exit status")
            expect_equal(look(path_of(daemon)), before, kind)
            if made:
                made.close()


def test_a_listener_that_goes_removes_its_own_file_alone():
    with daemon_with(listener() + "," + listener("s/y.sock", name="other") + TCP) as daemon:
        os.unlink(path_of(daemon))
        make_file(path_of(daemon))
        daemon.reload(listeners=TCP[1:])
        expect_equal(sorted(os.listdir(daemon.dir + "/s")), ["x.sock"], "files")


def test_mode_and_owner_are_changed_on_its_own_file():
    uid, gid = nobody()
    with daemon_with(listener(more='socket_mode = "0600";')) as daemon:
        path = path_of(daemon)
        ino = os.lstat(path).st_ino
        daemon.reload(listeners=listener(more=f'socket_mode = "0620"; socket_user = "nobody"; '
                                              f'socket_group = "{grp.getgrgid(gid).gr_name}";'))
        st = os.lstat(path)
        expect_equal((stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid, st.st_ino), (0o620, uid, gid, ino), "file")
        os.chmod(path, 0o777)
        daemon.reload()
        expect_equal(mode_of(path), 0o620, "mode that somebody else had changed")


def test_a_reload_that_fails_otherwise_takes_the_new_file_back():
    with daemon_with(listener()) as daemon:
        os.unlink(path_of(daemon))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            second = f', {{ name = "second"; address = "tcp:127.0.0.1:{taken.getsockname()[1]}"; service = "echo"; }}'
            expect_match("reload failed: .*second", daemon.reload(listeners=listener() + second), "the log")
        expect(not os.path.lexists(path_of(daemon)), "the file is gone with the new config")
        daemon.reload(listeners=listener())
        serves(daemon)


def test_without_privileges_it_is_made_where_the_folder_allows_it():
    owner = nobody()
    with daemon_with(listener(), owner, daemon='user = "nobody";') as daemon:
        os.unlink(path_of(daemon))
        daemon.reload()
        expect_equal(os.lstat(path_of(daemon)).st_uid, owner[0], "owner")
        serves(daemon)


def test_without_privileges_and_folder_the_reload_fails():
    nobody()
    with daemon_with(listener() + TCP, daemon='user = "nobody";') as daemon:
        expect_match(r"reloaded: 0 changes", daemon.reload(), "the log")
        expect(not daemon.log.find("cannot set socket_mode"), "what is as it should be is not set again")
        os.unlink(path_of(daemon))
        line = daemon.reload(listeners=listener())
        expect_match(r"reload failed: the socket file of unix:\S+ was removed and cannot be made again: "
                     r".*Permission denied; the folder must be writable for the daemon's user", line, "the log")
        with daemon.connect("tcp") as client:
            client.expect_echo()


# ---- start ------------------------------------------------------------------------------


def fails(daemon, pattern):
    with daemon:
        expect_equal(daemon.wait_exit(), 1, "exit status")
        expect_match(pattern, "\n".join(daemon.log.lines), "log")
        return look(path_of(daemon)) if os.path.lexists(path_of(daemon)) else None


def test_a_start_takes_over_stale_sockets_alone():
    for kind, make in FOREIGN.items():
        daemon = daemon_with(listener(), wait_ready=False)
        made = make(path_of(daemon))
        before = look(path_of(daemon))
        if make is make_stale_socket:
            with daemon:
                daemon.wait_ready()
                serves(daemon)
            continue
        if made:
            expect_equal(fails(daemon, "Address already in use; another program listens there"), before, kind)
            made.close()
        else:
            expect_equal(fails(daemon, f"x.sock: {kind}: File exists; it is left alone; move it away"), before, kind)


def test_a_link_to_a_stale_socket_is_left_alone():
    daemon = daemon_with(listener(), wait_ready=False)
    make_stale_socket(path_of(daemon, "target"))
    os.symlink("target", path_of(daemon))
    fails(daemon, "x.sock: a symbolic link: File exists")


def test_a_folder_that_is_not_there_is_named():
    fails(daemon_with(listener("nowhere/x.sock"), wait_ready=False), r"nowhere/x\.sock: .*the folder does not exist")


def test_a_path_that_is_too_long_is_named():
    with daemon_with(listener("s/" + "x" * 120), wait_ready=False) as daemon:
        expect(daemon.wait_exit() != 0, "it does not start")
        expect_match(r"the path is too long for a socket: \d+ bytes, at most \d+", "\n".join(daemon.log.lines), "log")


main(globals())
