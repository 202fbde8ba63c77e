#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Room in a queue: no listener is left behind, whoever made the room and however many wait for it."""
import select
import threading

from cpharness import LIMIT, Daemon, eventually, expect, expect_equal, main, scaled

BUSY = b"BUSY\n"


def listeners(*names, service='"echo"', more=""):
    return ",".join(f'{{ name = "{name}"; address = "tcp:127.0.0.1:0"; service = {service}; pool = "one"; {more} }}'
                    for name in names)


def pool(settings):
    return f"one: {{ workers = 1; connections_per_worker = 1; {settings} }};"


def hold(daemon, name):
    """The pool's only worker is busy with this one until it closes."""
    holder = daemon.connect(name)
    holder.expect_echo()
    return holder


def backlog_of(daemon, name):
    """How many clients wait in the kernel's backlog."""
    port = daemon.port(name)
    with open(f"/proc/{daemon.process.pid}/net/tcp", encoding="ascii") as stream:
        for line in stream.readlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == port:
                return int(fields[4].split(":")[1], 16)
    raise AssertionError(f"nobody listens on port {port}")


def await_backlog(daemon, name, count):
    eventually(lambda: backlog_of(daemon, name) == count, lambda: f"{backlog_of(daemon, name)} in the backlog")


def test_a_queue_that_expired_whole_is_filled_again():
    with Daemon(listeners=listeners("a", more='busy_message = "BUSY\\n";'),
                pools=pool('queue_size = 2; queue_timeout = "500ms";')) as daemon:
        holder = hold(daemon, "a")
        queued = [daemon.connect("a") for _ in range(2)]
        await_backlog(daemon, "a", 0)
        late = daemon.connect("a")
        for client in queued:
            expect_equal(client.recv_all(), BUSY, "answer to a client that waited for too long")
        # The worker is still busy: nobody but the expiry made room.
        await_backlog(daemon, "a", 0)
        holder.close()
        late.close()
        hold(daemon, "a").close()


def test_a_raised_limit_is_room():
    with Daemon(listeners=listeners("a"), pools=pool("queue_size = 1;")) as daemon:
        holder = hold(daemon, "a")
        waiting = [daemon.connect("a") for _ in range(3)]
        await_backlog(daemon, "a", 2)
        daemon.write_config(daemon.config.replace("queue_size = 1;", "queue_size = 4;"))
        daemon.reload()
        await_backlog(daemon, "a", 0)
        holder.close()
        for client in waiting:
            client.expect_echo()
            client.close()


def test_a_pool_that_rejects_from_now_on_leaves_nobody_in_the_backlog():
    with Daemon(listeners=listeners("a", more='busy_message = "BUSY\\n";'), pools=pool("queue_size = 1;")) as daemon:
        holder = hold(daemon, "a")
        waiting = [daemon.connect("a") for _ in range(3)]
        await_backlog(daemon, "a", 2)
        daemon.write_config(daemon.config.replace("queue_size = 1;", 'queue_size = 1; queue_full = "reject";'))
        daemon.reload()
        for client in waiting[1:]:
            expect_equal(client.recv_all(), BUSY, "answer of a full queue")
        holder.close()
        waiting[0].expect_echo()


def test_a_listener_that_changes_its_pool_while_it_waits_is_served():
    with Daemon(listeners=listeners("a"), pools=pool("queue_size = 1;")) as daemon:
        holder = hold(daemon, "a")
        waiting = [daemon.connect("a") for _ in range(2)]
        await_backlog(daemon, "a", 1)
        daemon.write_config(daemon.config.replace("one: {", "two: { workers = 1; }; one: {").replace(
            'pool = "one"', 'pool = "two"'))
        daemon.reload()
        waiting[1].expect_echo()
        holder.close()
        waiting[0].expect_echo()


def test_both_of_two_listeners_that_waited_are_served():
    """Room for one is looked for while the other one waits for it: neither loses its turn."""
    with Daemon(listeners=listeners("a", "b"), pools=pool("queue_size = 4;")) as daemon:
        for _ in range(scaled(30, 5)):
            clients = [daemon.connect(name) for _ in range(8) for name in ("a", "b")]
            for client in clients:
                client.send(b"x")
            threads = [threading.Thread(target=lambda c=c: (c.recv_exactly(1), c.close())) for c in clients]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(LIMIT)
                expect(not thread.is_alive(), "a client was never served")


def take_turns(daemon, names, rounds):
    """Each listener's backlog is kept full; which listener is served in each round, one client at a time."""
    waiting = {name: [daemon.connect(name) for _ in range(12)] for name in names}
    served = {name: 0 for name in names}
    for client in (client for clients in waiting.values() for client in clients):
        client.send(b"x")
    while sum(served.values()) < rounds:
        everybody = {client.sock: (name, client) for name, clients in waiting.items() for client in clients}
        ready = wait_readable(list(everybody))
        name, client = everybody[ready]
        client.recv_exactly(1)
        served[name] += 1
        waiting[name].append(daemon.connect(name))
        waiting[name][-1].send(b"x")
        waiting[name].remove(client)
        client.close()
    for clients in waiting.values():
        for client in clients:
            client.close()
    return served


def wait_readable(socks):
    ready, _, _ = select.select(socks, [], [], LIMIT)
    expect(ready, "nobody is served any more")
    return ready[0]


def test_listeners_share_a_pool_evenly_whatever_its_queue():
    for size in (1, 2, 8, 16):
        names = ("a", "b", "c")
        with Daemon(listeners=listeners(*names), pools=pool(f"queue_size = {size};")) as daemon:
            rounds = scaled(240, 90)
            served = take_turns(daemon, names, rounds)
            # What is queued at the beginning came by whoever was first.
            expect(min(served.values()) >= (rounds - size) // 3 - 8, f"queue of {size}: served {served}")


main(globals())
