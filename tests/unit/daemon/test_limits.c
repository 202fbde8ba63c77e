/* SPDX-License-Identifier: MIT */
/*
 * limits: the sums in the log, the warning when descriptors are too few, and the way from root to somebody else.
 *
 * Configs are loaded, never put in force. What only root can do is left out for others.
 */
#include "config.h"

#include "daemon/limits.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/errmsg.h"
#include "base/mem.h"
#include "daemonrig.h"
#include "service/blocking.h"
#include "service/session.h"

#define OWN_DESCRIPTORS 32

static struct rlimit limit_before;

/* A hard limit that not even root may raise: the effective user is somebody else for a moment. */
static void
apply_under(const char *text, rlim_t soft, rlim_t hard)
{
	struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
	struct conf *conf = daemonrig_load(text);
	uid_t uid = geteuid();

	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	ck_assert(uid != 0 || seteuid(65534) == 0);
	limits_apply(conf, NULL);
	ck_assert_int_eq(seteuid(uid), 0);
	conf_unref(&conf);
}

static rlim_t
soft_limit(void)
{
	struct rlimit limit;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
	return limit.rlim_cur;
}

static void
set_up(void)
{
	daemonrig_setup();
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
}

/* ---- the sums: a Unix socket with a file takes two descriptors, one of systemd's too ---- */

static void
expect_bounds(unsigned connections, unsigned queued, unsigned descriptors)
{
	char text[128];

	snprintf(text, sizeof(text), "info: bounds: %u connections served and %u queued at once, %u descriptors, ",
		connections, queued, descriptors);
	ck_assert_msg(daemonrig_logged(text), "%s", text);
}

#define TWO_POOLS \
	"pools: { main: { workers = 2; connections_per_worker = 10; queue_size = 5; };\n" \
	"         jobs: { workers = 3; connections_per_worker = 1; queue_size = 7; }; };\n"

START_TEST(a_bound_that_stays_is_not_told_again)
{
	struct conf *before = daemonrig_load(DAEMONRIG_ONE);
	struct conf *same = daemonrig_load(DAEMONRIG_ONE);
	struct conf *other =
		daemonrig_load("pools: { main: { workers = 1; connections_per_worker = 7; }; };\n" DAEMONRIG_ONE);

	limits_apply(same, before);
	ck_assert(!daemonrig_logged("bounds:"));
	limits_apply(other, before);
	ck_assert(daemonrig_logged("info: bounds: 7 connections served"));
	conf_unref(&before);
	conf_unref(&same);
	conf_unref(&other);
}
END_TEST

START_TEST(bounds_are_those_of_all_pools)
{
	apply_under(TWO_POOLS DAEMONRIG_ONE, 1024, limit_before.rlim_max);
	expect_bounds(23, 12, OWN_DESCRIPTORS + 2 * 5 + 2 + 23 + 12);
	ck_assert(!daemonrig_logged("warning"));
	ck_assert_uint_eq(soft_limit(), 1024);
}
END_TEST

START_TEST(every_address_takes_its_descriptors)
{
	apply_under("pools: { main: { workers = 1; connections_per_worker = 1; queue_size = 1; }; };\n"
		    "listeners: ( { name = \"a\"; service = \"echo\"; address = [ \"unix:$/1\", \"unix:$/2\", "
		    "\"unix:$/3\" ]; }, { name = \"b\"; service = \"echo\"; address = \"unix:$/4\"; } );\n",
		1024, limit_before.rlim_max);
	expect_bounds(1, 1, OWN_DESCRIPTORS + 2 + 2 * 4 + 1 + 1);
	daemonrig_forget_log();
	apply_under("pools: { main: { workers = 1; connections_per_worker = 1; queue_size = 1; }; };\n"
		    "listeners: ( { name = \"a\"; service = \"echo\"; address = [ \"unix:@a\", \"tcp:127.0.0.1:0\", "
		    "\"systemd:a\" ]; } );\n",
		1024, limit_before.rlim_max);
	expect_bounds(1, 1, OWN_DESCRIPTORS + 2 + 1 + 1 + 2 + 1 + 1);
}
END_TEST

