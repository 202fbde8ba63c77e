#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The bounded queue: what waits, what is told to go, in which order it is served."""
import select
import time

from cpharness import LIMIT, Daemon, expect, expect_equal, main


def one_at_a_time(queue, service="echo"):
    """One worker that serves one connection: whoever holds it makes all others wait."""
    return Daemon(listeners=f'{{ name = "door"; address = "tcp:127.0.0.1:0"; service = "{service}"; pool = "one";'
                            ' busy_message = "come back later\\r\\n"; }',
                  pools=f"one: {{ workers = 1; connections_per_worker = 1; {queue} }};")


def hold(daemon):
    client = daemon.connect("door")
    client.expect_echo(b"mine\n")
    return client


def expect_busy(client):
    expect_equal(client.recv_all(), b"come back later\r\n", "what a rejected client is told")
    client.close()


def test_reject_tells_the_client_and_closes():
    with one_at_a_time('queue_size = 2; queue_full = "reject";') as daemon:
        holder = hold(daemon)
        waiting = [daemon.connect("door") for _ in range(2)]
        for _ in range(5):
            expect_busy(daemon.connect("door"))
        daemon.wait_log(r"listener 'door': refused .*queue-full")
        holder.close()
        for client in waiting:
            client.expect_echo(b"my turn\n")
            client.close()
        # The queue has room again: nothing is switched off.
        again = hold(daemon)
        again.close()


def test_wait_leaves_clients_in_the_backlog_and_serves_them_all():
    with one_at_a_time('queue_size = 2; queue_full = "wait";') as daemon:
        holder = hold(daemon)
        waiting = [daemon.connect("door") for _ in range(20)]
        for number, client in enumerate(waiting):
            client.send(b"number %d\n" % number)
        holder.close()
        for number, client in enumerate(waiting):
            want = b"number %d\n" % number
            expect_equal(client.recv_exactly(len(want)), want, "echo")
            client.close()
        daemon.wait_closed(count=21)
        expect(not daemon.log.find("refused"), "nobody is refused")


def test_a_full_queue_makes_no_busy_loop():
    with one_at_a_time('queue_size = 1; queue_full = "wait";') as daemon:
        holder = hold(daemon)
        waiting = [daemon.connect("door") for _ in range(5)]
        before = daemon.cpu_seconds()
        # A stretch of time to measure in, not a wait for something to happen.
        time.sleep(1)
        used = daemon.cpu_seconds() - before
        expect(used < 0.5, f"{used:.2f} s of processor time in 1 s of waiting")
        holder.close()
        for client in waiting:
            client.expect_echo()
            client.close()


def test_they_are_served_in_the_order_they_came():
    with one_at_a_time("queue_size = 100;") as daemon:
        holder = hold(daemon)
        names = []
        waiting = [daemon.connect("door") for _ in range(30)]
        for client in waiting:
            names.append(client.name())
            client.send(b"x")
            client.shutdown_write()
        mark = daemon.log.mark()
        holder.close()
        for client in waiting:
            expect_equal(client.recv_all(), b"x", "echo")
        served = [daemon.wait_closed(since=mark, count=2 + index)["client"] for index in range(30)]
        expect_equal(served, names, "order")


def test_the_record_says_how_long_it_was_queued():
    with one_at_a_time("queue_size = 100;") as daemon:
        holder = hold(daemon)
        client = daemon.connect("door")
        client.send(b"x")
        begin = time.monotonic()
        time.sleep(0.3)
        waited_ms = (time.monotonic() - begin) * 1000
        holder.close()
        client.recv_exactly(1)
        name = client.name()
        client.close()
        queued = float(daemon.wait_closed(client=name)["queued"])
        expect(queued >= waited_ms - 50, f"queued {queued} ms, waited at least {waited_ms:.0f} ms")


def test_queue_timeout_rejects_what_is_too_old():
    with one_at_a_time('queue_size = 100; queue_timeout = "200ms";') as daemon:
        holder = hold(daemon)
        late = daemon.connect("door")
        late.send(b"x")
        # It must be older than the time-out when the holder goes.
        time.sleep(0.5)
        holder.close()
        try:
            expect_equal(late.recv_all(), b"come back later\r\n", "what it is told")
        except ConnectionResetError:
            raise AssertionError("its own unread byte turned the answer into a reset") from None
        daemon.wait_log(r"listener 'door': refused 1 connection: queue-timeout 1")
        hold(daemon).close()


def test_clients_that_reset_while_they_wait_are_dropped():
    with one_at_a_time("queue_size = 100;") as daemon:
        holder = hold(daemon)
        gone = [daemon.connect("door") for _ in range(5)]
        stays = daemon.connect("door")
        for client in gone:
            client.send(b"never to be read")
            client.reset()
        # Whoever has waited for a moment only is not asked whether he is still there: that costs a system call.
        time.sleep(0.2)
        mark = daemon.log.mark()
        holder.close()
        stays.expect_echo()
        stays.close()
        daemon.wait_log(r"listener 'door': refused 5 connections: queue-reset 5", since=mark)
        daemon.wait_closed(since=mark, count=2)
        expect_equal(len(daemon.log.find(r"closed: ", mark)), 2, "records: the holder and the one that stayed")


def test_clients_that_only_half_close_while_they_wait_are_served():
    with one_at_a_time("queue_size = 100;") as daemon:
        holder = hold(daemon)
        client = daemon.connect("door")
        client.send(b"all I have to say")
        client.shutdown_write()
        holder.close()
        expect_equal(client.recv_all(), b"all I have to say", "echo")


def test_two_listeners_share_one_pool():
    both = ",".join(f'{{ name = "{name}"; address = "tcp:127.0.0.1:0"; service = "echo"; pool = "one"; }}'
                    for name in ("a", "b"))
    with Daemon(listeners=both, pools="one: { workers = 1; connections_per_worker = 1; queue_size = 4; };") as daemon:
        names = ("a", "b", "b", "a", "b", "a", "a", "b")
        with daemon.connect("a") as holder:
            holder.expect_echo()
            waiting = {daemon.connect(name): (name, number) for number, name in enumerate(names)}
        for client in waiting:
            client.send(b"x")
        served = {"a": [], "b": []}
        while waiting:
            ready, _, _ = select.select([client.sock for client in waiting], [], [], LIMIT)
            client = next(client for client in waiting if client.sock in ready)
            expect_equal(client.recv_exactly(1), b"x", "echo")
            name, number = waiting.pop(client)
            served[name].append(number)
            client.close()
        # Between two backlogs the kernel keeps no order; in each of them it does.
        for name, numbers in served.items():
            expect_equal(numbers, sorted(numbers), f"order in which those of '{name}' were served")


main(globals())
