/* SPDX-License-Identifier: MIT */
/*
 * test_relay - bytes between two sockets: that all of them arrive, in their order, that ends are passed on behind them,
 * that no more than the limit is held, and who is said to have failed.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "relayrig.h"

#define KIB 1024u
#define MIB (1024u * KIB)
/* As relay.c has them. */
#define PIPES_LENT_MAX 32u
#define READS_PER_TURN 16u

static struct rig rig;

static enum relay_side
other(enum relay_side side)
{
	return side == RELAY_CLIENT ? RELAY_SERVER : RELAY_CLIENT;
}

/* _i counts kinds and sides. */
static enum rig_kind
kind_of(int i)
{
	return (enum rig_kind)(i % 2);
}

static enum relay_side
side_of(int i)
{
	return (i / 2) % 2 == 0 ? RELAY_CLIENT : RELAY_SERVER;
}

/* ---- moving --------------------------------------------------------------------------- */

START_TEST(bytes_go_both_ways_and_are_counted)
{
	rig_open(&rig, kind_of(_i), 64 * KIB);
	rig_send(&rig, RELAY_CLIENT, "question");
	rig_expect(&rig, RELAY_SERVER, "question");
	rig_now_ms += 50;
	rig_send(&rig, RELAY_SERVER, "the answer");
	rig_expect(&rig, RELAY_CLIENT, "the answer");
	ck_assert_uint_eq(rig.relay->ends[RELAY_CLIENT].received, 8);
	ck_assert_uint_eq(rig.relay->ends[RELAY_CLIENT].sent, 10);
	ck_assert_uint_eq(rig.relay->ends[RELAY_SERVER].received, 10);
	ck_assert_uint_eq(rig.relay->ends[RELAY_SERVER].sent, 8);
	ck_assert_uint_eq(rig.relay->moved_ms, rig_now_ms);
	ck_assert_int_eq(rig.progress, RELAY_WAITS);
	rig_close(&rig);
}
END_TEST

START_TEST(the_server_may_speak_first)
{
	rig_open(&rig, kind_of(_i), 64 * KIB);
	rig_send(&rig, RELAY_SERVER, "220 ready\r\n");
	rig_expect(&rig, RELAY_CLIENT, "220 ready\r\n");
	rig_close(&rig);
}
END_TEST

START_TEST(small_messages_need_no_pipe_and_leave_nothing_held)
{
	rig_open(&rig, kind_of(_i), 64 * KIB);
	for (int i = 0; i < 20; i++) {
		rig_send(&rig, RELAY_CLIENT, "ping");
		rig_expect(&rig, RELAY_SERVER, "ping");
	}
	ck_assert_uint_eq(rig_splices, 0);
	ck_assert_int_eq(rig_pool.pipe[0], -1);
	ck_assert(!relay_wants_output(rig.relay, RELAY_CLIENT));
	ck_assert(!relay_wants_output(rig.relay, RELAY_SERVER));
	ck_assert_uint_eq(relay_stalled_since_ms(rig.relay), UINT64_MAX);
	rig_close(&rig);
}
END_TEST

/* Both ways at once, in every combination of a kind of socket and of what may be held. */
START_TEST(all_bytes_arrive_in_their_order_through_little_memory)
{
	static const uint32_t limits[] = {4 * KIB, 32 * KIB, 256 * KIB, 2 * MIB};
	struct stream up = {.from = RELAY_CLIENT, .length = MIB};
	struct stream down = {.from = RELAY_SERVER, .length = MIB + 4711};

	rig_open(&rig, kind_of(_i), limits[_i / 2]);
	rig_shrink(&rig);
	for (unsigned i = 0; i < 200000 && (up.taken < up.length || down.taken < down.length); i++) {
		size_t moved = stream_send(&rig, &up) + stream_send(&rig, &down);

		moved += stream_take(&rig, &up, 700 + i % 4000) + stream_take(&rig, &down, 7000 - i % 4000);
		rig_turn(&rig, moved > 0 ? 0 : 2);
	}
	ck_assert_uint_eq(up.taken, up.length);
	ck_assert_uint_eq(down.taken, down.length);
	ck_assert_uint_eq(rig.relay->ends[RELAY_CLIENT].received, up.length);
	ck_assert_uint_eq(rig.relay->ends[RELAY_CLIENT].sent, down.length);
	rig_close(&rig);
}
END_TEST