START_TEST(the_daemons_limit_bounds_the_pools)
{
	apply_under("daemon: { max_connections = 21; };\n" TWO_POOLS DAEMONRIG_ONE, 1024, limit_before.rlim_max);
	expect_bounds(21, 0, OWN_DESCRIPTORS + 2 * 5 + 2 + 21);
	apply_under("daemon: { max_connections = 25; };\n" TWO_POOLS DAEMONRIG_ONE, 1024, limit_before.rlim_max);
	expect_bounds(23, 2, OWN_DESCRIPTORS + 2 * 5 + 2 + 25);
}
END_TEST

/* A descriptor for its copy, and the stacks of the threads that it may use. */
START_TEST(a_module_is_counted)
{
	char text[1024];
	const char *folder = getenv("top_builddir");

	snprintf(text, sizeof(text),
		"pools: { main: { workers = 1; connections_per_worker = 1; queue_size = 1; }; };\n"
		"listeners: ( { name = \"m\"; address = \"unix:$/m\"; service = { type = \"module\"; "
		"path = \"%s/tests/modules/probe-one.so\"; }; } );\n",
		folder != NULL ? folder : ".");
	apply_under(text, 1024, limit_before.rlim_max);
	expect_bounds(1, 1, OWN_DESCRIPTORS + 2 + 2 + 1 + 1 + 1);
	snprintf(text, sizeof(text), ", %u MiB if all", BLOCKING_THREADS_MAX * BLOCKING_STACK_BYTES >> 20);
	ck_assert_msg(daemonrig_logged(text), "%s", text);
}
END_TEST

START_TEST(memory_counts_the_largest_stack)
{
	char text[128];
	uint64_t bytes = 64 * (sizeof(struct session) + 1048576) + 7 * sizeof(struct accepted);

	apply_under("pools: { main: { workers = 1; connections_per_worker = 63; queue_size = 6; };\n"
		    "  jobs: { workers = 1; connections_per_worker = 1; queue_size = 1; stack_size = \"1MiB\"; }; "
		    "};\n" DAEMONRIG_ONE,
		1024, limit_before.rlim_max);
	snprintf(text, sizeof(text), " %zu bytes an idle connection, %u MiB if all", sizeof(struct session),
		(unsigned)(bytes >> 20));
	ck_assert(daemonrig_logged(text));
}
END_TEST

START_TEST(relayed_connections_take_two_descriptors_and_their_buffers)
{
	char text[128];
	uint64_t bytes = 40 * (sizeof(struct session) + 65536) + sizeof(struct accepted) +
			 40 * (sizeof(struct relay) + 2 * 1048576);

	apply_under(
		"pools: { main: { workers = 1; connections_per_worker = 40; queue_size = 1; }; };\n"
		"upstreams: { u: { servers = ( { address = \"unix:$/s\"; ready_connections = 3; } ); }; };\n"
		"listeners: ( { name = \"a\"; address = \"unix:$/1\"; service = { type = \"proxy\"; upstream = \"u\"; "
		"buffer_size = \"1MiB\"; }; } );\n",
		1024, limit_before.rlim_max);
	expect_bounds(40, 1, OWN_DESCRIPTORS + 2 + 2 + 40 + 40 + 1 + 3);
	snprintf(text, sizeof(text), " %zu bytes an idle connection, %u MiB if all",
		sizeof(struct session) + sizeof(struct relay), (unsigned)(bytes >> 20));
	ck_assert(daemonrig_logged(text));
}
END_TEST

START_TEST(soft_limit_is_raised_to_what_is_needed)
{
	apply_under(TWO_POOLS DAEMONRIG_ONE, 64, limit_before.rlim_max);
	ck_assert_uint_eq(soft_limit(), OWN_DESCRIPTORS + 2 * 5 + 2 + 23 + 12);
	ck_assert(!daemonrig_logged("warning"));
}
END_TEST

