/* SPDX-License-Identifier: MIT */
/*
 * test_session_bytes - exact and line reads, files, and the end of our side: what they return, what they leave in the
 * socket, and when they wait.
 */
#include "config.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "callnotes.h"
#include "sessionrig.h"

#define IDLE_MS 5000
#define IDLE "idle_timeout = \"5s\";"
#define FILE_BYTES (3u * 1024 * 1024 + 17)

static struct served served;
static char input[16384];
static size_t input_length;

static void
reset_notes(void)
{
	notes_reset();
	input_length = 0;
	memset(input, 0, sizeof(input));
}

static void
keep(const char *buf, ssize_t n)
{
	if (n <= 0)
		return;
	ck_assert_uint_lt(input_length + (size_t)n, sizeof(input));
	memcpy(input + input_length, buf, (size_t)n);
	input_length += (size_t)n;
}

static void
end_input(void)
{
	ck_assert_int_eq(shutdown(served.client, SHUT_WR), 0);
}

/* ---- cp_recv_exactly ----------------------------------------------------------------------- */

static int
receive_exactly(struct cp_conn *conn)
{
	char buf[8];

	while (note(cp_recv_exactly(conn, buf, sizeof(buf))) == (ssize_t)sizeof(buf))
		keep(buf, sizeof(buf));
	keep(buf, note_results[note_count - 1]);
	return CP_DONE;
}

static const struct cp_handler exact = {.abi = CP_HANDLER_ABI, .name = "exact", .serve = receive_exactly};

START_TEST(exactly_waits_until_all_of_it_has_come)
{
	served_open(&served, &exact, "");
	served_send(&served, "abc");
	rig_turn_some();
	ck_assert_uint_eq(note_count, 0);
	served_send(&served, "defghij");
	rig_turn_some();
	ck_assert_uint_eq(note_count, 1);
	expect_note(0, 8, 0);
	end_input();
	served_finish(&served);
	ck_assert_str_eq(input, "abcdefghij");
	ck_assert_uint_eq(served.bytes_in, 10);
}
END_TEST

START_TEST(exactly_is_less_when_the_client_ends_and_then_0)
{
	served_open(&served, &exact, "");
	served_send(&served, "abc");
	end_input();
	served_finish(&served);
	expect_note(0, 3, 0);
	served_expect_end(&served, CONN_END_CLIENT);
	served_close(&served);
	reset_notes();
	served_begin(&served);
	end_input();
	served_finish(&served);
	expect_note(0, 0, 0);
}
END_TEST

START_TEST(exactly_is_minus_1_when_time_is_over)
{
	served_open(&served, &exact, IDLE);
	served_send(&served, "abc");
	rig_turn_some();
	rig_pass_ms(IDLE_MS);
	expect_note(0, -1, ETIMEDOUT);
	served_close_and_finish(&served);
	served_expect_end(&served, CONN_END_IDLE);
}
END_TEST

static int
receive_nothing(struct cp_conn *conn)
{
	char byte;

	note(cp_recv_exactly(conn, &byte, 0));
	note(cp_recv_exactly(conn, &byte, 1));
	return CP_DONE;
}

static const struct cp_handler receives_nothing = {.abi = CP_HANDLER_ABI, .name = "nothing", .serve = receive_nothing};

START_TEST(exactly_nothing_is_no_end)
{
	served_open(&served, &receives_nothing, "");
	expect_note(0, 0, 0);
	served_send(&served, "x");
	rig_turn_some();
	expect_note(1, 1, 0);
	served_close_and_finish(&served);
}
END_TEST

/* ---- cp_read_line --------------------------------------------------------------------------- */

static size_t line_size = 64;

static int
read_lines(struct cp_conn *conn)
{
	static char buf[8192];

	for (;;) {
		ssize_t n;

		memset(buf, '#', sizeof(buf));
		n = note(cp_read_line(conn, buf, line_size));
		if (n == 0)
			return CP_DONE;
		if (n < 0 && errno == EINVAL)
			return CP_DONE;
		ck_assert_uint_eq(strlen(buf), n < 0 ? strlen(buf) : (size_t)n);
		ck_assert_uint_lt(strlen(buf), line_size);
		keep(buf, (ssize_t)strlen(buf));
		if (n < 0 && errno != EMSGSIZE)
			return CP_DONE;
	}
}