/* A telnet client's interrupt. The kernel ends a read at the mark, though there is more behind it. */
START_TEST(urgent_bytes_do_not_stop_what_comes_behind_them)
{
	rig_open(&rig, RIG_TCP, 64 * KIB);
	rig_send(&rig, RELAY_CLIENT, "before");
	ck_assert_int_eq(send(rig.peers[RELAY_CLIENT], "!", 1, MSG_OOB), 1);
	rig_send(&rig, RELAY_CLIENT, "behind");
	rig_expect(&rig, RELAY_SERVER, "beforebehind");
	rig_close(&rig);
}
END_TEST

/* ---- ends -------------------------------------------------------------------------------- */

START_TEST(one_sides_end_is_passed_on_and_the_other_may_still_speak)
{
	enum relay_side side = side_of(_i);

	rig_open(&rig, kind_of(_i), 64 * KIB);
	rig_send(&rig, side, "last words");
	rig_end(&rig, side);
	rig_expect(&rig, other(side), "last words");
	rig_expect_end(&rig, other(side));
	ck_assert_int_eq(rig.progress, RELAY_WAITS);
	ck_assert_int_eq(rig.relay->first_end, side);
	ck_assert(rig.relay->ends[side].ended);
	rig_send(&rig, other(side), "an answer");
	rig_expect(&rig, side, "an answer");
	rig_end(&rig, other(side));
	rig_expect_over(&rig);
	ck_assert_int_eq(rig.relay->error, 0);
	ck_assert_int_eq(rig.relay->first_end, side);
	rig_close(&rig);
}
END_TEST

START_TEST(an_end_is_a_move)
{
	rig_open(&rig, kind_of(_i), 64 * KIB);
	rig_send(&rig, RELAY_CLIENT, "x");
	rig_expect(&rig, RELAY_SERVER, "x");
	rig_now_ms += 60 * 60 * 1000;
	rig_end(&rig, RELAY_CLIENT);
	rig_expect_end(&rig, RELAY_SERVER);
	/* Or a time-out for one that is half closed would count from what was long before. */
	ck_assert_uint_eq(rig.relay->moved_ms, rig_now_ms);
	rig_close(&rig);
}
END_TEST

START_TEST(a_peer_that_closes_has_its_words_delivered)
{
	enum relay_side side = side_of(_i);

	rig_open(&rig, kind_of(_i), 64 * KIB);
	rig_send(&rig, side, "bye");
	fd_close(&rig.peers[side]);
	rig_expect(&rig, other(side), "bye");
	rig_expect_end(&rig, other(side));
	rig_end(&rig, other(side));
	rig_expect_over(&rig);
	ck_assert_int_eq(rig.relay->error, 0);
	rig_close(&rig);
}
END_TEST

START_TEST(an_end_comes_behind_what_is_held)
{
	struct stream stream = {.from = side_of(_i), .length = 64 * MIB};

	rig_open(&rig, kind_of(_i), _i < 4 ? 8 * KIB : 256 * KIB);
	rig_shrink(&rig);
	stream_fill(&rig, &stream);
	ck_assert_uint_lt(stream.sent, stream.length);
	stream.length = stream.sent;
	rig_end(&rig, stream.from);
	rig_settle(&rig);
	ck_assert(rig.relay->ends[other(stream.from)].held != NULL);
	ck_assert_int_eq(rig.relay->first_end, -1);
	stream_finish(&rig, &stream);
	rig_expect_end(&rig, other(stream.from));
	rig_close(&rig);
}
END_TEST

/* ---- holding ------------------------------------------------------------------------------- */

START_TEST(a_slow_reader_stops_the_fast_writer)
{
	static const uint32_t limits[] = {4 * KIB, 64 * KIB, 256 * KIB};
	struct stream stream = {.from = side_of(_i), .length = 64 * MIB};
	enum relay_side to = other(stream.from);

	rig_open(&rig, kind_of(_i), limits[_i / 4]);
	rig_shrink(&rig);
	stream_fill(&rig, &stream);
	ck_assert_uint_lt(stream.sent, 16 * MIB);
	ck_assert(relay_wants_output(rig.relay, to));
	ck_assert(!relay_wants_output(rig.relay, stream.from));
	ck_assert_uint_gt(rig.relay->ends[stream.from].received, rig.relay->ends[to].sent);
	/* The other way goes on. */
	rig_send(&rig, to, "still here");
	rig_expect(&rig, stream.from, "still here");
	stream.length = stream.sent + 100 * KIB;
	stream_finish(&rig, &stream);
	ck_assert(!relay_wants_output(rig.relay, to));
	rig_close(&rig);
}
END_TEST

