#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Reloads under load, configs alternating, every tenth one broken: no client notices, nothing is left behind.

CP_RELOADS says how many reloads (60); CP_CLIENTS how many clients of each kind (8).
"""
import os
import threading

from cpharness import Daemon, eventually, expect, expect_equal, main, make_config, scaled

RELOADS = int(os.environ.get("CP_RELOADS", "60"))
CLIENTS = int(os.environ.get("CP_CLIENTS", "8"))


def config(number):
    """Alternates in everything that a reload can change, on listeners whose addresses stay."""
    odd = number % 2
    listeners = (
        f'{{ name = "stay"; address = "unix:@DIR@/stay.sock"; service = "echo"; idle_timeout = "{300 + odd}s"; '
        f'max_per_source = {1000 + odd}; pool = "p"; }}',
        f'{{ name = "tcp"; address = "tcp:127.0.0.1:0"; service = "echo"; backlog = {4000 + odd}; '
        f'pool = "{"pq"[odd]}"; }}',
        '{ name = "comes"; address = "unix:@DIR@/comes.sock"; service = "daytime"; }' if odd else "")
    return make_config(
        listeners=",".join(filter(None, listeners)),
        pools=f"p: {{ workers = {1 + 2 * odd}; queue_size = {64 + 64 * odd}; }}; q: {{ workers = {2 + odd}; }};",
        log="connections = true;")


def broken(number):
    return config(number).replace("queue_size", "queue_sise")


class Load:
    """Clients in threads: some talk on and on, some come for one word; each byte is checked."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.stop = threading.Event()
        self.trouble = []
        self.connections = self.words = 0
        self.lock = threading.Lock()
        kinds = [(kind, name) for kind in (self.talk_on, self.come_and_go) for name in ("stay", "tcp")]
        self.threads = [threading.Thread(target=self.guard, args=kinds[index % len(kinds)])
                        for index in range(2 * CLIENTS)]
        for thread in self.threads:
            thread.start()

    def guard(self, kind, name):
        try:
            kind(name)
        except BaseException as error:
            self.trouble.append(f"{kind.__name__} on {name}: {error!r}")
            self.stop.set()

    def count(self, connections, words):
        with self.lock:
            self.connections += connections
            self.words += words

    def talk_on(self, name):
        data, words = os.urandom(700), 0
        with self.daemon.connect(name) as client:
            while not self.stop.is_set():
                client.expect_echo(data)
                words += 1
            client.shutdown_write()
            client.expect_end()
        self.count(1, words)

    def come_and_go(self, name):
        data, words = os.urandom(100), 0
        while not self.stop.is_set():
            with self.daemon.connect(name) as client:
                client.send(data)
                client.shutdown_write()
                expect_equal(client.recv_all(), data, "echo")
            words += 1
        self.count(words, words)

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()
        expect_equal(self.trouble, [], "trouble of clients")


def test_no_client_notices_and_nothing_is_left():
    with Daemon(config(0)) as daemon:
        before = {"threads": daemon.thread_count(), "descriptors": daemon.fd_count()}
        load = Load(daemon)
        good = failed = 0
        for number in range(1, scaled(RELOADS, 20) + 1):
            if load.trouble:
                break
            if number % 10 == 0:
                daemon.reload(broken(number))
                failed += 1
            else:
                daemon.reload(config(number))
                good += 1
        load.end()
        daemon.reload(config(0))
        print(f"  {good} good and {failed} broken reloads; {load.connections} connections, {load.words} words echoed")
        expect(load.words > good, "the load was one")
        daemon.wait_accounted(load.connections)
        expect_equal(len(daemon.log.find(r"refused|queue-")), 0, "refusals")

        def now():
            return {"threads": daemon.thread_count(), "descriptors": daemon.fd_count()}

        # The main thread opens one descriptor for good when it is under load for the first time.
        def is_back():
            return now()["threads"] == before["threads"] and now()["descriptors"] - before["descriptors"] in (0, 1)
        eventually(is_back, lambda: f"now {now()}, before {before}")


main(globals())