static const struct cp_handler lines = {.abi = CP_HANDLER_ABI, .name = "lines", .serve = read_lines};

static void
open_lines(size_t size, const char *options)
{
	line_size = size;
	served_open(&served, &lines, options);
}

START_TEST(a_line_comes_whole_with_its_end)
{
	open_lines(64, "");
	served_send(&served, "hel");
	rig_turn_some();
	ck_assert_uint_eq(note_count, 0);
	served_send(&served, "lo\r\n");
	rig_turn_some();
	ck_assert_uint_eq(note_count, 1);
	expect_note(0, 7, 0);
	served_close_and_finish(&served);
	expect_note(1, 0, 0);
	ck_assert_str_eq(input, "hello\r\n");
	ck_assert_uint_eq(served.bytes_in, 7);
}
END_TEST

START_TEST(lines_that_came_together_come_one_by_one)
{
	open_lines(64, "");
	served_send(&served, "one\n\nthree\nfo");
	rig_turn_some();
	ck_assert_uint_eq(note_count, 3);
	expect_note(0, 4, 0);
	expect_note(1, 1, 0);
	expect_note(2, 6, 0);
	served_send(&served, "ur\nfive\n");
	rig_turn_some();
	expect_note(3, 5, 0);
	expect_note(4, 5, 0);
	served_close_and_finish(&served);
	expect_note(5, 0, 0);
	ck_assert_str_eq(input, "one\n\nthree\nfour\nfive\n");
}
END_TEST

/* All of it in turns of the fiber's own, without an event: the socket tells of what is behind a line only once. */
START_TEST(many_lines_of_one_edge_all_come)
{
	char text[512] = "";

	for (int i = 0; i < 50; i++)
		strcat(text, "a line\n");
	open_lines(64, "");
	served_send(&served, text);
	rig_turn();
	ck_assert_uint_lt(note_count, 50);
	rig_turn_some();
	ck_assert_uint_eq(note_count, 50);
	served_close_and_finish(&served);
	ck_assert_str_eq(input, text);
}
END_TEST

START_TEST(a_line_sent_byte_by_byte_comes_whole)
{
	const char *text = "slow\nly\n";

	fixture_open("", "", &lines);
	line_size = 64;
	if (_i == 0)
		served_begin(&served);
	else
		served_begin_tcp(&served);
	for (const char *byte = text; *byte != '\0'; byte++) {
		char one[2] = {*byte, '\0'};

		served_send(&served, one);
		rig_turn_some();
	}
	expect_note(0, 5, 0);
	expect_note(1, 3, 0);
	served_close_and_finish(&served);
	ck_assert_str_eq(input, text);
}
END_TEST

START_TEST(the_last_line_needs_no_end)
{
	open_lines(64, "");
	served_send(&served, "first\nlast");
	if (_i == 0)
		rig_turn_some();
	end_input();
	served_finish(&served);
	expect_note(0, 6, 0);
	expect_note(1, 4, 0);
	expect_note(2, 0, 0);
	ck_assert_uint_eq(note_count, 3);
	served_expect_end(&served, CONN_END_CLIENT);
}
END_TEST

START_TEST(a_line_that_just_fits_is_no_error)
{
	open_lines(6, "");
	served_send(&served, "1234\n5\n");
	end_input();
	served_finish(&served);
	expect_note(0, 5, 0);
	expect_note(1, 2, 0);
	expect_note(2, 0, 0);
}
END_TEST

START_TEST(a_line_too_long_comes_in_pieces_each_said_to_be_one)
{
	open_lines(6, "");
	served_send(&served, "1234567890ab\nnext\n");
	end_input();
	served_finish(&served);
	expect_note(0, -1, EMSGSIZE);
	expect_note(1, -1, EMSGSIZE);
	expect_note(2, 3, 0);
	expect_note(3, 5, 0);
	expect_note(4, 0, 0);
	ck_assert_str_eq(input, "1234567890ab\nnext\n");
}
END_TEST