/* Over Unix sockets: TCP's buffers may grow on the way, and then it has taken something. */
START_TEST(it_stalls_since_its_end_has_taken_nothing)
{
	struct stream stream = {.from = RELAY_CLIENT, .length = 64 * MIB};
	uint64_t began_ms = rig_now_ms;

	rig_open(&rig, RIG_UNIX, 256 * KIB);
	rig_shrink(&rig);
	stream_fill(&rig, &stream);
	ck_assert_uint_eq(relay_stalled_since_ms(rig.relay), began_ms);
	rig_now_ms += 700;
	rig_settle(&rig);
	ck_assert_uint_eq(relay_stalled_since_ms(rig.relay), began_ms);
	for (uint64_t sent = rig.relay->ends[RELAY_SERVER].sent; sent == rig.relay->ends[RELAY_SERVER].sent;) {
		(void)stream_take(&rig, &stream, 16384);
		rig_turn(&rig, 2);
	}
	ck_assert_uint_eq(relay_stalled_since_ms(rig.relay), rig_now_ms);
	ck_assert_uint_eq(rig.relay->moved_ms, rig_now_ms);
	rig_close(&rig);
}
END_TEST

START_TEST(what_is_held_may_be_given_up)
{
	struct stream stream = {.from = RELAY_SERVER, .length = 64 * MIB};

	rig_open(&rig, RIG_UNIX, _i == 0 ? 8 * KIB : MIB);
	stream_fill(&rig, &stream);
	ck_assert(relay_wants_output(rig.relay, RELAY_CLIENT));
	ck_assert_uint_eq(rig_pool.pipes_lent, (unsigned)_i);
	/* The teardown counts pipes and descriptors. */
	rig_close(&rig);
	ck_assert_uint_eq(rig_pool.pipes_lent, 0);
}
END_TEST

/* ---- splicing -------------------------------------------------------------------------------- */

START_TEST(bulk_is_spliced_until_it_slows_down)
{
	struct stream stream = {.from = side_of(_i), .length = 8 * MIB};
	unsigned splices;

	rig_open(&rig, kind_of(_i), MIB);
	stream_finish(&rig, &stream);
	ck_assert_uint_gt(rig_splices, 0);
	for (int i = 0; i < 100 && rig.relay->ends[stream.from].bulk > 0; i++) {
		rig_send(&rig, stream.from, "slow");
		rig_expect(&rig, other(stream.from), "slow");
	}
	ck_assert_uint_eq(rig.relay->ends[stream.from].bulk, 0);
	splices = rig_splices;
	rig_send(&rig, stream.from, "slow");
	rig_expect(&rig, other(stream.from), "slow");
	ck_assert_uint_eq(rig_splices, splices);
	rig_close(&rig);
}
END_TEST

START_TEST(what_cannot_be_spliced_is_copied)
{
	struct stream stream = {.from = RELAY_CLIENT, .length = 4 * MIB};

	rig_splice_is_inval = _i == 0;
	rig_has_no_pipes = _i == 1;
	rig_open(&rig, RIG_UNIX, MIB);
	stream_finish(&rig, &stream);
	ck_assert_uint_eq(rig_splices, _i == 0 ? 1 : 0);
	ck_assert_int_eq(rig.relay->ends[RELAY_CLIENT].unspliceable, (_i == 0));
	ck_assert_int_eq(rig.relay->error, 0);
	rig_close(&rig);
}
END_TEST

START_TEST(no_more_pipes_are_lent_than_there_may_be)
{
	static struct rig rigs[PIPES_LENT_MAX + 2];
	static struct stream streams[PIPES_LENT_MAX + 2];

	for (unsigned i = 0; i < PIPES_LENT_MAX + 2; i++) {
		streams[i] = (struct stream){.from = RELAY_CLIENT, .length = 16 * MIB};
		rig_open(&rigs[i], RIG_UNIX, 128 * KIB);
		stream_fill(&rigs[i], &streams[i]);
		ck_assert_uint_eq(rig_pool.pipes_lent, i < PIPES_LENT_MAX ? i + 1 : PIPES_LENT_MAX);
		ck_assert(relay_wants_output(rigs[i].relay, RELAY_SERVER));
	}
	for (unsigned i = 0; i < PIPES_LENT_MAX + 2; i++) {
		streams[i].length = streams[i].sent + 64 * KIB;
		stream_finish(&rigs[i], &streams[i]);
		rig_close(&rigs[i]);
	}
	ck_assert_uint_eq(rig_pool.pipes_lent, 0);
}
END_TEST