START_TEST(too_low_a_hard_limit_is_a_warning_with_the_sum)
{
	apply_under(TWO_POOLS DAEMONRIG_ONE, 60, 70);
	ck_assert_uint_eq(soft_limit(), 70);
	ck_assert(daemonrig_logged("warning: 70 descriptors are allowed but 79 may be needed "
				   "(23 connections + 0 to servers + 12 queued + 44 of our own): "));
	/* With that, they are enough. */
	ck_assert(daemonrig_logged(" lower daemon.max_connections to 26\n"));
	daemonrig_forget_log();
	apply_under("daemon: { max_connections = 26; };\n" TWO_POOLS DAEMONRIG_ONE, 60, 70);
	ck_assert(!daemonrig_logged("warning"));
}
END_TEST

/* ---- from root to somebody else -------------------------------------------------------- */

static const char some_user[] = "nobody";

static struct conf
conf_of(const char *user, const char *group)
{
	return (struct conf){.daemon = {.user = (char *)(uintptr_t)user, .group = (char *)(uintptr_t)group}};
}

START_TEST(without_a_user_nothing_is_given_up)
{
	struct conf conf = conf_of(NULL, NULL);
	struct errmsg err = {""};
	uid_t uid = geteuid();

	ck_assert_int_eq(limits_drop_privileges(&conf, &err), 0);
	ck_assert_uint_eq(geteuid(), uid);
}
END_TEST

START_TEST(unknown_user_or_group_is_an_error)
{
	struct conf user = conf_of("no-such-user-here", NULL);
	struct conf group = conf_of(some_user, "no-such-group-here");
	struct errmsg err = {""};

	if (geteuid() != 0)
		return;
	ck_assert_int_lt(limits_drop_privileges(&user, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "daemon.user"));
	ck_assert_int_lt(limits_drop_privileges(&group, &err), 0);
	ck_assert_ptr_nonnull(strstr(err.text, "daemon.group"));
	ck_assert_uint_eq(geteuid(), 0);
}
END_TEST

/* Exit code of the child below: which of its claims failed. */
static int
become_somebody(void)
{
	struct conf conf = conf_of(some_user, NULL);
	const struct passwd *user = getpwnam(some_user);
	struct errmsg err;
	uid_t real, effective, saved;

	if (user == NULL || limits_drop_privileges(&conf, &err) != 0)
		return 1;
	if (getresuid(&real, &effective, &saved) != 0 || real != user->pw_uid || effective != real || saved != real)
		return 2;
	if (getgid() != user->pw_gid || getegid() != user->pw_gid)
		return 3;
	/* For good. */
	if (setuid(0) == 0 || setgid(0) == 0)
		return 4;
	/* Who is nobody special already has nothing to give up. */
	return limits_drop_privileges(&conf, &err) == 0 ? 0 : 5;
}

START_TEST(root_is_given_up_for_good)
{
	int status = -1;
	pid_t pid;

	if (geteuid() != 0)
		return;
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(become_somebody());
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
}
END_TEST

static TCase *
add_case(Suite *suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	tcase_add_checked_fixture(tcase, set_up, daemonrig_teardown);
	suite_add_tcase(suite, tcase);
	return tcase;
}

int
main(void)
{
	Suite *suite = suite_create("daemon/limits");
	TCase *tcase = add_case(suite, "bounds");

	tcase_add_test(tcase, a_bound_that_stays_is_not_told_again);
	tcase_add_test(tcase, bounds_are_those_of_all_pools);
	tcase_add_test(tcase, every_address_takes_its_descriptors);
	tcase_add_test(tcase, the_daemons_limit_bounds_the_pools);
	tcase_add_test(tcase, a_module_is_counted);
	tcase_add_test(tcase, memory_counts_the_largest_stack);
	tcase_add_test(tcase, relayed_connections_take_two_descriptors_and_their_buffers);
	tcase_add_test(tcase, soft_limit_is_raised_to_what_is_needed);
	tcase_add_test(tcase, too_low_a_hard_limit_is_a_warning_with_the_sum);
	tcase = add_case(suite, "privileges");
	tcase_add_test(tcase, without_a_user_nothing_is_given_up);
	tcase_add_test(tcase, unknown_user_or_group_is_an_error);
	tcase_add_test(tcase, root_is_given_up_for_good);
	return daemonrig_run(suite);
}
