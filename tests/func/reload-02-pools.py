#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Pools grow and shrink in place; who waits in a queue keeps its place."""
from cpharness import Daemon, eventually, expect_equal, main

LISTENER = '{ name = "echo"; address = "unix:@DIR@/e.sock"; service = "echo"; pool = "p"; }'


def pool(text):
    return f"p: {{ {text} }};"


def workers(daemon):
    return len([name for name in daemon.thread_names() if name.startswith("cp-w")])


def test_a_pool_grows():
    with Daemon(listeners=LISTENER, pools=pool("workers = 1; connections_per_worker = 1; queue_size = 10;")) as daemon:
        eventually(lambda: workers(daemon) == 1, lambda: f"{daemon.thread_names()}")
        clients = [daemon.connect("echo") for _ in range(4)]
        clients[0].expect_echo()
        daemon.reload(listeners=LISTENER, pools=pool("workers = 4; connections_per_worker = 1; queue_size = 10;"))
        # Those that waited are taken by the new workers at once.
        for client in clients:
            client.expect_echo()
        eventually(lambda: workers(daemon) == 4, lambda: f"{daemon.thread_names()}")
        for client in clients:
            client.close()


def test_a_pool_shrinks_and_its_connections_live_on():
    with Daemon(listeners=LISTENER, pools=pool("workers = 4;")) as daemon:
        # A thread gives itself its name, after the daemon has said that it is ready.
        eventually(lambda: workers(daemon) == 4, lambda: f"{daemon.thread_names()}")
        clients = [daemon.connect("echo") for _ in range(12)]
        for client in clients:
            client.expect_echo()
        daemon.reload(listeners=LISTENER, pools=pool("workers = 1;"))
        for client in clients:
            client.expect_echo()
        with daemon.connect("echo") as fresh:
            fresh.expect_echo()
        for client in clients:
            client.close()
        daemon.wait_closed(count=13)
        # A retiring worker ends once its last connection has.
        eventually(lambda: workers(daemon) == 1, lambda: f"{daemon.thread_names()}")


def test_a_pool_grows_and_shrinks_many_times_without_a_thread_too_many():
    with Daemon(listeners=LISTENER, pools=pool("workers = 2;")) as daemon:
        before = daemon.thread_count(), daemon.fd_count()
        for number in (5, 1, 9, 3, 1, 6, 2):
            daemon.reload(listeners=LISTENER, pools=pool(f"workers = {number};"))
            with daemon.connect("echo") as client:
                client.expect_echo()
        daemon.wait_closed(count=7)
        eventually(lambda: (daemon.thread_count(), daemon.fd_count()) == before,
                   lambda: f"threads and descriptors {daemon.thread_count(), daemon.fd_count()}, before {before}")


def test_the_queue_survives_in_order():
    text = "workers = 1; connections_per_worker = 1; queue_size = %d;"
    with Daemon(listeners=LISTENER, pools=pool(text % 50)) as daemon:
        holder = daemon.connect("echo")
        holder.expect_echo()
        waiting = [daemon.connect("echo") for _ in range(20)]
        for size in (100, 5, 30):
            daemon.reload(listeners=LISTENER, pools=pool(text % size))
        holder.close()
        for number, client in enumerate(waiting):
            client.expect_echo(b"%d\n" % number)
            client.close()
        daemon.wait_closed(count=21)


def test_a_listener_moves_to_another_pool_and_the_old_one_goes():
    other = LISTENER.replace('"p"', '"q"')
    with Daemon(listeners=LISTENER, pools=pool("workers = 3;")) as daemon:
        old = daemon.connect("echo")
        old.expect_echo()
        daemon.reload(listeners=other, pools="q: { workers = 1; };")
        with daemon.connect("echo") as fresh:
            fresh.expect_echo()
        old.expect_echo()
        old.close()
        daemon.wait_closed(count=2)
        daemon.reload(listeners=LISTENER, pools=pool("workers = 3;"))
        with daemon.connect("echo") as fresh:
            fresh.expect_echo()


def test_what_needs_a_restart_is_said_and_left():
    with Daemon(listeners=LISTENER, pools=pool("workers = 1;")) as daemon:
        mark = daemon.log.mark()
        daemon.reload(listeners=LISTENER, pools=pool("workers = 1;"), daemon='user = "nobody";')
        daemon.wait_log(r"daemon\.user.*nobody.*restart", since=mark)
        with daemon.connect("echo") as client:
            client.expect_echo()


main(globals())