/* Longer than what is looked through at first, and than the next time. */
START_TEST(a_long_line_comes_whole)
{
	char text[6001];

	memset(text, 'x', sizeof(text) - 1);
	text[5995] = '\n';
	text[6000] = '\0';
	open_lines(8192, "");
	served_send(&served, text);
	end_input();
	served_finish(&served);
	expect_note(0, 5996, 0);
	expect_note(1, 4, 0);
	ck_assert_str_eq(input, text);
}
END_TEST

/* A byte sent out of band ends a read short of it, and is not part of the line. */
START_TEST(an_urgent_byte_holds_no_line_up)
{
	fixture_open("", "", &lines);
	line_size = 64;
	served_begin_tcp(&served);
	served_send(&served, "be");
	rig_turn_some();
	ck_assert_int_eq(send(served.client, "!", 1, MSG_OOB), 1);
	served_send(&served, "fore\nafter\n");
	rig_turn_some();
	expect_note(0, 7, 0);
	expect_note(1, 6, 0);
	end_input();
	served_finish(&served);
	ck_assert_str_eq(input, "before\nafter\n");
}
END_TEST

START_TEST(what_came_of_a_line_is_there_when_time_is_over)
{
	/* Or nothing. */
	const char *part = _i == 0 ? "half a li" : "";

	open_lines(64, IDLE);
	served_send(&served, part);
	rig_turn_some();
	rig_pass_ms(IDLE_MS);
	expect_note(0, -1, ETIMEDOUT);
	ck_assert_str_eq(input, part);
	served_close_and_finish(&served);
	served_expect_end(&served, CONN_END_IDLE);
}
END_TEST

START_TEST(every_part_of_a_line_moves_the_idle_deadline)
{
	open_lines(64, IDLE);
	for (int i = 0; i < 3; i++) {
		served_send(&served, "part ");
		rig_turn_some();
		rig_pass_ms(IDLE_MS - 1);
	}
	served_send(&served, "end\n");
	rig_turn_some();
	expect_note(0, 19, 0);
	served_close_and_finish(&served);
}
END_TEST

START_TEST(a_read_of_a_line_ends_with_its_connection)
{
	open_lines(64, "");
	served_send(&served, "half");
	rig_turn_some();
	served_cancel(&served);
	expect_note(0, -1, ECANCELED);
	served_finish(&served);
	served_expect_end(&served, CONN_END_DRAIN);
}
END_TEST

START_TEST(a_line_needs_room_for_a_byte_and_a_nul)
{
	open_lines(1, "");
	expect_note(0, -1, EINVAL);
	served_close_and_finish(&served);
}
END_TEST

static int
read_a_line_then_bytes(struct cp_conn *conn)
{
	char buf[64];

	note(cp_read_line(conn, buf, sizeof(buf)));
	keep(buf, note_results[0]);
	note(cp_recv(conn, buf, sizeof(buf)));
	keep(buf, note_results[1]);
	note(cp_recv(conn, buf, sizeof(buf)));
	return CP_DONE;
}

static const struct cp_handler line_then_bytes = {
	.abi = CP_HANDLER_ABI, .name = "both", .flags = CP_CLIENT_FIRST, .serve = read_a_line_then_bytes};

START_TEST(nothing_beyond_the_line_is_taken)
{
	served_open(&served, &line_then_bytes, "");
	served_send(&served, "POST\n\1\2\3");
	rig_turn_some();
	expect_note(0, 5, 0);
	expect_note(1, 3, 0);
	ck_assert_uint_eq(note_count, 2);
	ck_assert_str_eq(input, "POST\n\1\2\3");
	served_close_and_finish(&served);
	expect_note(2, 0, 0);
}
END_TEST

/* ---- cp_send_file -------------------------------------------------------------------------------- */

static int file_fd = -1;
static off_t file_offset;
static off_t *file_offset_used;
static size_t file_count;
static char *file_bytes;