/* ---- errors ------------------------------------------------------------------------------------ */

START_TEST(a_reset_is_told_of_the_side_that_sent_it)
{
	enum relay_side side = side_of(_i * 2);

	rig_open(&rig, RIG_TCP, 64 * KIB);
	rig_send(&rig, side, "hello");
	rig_expect(&rig, other(side), "hello");
	rig_reset(&rig, side);
	rig_expect_over(&rig);
	ck_assert_int_eq(rig.relay->error, ECONNRESET);
	ck_assert_int_eq(rig.relay->failed, side);
	ck_assert_int_eq(relay_run(rig.relay, rig_now_ms), RELAY_OVER);
	rig_close(&rig);
}
END_TEST

START_TEST(a_reset_ends_it_while_bytes_are_held_for_that_side)
{
	struct stream stream = {.from = other(side_of(_i * 2)), .length = 64 * MIB};
	enum relay_side side = side_of(_i * 2);

	rig_open(&rig, RIG_TCP, _i < 2 ? 8 * KIB : 256 * KIB);
	rig_shrink(&rig);
	stream_fill(&rig, &stream);
	ck_assert(relay_wants_output(rig.relay, side));
	rig_reset(&rig, side);
	rig_expect_over(&rig);
	ck_assert_int_eq(rig.relay->failed, side);
	ck_assert(rig.relay->error == ECONNRESET || rig.relay->error == EPIPE);
	rig_close(&rig);
}
END_TEST

START_TEST(writing_to_one_that_is_gone_is_its_failure)
{
	enum relay_side side = side_of(_i * 2);

	rig_open(&rig, RIG_UNIX, 64 * KIB);
	fd_close(&rig.peers[side]);
	rig_settle(&rig);
	ck_assert_int_eq(rig.relay->first_end, side);
	rig_send(&rig, other(side), "anybody?");
	rig_expect_over(&rig);
	ck_assert_int_eq(rig.relay->error, EPIPE);
	ck_assert_int_eq(rig.relay->failed, side);
	rig_close(&rig);
}
END_TEST

/* A server that answers before it has read all, and closes: the answer is there, and must not be lost for the error. */
START_TEST(what_one_said_before_it_went_still_arrives)
{
	enum relay_side side = side_of(_i);

	rig_open(&rig, kind_of(_i), 64 * KIB);
	rig_send(&rig, other(side), "first part");
	rig_expect(&rig, side, "first part");
	rig_send(&rig, side, "413 too large");
	rig_send(&rig, other(side), "second part");
	fd_close(&rig.peers[side]);
	rig_expect(&rig, other(side), "413 too large");
	if (kind_of(_i) == RIG_UNIX)
		rig_expect_end(&rig, other(side));
	rig_expect_over(&rig);
	ck_assert_int_eq(rig.relay->failed, side);
	rig_close(&rig);
}
END_TEST

START_TEST(no_memory_for_a_relay_is_null)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	for (unsigned i = 1; i <= 2; i++) {
		mem_fail_after(i);
		ck_assert_ptr_null(relay_new(&rig_pool, fds[0], fds[1], 4096));
	}
	mem_fail_after(0);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}
END_TEST

/* In a buffer, and in a pipe. */
START_TEST(no_memory_to_hold_bytes_fails_it)
{
	struct stream stream = {.from = RELAY_CLIENT, .length = 64 * MIB};

	rig_open(&rig, RIG_UNIX, _i == 0 ? 8 * KIB : MIB);
	mem_fail_after(1);
	for (int i = 0; i < 1000 && rig.progress != RELAY_OVER; i++) {
		(void)stream_send(&rig, &stream);
		rig_turn(&rig, 2);
	}
	mem_fail_after(0);
	ck_assert_int_eq(rig.progress, RELAY_OVER);
	ck_assert_int_eq(rig.relay->error, ENOMEM);
	ck_assert_int_eq(rig.relay->failed, RELAY_SERVER);
	ck_assert_int_eq((rig_splices > 0), (_i == 1));
	ck_assert_int_eq(rig_pool.pipe[0], -1);
	rig_close(&rig);
}
END_TEST

/* ---- turns and the pool --------------------------------------------------------------------------- */

