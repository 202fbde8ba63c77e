#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""connpool-client send: what exactly is sent, and what becomes of the answer."""
import threading

from clientlib import Server, echo, expect, expect_equal, expect_status, main, read_all, reset, run


def words_are_a_line():
    with Server(echo) as server:
        for words, sent in ((["hello"], b"hello\n"), (["two", "words"], b"two words\n"), (["-n", "bare"], b"bare"),
                            (["--", "-n", "--x"], b"-n --x\n"), ([""], b"\n"), (["-n", ""], b"")):
            done = run("send", server.address, *words)
            expect_status(done, 0)
            expect_equal(done.stdout, sent, f"send {words}")


def standard_input_is_left_alone():
    with Server(echo) as server:
        done = run("send", server.address, "text", input=b"not this")
        expect_equal(done.stdout, b"text\n", "output")


def the_answer_may_come_after_the_end():
    def serve(connection):
        connection.sendall(b"<" + read_all(connection) + b">" * 100000)

    with Server(serve) as server:
        done = run("send", server.address, "question")
        expect_status(done, 0)
        expect_equal(done.stdout, b"<question\n" + b">" * 100000, "answer")


def a_reset_is_a_failure():
    def serve(connection):
        connection.recv(100)
        reset(connection)

    with Server(serve) as server:
        done = run("send", server.address, "question")
        expect_status(done, 1)
        expect(b"reset" in done.stderr.lower() or b"ended the connection" in done.stderr, done.stderr)


def an_answer_before_the_question_was_read_is_kept():
    over = threading.Event()

    def serve(connection):
        connection.sendall(b"no time\n")
        over.wait(10)

    with Server(serve) as server:
        done = run("send", "-i", "200ms", server.address, "question")
        over.set()
        expect_equal((done.returncode, done.stdout), (1, b"no time\n"), "status and output")


main(words_are_a_line, standard_input_is_left_alone, the_answer_may_come_after_the_end, a_reset_is_a_failure,
     an_answer_before_the_question_was_read_is_kept)