/* Bytes that show where they belong. */
static void
make_file(void)
{
	file_bytes = malloc(FILE_BYTES);
	ck_assert_ptr_nonnull(file_bytes);
	for (unsigned i = 0; i < FILE_BYTES; i++)
		file_bytes[i] = (char)(i * 2654435761u >> 24);
	file_fd = memfd_create("file", MFD_CLOEXEC);
	ck_assert_int_ge(file_fd, 0);
	ck_assert_int_eq(write(file_fd, file_bytes, FILE_BYTES), FILE_BYTES);
	ck_assert_int_eq(lseek(file_fd, 0, SEEK_SET), 0);
	file_offset = 0;
	file_offset_used = &file_offset;
	file_count = FILE_BYTES;
}

static void
drop_file(void)
{
	fd_close(&file_fd);
	free(file_bytes);
	file_bytes = NULL;
}

static int
send_the_file(struct cp_conn *conn)
{
	note(cp_send_file(conn, file_fd, file_offset_used, file_count));
	return CP_DONE;
}

static const struct cp_handler sends_file = {.abi = CP_HANDLER_ABI, .name = "file", .serve = send_the_file};

/* Reads until there are size bytes, which are those of the file from an offset on. */
static void
take_file(size_t from, size_t size)
{
	static char buf[65536];
	size_t taken = 0;

	while (taken < size) {
		size_t left = size - taken;
		ssize_t n = served_read(&served, buf, left < sizeof(buf) ? left : sizeof(buf));

		rig_turn();
		if (n == -EAGAIN)
			continue;
		ck_assert_int_gt(n, 0);
		ck_assert_int_eq(memcmp(buf, file_bytes + from + taken, (size_t)n), 0);
		taken += (size_t)n;
	}
}

static void
begin_file(int over_tcp)
{
	fixture_open("", "", &sends_file);
	if (over_tcp)
		served_begin_tcp(&served);
	else
		served_begin(&served);
}

START_TEST(a_file_goes_out_whole)
{
	make_file();
	begin_file(_i);
	take_file(0, FILE_BYTES);
	rig_turn_some();
	expect_note(0, FILE_BYTES, 0);
	ck_assert_int_eq(file_offset, FILE_BYTES);
	ck_assert_int_eq(lseek(file_fd, 0, SEEK_CUR), 0);
	served_close_and_finish(&served);
	ck_assert_uint_eq(served.bytes_out, FILE_BYTES);
	drop_file();
}
END_TEST

START_TEST(a_part_of_a_file_is_that_part)
{
	make_file();
	file_offset = 1000;
	file_count = 300000;
	begin_file(1);
	take_file(1000, 300000);
	rig_turn_some();
	expect_note(0, 300000, 0);
	ck_assert_int_eq(file_offset, 301000);
	served_close_and_finish(&served);
	drop_file();
}
END_TEST

START_TEST(without_an_offset_the_file_s_own_moves)
{
	make_file();
	file_offset_used = NULL;
	file_count = 10;
	ck_assert_int_eq(lseek(file_fd, 20, SEEK_SET), 20);
	begin_file(0);
	expect_note(0, 10, 0);
	take_file(20, 10);
	ck_assert_int_eq(lseek(file_fd, 0, SEEK_CUR), 30);
	served_close_and_finish(&served);
	drop_file();
}
END_TEST

START_TEST(a_file_that_ends_early_is_sent_as_far_as_it_goes)
{
	make_file();
	file_offset = FILE_BYTES - 100;
	begin_file(0);
	expect_note(0, 100, 0);
	take_file(FILE_BYTES - 100, 100);
	served_close_and_finish(&served);
	drop_file();
}
END_TEST

static int
send_crumbs(struct cp_conn *conn)
{
	for (int i = 0; i < 2 * BUDGET_CALLS; i++)
		note(cp_send_file(conn, file_fd, NULL, 1));
	return CP_DONE;
}

static const struct cp_handler sends_crumbs = {.abi = CP_HANDLER_ABI, .name = "crumbs", .serve = send_crumbs};

START_TEST(who_sends_files_gives_way_to_the_others)
{
	make_file();
	served_open(&served, &sends_crumbs, "");
	ck_assert_uint_eq(note_count, BUDGET_CALLS);
	ck_assert_int_eq(served_state(&served), SESSION_YIELDED);
	rig_turn_some();
	take_file(0, 2 * BUDGET_CALLS);
	served_close_and_finish(&served);
	drop_file();
}
END_TEST

