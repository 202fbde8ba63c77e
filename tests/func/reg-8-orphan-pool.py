#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Clients in the backlog of a socket whose file was removed follow their listener to another pool."""
import os

from cpharness import Daemon, main

POOLS = """
a: { workers = 1; connections_per_worker = 1; queue_size = 1; queue_full = "wait"; };
b: { workers = 1; };
"""


def listeners(pool):
    return f"""
{{ name = "moves"; address = "unix:@DIR@/moves"; service = "echo"; pool = "{pool}"; }},
{{ name = "fills"; address = "unix:@DIR@/fills"; service = "echo"; pool = "a"; }},
{{ name = "stays"; address = "unix:@DIR@/stays"; service = "echo"; pool = "b"; }}
"""


def let_it_look(daemon):
    """Whoever came before has been seen by the main thread when a later client is served."""
    with daemon.connect("stays") as client:
        client.expect_echo()


def test_clients_of_an_orphan_do_not_wait_for_the_pool_that_their_listener_has_left():
    with Daemon(listeners=listeners("a"), pools=POOLS) as daemon:
        served = daemon.connect("fills")
        served.expect_echo()
        queued = daemon.connect("fills")
        let_it_look(daemon)
        clients = [daemon.connect("moves") for _ in range(3)]
        let_it_look(daemon)
        os.unlink(os.path.join(daemon.dir, "moves"))
        daemon.reload(listeners=listeners("b"), pools=POOLS)
        for client in clients:
            client.expect_echo()
            client.close()
        queued.close()
        served.close()


main(globals())