START_TEST(it_lets_the_others_go_first_after_its_turn)
{
	struct stream stream = {.from = side_of(_i), .length = 2 * READS_PER_TURN * 1024 + 1};
	enum relay_side to = other(stream.from);

	rig_open(&rig, kind_of(_i), 1024);
	while (stream.sent < stream.length)
		(void)stream_send(&rig, &stream);
	for (uint64_t before = 0; before < stream.length; before = rig.relay->ends[to].sent) {
		rig_turn(&rig, 2);
		ck_assert_uint_le(rig.relay->ends[to].sent - before, READS_PER_TURN * 1024);
		if (rig.relay->ends[to].sent - before == READS_PER_TURN * 1024)
			ck_assert_int_eq(rig.progress, RELAY_AGAIN);
	}
	rig_settle(&rig);
	ck_assert_int_eq(rig.progress, RELAY_WAITS);
	rig_close(&rig);
}
END_TEST

START_TEST(a_pool_gives_back_what_it_keeps)
{
	struct stream stream = {.from = RELAY_CLIENT, .length = 4 * MIB};
	int descriptors;

	relay_pool_trim(&rig_pool);
	relay_pool_fini(&rig_pool);
	rig_open(&rig, RIG_UNIX, MIB);
	descriptors = fd_count_open();
	stream_finish(&rig, &stream);
	ck_assert_int_eq(fd_count_open(), descriptors + 2);
	relay_pool_trim(&rig_pool);
	ck_assert_int_eq(fd_count_open(), descriptors);
	relay_pool_trim(&rig_pool);
	stream.length += 4 * MIB;
	stream_finish(&rig, &stream);
	rig_close(&rig);
	relay_pool_fini(&rig_pool);
	relay_pool_fini(&rig_pool);
	relay_free(&rig.relay);
}
END_TEST

static void
add_moving(Suite *suite)
{
	TCase *tc = rig_case(suite, "moving");

	tcase_add_loop_test(tc, bytes_go_both_ways_and_are_counted, 0, 2);
	tcase_add_loop_test(tc, the_server_may_speak_first, 0, 2);
	tcase_add_loop_test(tc, small_messages_need_no_pipe_and_leave_nothing_held, 0, 2);
	tcase_add_loop_test(tc, all_bytes_arrive_in_their_order_through_little_memory, 0, 8);
	tcase_add_test(tc, urgent_bytes_do_not_stop_what_comes_behind_them);
	tc = rig_case(suite, "ends");
	tcase_add_loop_test(tc, one_sides_end_is_passed_on_and_the_other_may_still_speak, 0, 4);
	tcase_add_loop_test(tc, an_end_is_a_move, 0, 2);
	tcase_add_loop_test(tc, a_peer_that_closes_has_its_words_delivered, 0, 4);
	tcase_add_loop_test(tc, an_end_comes_behind_what_is_held, 0, 8);
	tc = rig_case(suite, "holding");
	tcase_add_loop_test(tc, a_slow_reader_stops_the_fast_writer, 0, 12);
	tcase_add_test(tc, it_stalls_since_its_end_has_taken_nothing);
	tcase_add_loop_test(tc, what_is_held_may_be_given_up, 0, 2);
}

static void
add_failing(Suite *suite)
{
	TCase *tc = rig_case(suite, "splicing");

	tcase_add_loop_test(tc, bulk_is_spliced_until_it_slows_down, 0, 4);
	tcase_add_loop_test(tc, what_cannot_be_spliced_is_copied, 0, 2);
	tcase_add_test(tc, no_more_pipes_are_lent_than_there_may_be);
	tc = rig_case(suite, "errors");
	tcase_add_loop_test(tc, a_reset_is_told_of_the_side_that_sent_it, 0, 2);
	tcase_add_loop_test(tc, a_reset_ends_it_while_bytes_are_held_for_that_side, 0, 4);
	tcase_add_loop_test(tc, writing_to_one_that_is_gone_is_its_failure, 0, 2);
	tcase_add_loop_test(tc, what_one_said_before_it_went_still_arrives, 0, 4);
	tcase_add_test(tc, no_memory_for_a_relay_is_null);
	tcase_add_loop_test(tc, no_memory_to_hold_bytes_fails_it, 0, 2);
	tc = rig_case(suite, "turns");
	tcase_add_loop_test(tc, it_lets_the_others_go_first_after_its_turn, 0, 4);
	tcase_add_test(tc, a_pool_gives_back_what_it_keeps);
}

int
main(void)
{
	Suite *suite = suite_create("engine/relay");
	SRunner *runner;
	int failed;

	add_moving(suite);
	add_failing(suite);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