/* sendfile(2) takes no pipe: it is read and sent, and waited for. */
START_TEST(a_pipe_is_sent_by_way_of_a_buffer)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	file_fd = ends[0];
	file_offset_used = NULL;
	file_count = 1000;
	begin_file(0);
	ck_assert_int_eq(served_state(&served), SESSION_WAITING);
	ck_assert_int_eq(write(ends[1], "from a ", 7), 7);
	rig_turn_some();
	served_expect(&served, "from a ");
	ck_assert_int_eq(write(ends[1], "pipe", 4), 4);
	close(ends[1]);
	rig_turn_some();
	expect_note(0, 11, 0);
	served_expect(&served, "pipe");
	served_close_and_finish(&served);
	fd_close(&file_fd);
}
END_TEST

START_TEST(a_pipe_has_no_offset)
{
	int ends[2];

	ck_assert_int_eq(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
	file_fd = ends[0];
	file_offset_used = &file_offset;
	file_count = 10;
	begin_file(0);
	expect_note(0, -1, ESPIPE);
	served_close_and_finish(&served);
	fd_close(&file_fd);
	close(ends[1]);
}
END_TEST

/* One that has offsets, but that the kernel can't send from. */
START_TEST(a_file_that_is_copied_has_its_offset_moved)
{
	char head[64];
	char tail[64];

	file_fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(file_fd, 0);
	ck_assert_int_gt(pread(file_fd, head, 8, 0), 7);
	file_offset = 2;
	file_offset_used = &file_offset;
	file_count = 5;
	begin_file(0);
	expect_note(0, 5, 0);
	ck_assert_int_eq(file_offset, 7);
	ck_assert_int_eq(served_read(&served, tail, sizeof(tail)), 5);
	ck_assert_int_eq(memcmp(head + 2, tail, 5), 0);
	served_close_and_finish(&served);
	fd_close(&file_fd);
}
END_TEST

START_TEST(every_part_of_a_file_that_is_taken_moves_the_send_deadline)
{
	make_file();
	served_open(&served, &sends_file, "send_timeout = \"5s\";");
	for (int i = 0; i < 3; i++) {
		rig_turn_some();
		ck_assert_uint_eq(note_count, 0);
		rig_pass_ms(IDLE_MS - 1);
		/* So much that the kernel says that there is room again. */
		take_file((size_t)i * 512 * 1024, 512 * 1024);
	}
	ck_assert_uint_eq(note_count, 0);
	rig_pass_ms(IDLE_MS);
	expect_note(0, -1, ETIMEDOUT);
	served_finish(&served);
	drop_file();
}
END_TEST

START_TEST(a_file_for_one_that_is_gone_is_minus_1_and_no_signal)
{
	make_file();
	begin_file(0);
	served_close(&served);
	rig_turn_some();
	ck_assert_int_eq(note_results[0], -1);
	ck_assert(note_errors[0] == EPIPE || note_errors[0] == ECONNRESET);
	ck_assert_int_lt(file_offset, FILE_BYTES);
	rig_pass_ms(LINGER_GLANCE_MS);
	served_finish(&served);
	drop_file();
}
END_TEST

START_TEST(a_file_nobody_takes_is_given_up_in_time)
{
	make_file();
	served_open(&served, &sends_file, "send_timeout = \"5s\";");
	rig_turn_some();
	rig_pass_ms(IDLE_MS);
	expect_note(0, -1, ETIMEDOUT);
	served_finish(&served);
	served_expect_end(&served, CONN_END_SEND_TIMEOUT);
	ck_assert_uint_eq(served.bytes_out, (uint64_t)file_offset);
	drop_file();
}
END_TEST

/* ---- cp_shutdown ------------------------------------------------------------------------------------ */

static int
say_goodbye_and_listen(struct cp_conn *conn)
{
	char buf[64];

	cp_send(conn, "bye", 3);
	note(cp_shutdown(conn));
	note(cp_send(conn, "more", 4));
	keep(buf, note(cp_recv(conn, buf, sizeof(buf))));
	return CP_DONE;
}

static const struct cp_handler says_goodbye = {.abi = CP_HANDLER_ABI, .name = "bye", .serve = say_goodbye_and_listen};

START_TEST(after_a_shutdown_the_client_reads_the_end_and_may_go_on)
{
	char buf[8];

	fixture_open("", "", &says_goodbye);
	served_begin_tcp(&served);
	expect_note(0, 0, 0);
	expect_note(1, -1, EPIPE);
	served_expect(&served, "bye");
	ck_assert_int_eq(served_read(&served, buf, sizeof(buf)), 0);
	served_send(&served, "answer");
	rig_turn_some();
	expect_note(2, 6, 0);
	ck_assert_str_eq(input, "answer");
	served_close_and_finish(&served);
	served_expect_end(&served, CONN_END_SERVICE);
}
END_TEST

static TCase *
calls_case(Suite *suite, const char *name)
{
	TCase *tc = rig_case(suite, name);

	tcase_add_checked_fixture(tc, reset_notes, NULL);
	return tc;
}

int
main(void)
{
	Suite *suite = suite_create("service/session_bytes");
	sigset_t pipe_signal;
	TCase *tc;

	/* As the daemon has it. */
	sigemptyset(&pipe_signal);
	sigaddset(&pipe_signal, SIGPIPE);
	sigprocmask(SIG_BLOCK, &pipe_signal, NULL);
	tc = calls_case(suite, "cp_recv_exactly");
	tcase_add_test(tc, exactly_waits_until_all_of_it_has_come);
	tcase_add_test(tc, exactly_is_less_when_the_client_ends_and_then_0);
	tcase_add_test(tc, exactly_is_minus_1_when_time_is_over);
	tcase_add_test(tc, exactly_nothing_is_no_end);
	tc = calls_case(suite, "cp_read_line");
	tcase_add_test(tc, a_line_comes_whole_with_its_end);
	tcase_add_test(tc, lines_that_came_together_come_one_by_one);
	tcase_add_test(tc, many_lines_of_one_edge_all_come);
	tcase_add_loop_test(tc, a_line_sent_byte_by_byte_comes_whole, 0, 2);
	tcase_add_loop_test(tc, the_last_line_needs_no_end, 0, 2);
	tcase_add_test(tc, a_line_that_just_fits_is_no_error);
	tcase_add_test(tc, a_line_too_long_comes_in_pieces_each_said_to_be_one);
	tcase_add_test(tc, a_long_line_comes_whole);
	tcase_add_test(tc, an_urgent_byte_holds_no_line_up);
	tcase_add_loop_test(tc, what_came_of_a_line_is_there_when_time_is_over, 0, 2);
	tcase_add_test(tc, every_part_of_a_line_moves_the_idle_deadline);
	tcase_add_test(tc, a_read_of_a_line_ends_with_its_connection);
	tcase_add_test(tc, a_line_needs_room_for_a_byte_and_a_nul);
	tcase_add_test(tc, nothing_beyond_the_line_is_taken);
	tc = calls_case(suite, "cp_send_file");
	tcase_add_loop_test(tc, a_file_goes_out_whole, 0, 2);
	tcase_add_test(tc, a_part_of_a_file_is_that_part);
	tcase_add_test(tc, without_an_offset_the_file_s_own_moves);
	tcase_add_test(tc, a_file_that_ends_early_is_sent_as_far_as_it_goes);
	tcase_add_test(tc, who_sends_files_gives_way_to_the_others);
	tcase_add_test(tc, a_pipe_is_sent_by_way_of_a_buffer);
	tcase_add_test(tc, a_pipe_has_no_offset);
	tcase_add_test(tc, a_file_that_is_copied_has_its_offset_moved);
	tcase_add_test(tc, every_part_of_a_file_that_is_taken_moves_the_send_deadline);
	tcase_add_test(tc, a_file_for_one_that_is_gone_is_minus_1_and_no_signal);
	tcase_add_test(tc, a_file_nobody_takes_is_given_up_in_time);
	tc = calls_case(suite, "cp_shutdown");
	tcase_add_test(tc, after_a_shutdown_the_client_reads_the_end_and_may_go_on);
	return fixture_run(suite);
}
