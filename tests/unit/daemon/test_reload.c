/* SPDX-License-Identifier: MIT */
/*
 * reload: from a file to what is in force, what the log and the service manager hear of it, and that a bad file changes
 * nothing.
 */
#include "config.h"

#include "daemon/reload.h"

#include <fcntl.h>
#include <pwd.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/log.h"
#include "daemonrig.h"

#define LOG_STOP_MS 10000
#define WITH_LOOKUP \
	"listeners: ( " DAEMONRIG_A ", { name = \"b\"; address = \"unix:$/b.sock\"; service = \"echo\"; " \
	"socket_user = \"root\"; } );\n"

/* ---- a name service that takes its time (the linker's --wrap) --------------------- */

static struct {
	atomic_bool is_slow;
	sem_t asked;
	sem_t answer;
} names;

/* Any thread. */
struct passwd *__real_getpwnam(const char *name);
struct passwd *__wrap_getpwnam(const char *name);

struct passwd *
__wrap_getpwnam(const char *name)
{
	if (atomic_load(&names.is_slow)) {
		ck_assert_int_eq(sem_post(&names.asked), 0);
		ck_assert_int_eq(sem_wait(&names.answer), 0);
	}
	return __real_getpwnam(name);
}

static void
slow_names(void)
{
	ck_assert_int_eq(sem_init(&names.asked, 0, 0), 0);
	ck_assert_int_eq(sem_init(&names.answer, 0, 0), 0);
	atomic_store(&names.is_slow, true);
}

static void
await_question(void)
{
	ck_assert_int_eq(sem_wait(&names.asked), 0);
}

static void
answer_all(void)
{
	atomic_store(&names.is_slow, false);
	ck_assert_int_eq(sem_post(&names.answer), 0);
}

static void
forget_messages(void)
{
	char text[1024];

	while (daemonrig_receive(text, sizeof(text)))
		continue;
}

/* The logger has written everything then. */
static void
stop_log(void)
{
	log_stop(LOG_STOP_MS);
}

static int
start(const char *text)
{
	daemonrig_write(DAEMONRIG_CONF, text);
	daemonrig.conf_path = daemonrig_expand(DAEMONRIG_CONF);
	return reload_start(&daemonrig);
}

/* From now on the log is written at once, by whom it is written. */
static void
start_well(const char *text)
{
	static char path[256];

	ck_assert_int_eq(start(text), DAEMON_EXIT_OK);
	snprintf(path, sizeof(path), "%s", daemonrig.conf_path);
	daemonrig.conf_path = path;
	stop_log();
	daemonrig.state = DAEMON_SERVING;
	strcpy(daemonrig.status, "all is well");
	daemonrig_forget_log();
	forget_messages();
}

static void
turn_until_over(void)
{
	while (!reload_is_over(&daemonrig))
		daemonrig_turn();
}

static void
run_reload(void)
{
	reload_request(&daemonrig);
	turn_until_over();
}

static void
reload(const char *text)
{
	daemonrig_write(DAEMONRIG_CONF, text);
	run_reload();
}

/* ---- the start ---------------------------------------------------------------- */

START_TEST(start_puts_the_config_in_force)
{
	ck_assert_int_eq(start(DAEMONRIG_ONE), DAEMON_EXIT_OK);
	daemonrig_echo("$/a.sock");
	stop_log();
	ck_assert(daemonrig_logged("bounds: "));
	ck_assert(daemonrig_logged("listener 'a': listening on unix:$/a.sock\n"));
	ck_assert_uint_eq(daemonrig.conf->listener_count, 1);
}
END_TEST

START_TEST(start_with_a_bad_file_says_every_error)
{
	ck_assert_int_eq(start("wrong_key = 1;\nother_key = 2;\n" DAEMONRIG_ONE), DAEMON_EXIT_CONFIG);
	ck_assert(daemonrig_logged("error: $/main.conf:1: wrong_key: "));
	ck_assert(daemonrig_logged("error: $/main.conf:2: other_key: "));
	ck_assert_ptr_null(daemonrig.conf);
}
END_TEST

START_TEST(start_without_its_address_fails_and_leaves_nothing)
{
	ck_assert_int_eq(start("listeners: ( " DAEMONRIG_A ", { name = \"b\"; address = \"unix:$/no/b.sock\"; "
			       "service = \"echo\"; } );\n"),
		DAEMON_EXIT_FAILURE);
	ck_assert(daemonrig_logged("error: cannot start: listener 'b': cannot listen on unix:$/no/b.sock: "));
	ck_assert_ptr_null(daemonrig.conf);
	ck_assert_int_lt(access(daemonrig_expand("$/a.sock"), F_OK), 0);
}
END_TEST

START_TEST(start_takes_over_the_log_settings)
{
	ck_assert_int_eq(start("log: { target = \"stderr\"; level = \"warning\"; };\n" DAEMONRIG_ONE), DAEMON_EXIT_OK);
	stop_log();
	ck_assert(!log_is_enabled(LOG_LEVEL_NOTICE));
	ck_assert(log_is_enabled(LOG_LEVEL_WARNING));
	ck_assert(!daemonrig_logged("bounds"));
}
END_TEST

/* ---- the next one ----------------------------------------------------------------- */

START_TEST(good_reload_says_what_changed)
{
	start_well(DAEMONRIG_ONE);
	reload("listeners: ( " DAEMONRIG_A ", { name = \"b\"; address = \"unix:$/b.sock\"; service = \"echo\"; } );\n");
	ck_assert(daemonrig_logged("notice: reloaded: 1 change\n"));
	ck_assert(daemonrig_logged("listener 'b'"));
	daemonrig_echo("$/a.sock");
	daemonrig_echo("$/b.sock");
}
END_TEST

START_TEST(reload_of_the_same_file_is_no_change)
{
	start_well(DAEMONRIG_ONE);
	reload(DAEMONRIG_ONE);
	ck_assert(daemonrig_logged("notice: reloaded: 0 changes\n"));
}
END_TEST

START_TEST(reload_takes_over_the_log_settings)
{
	start_well(DAEMONRIG_ONE);
	reload("log: { target = \"stderr\"; level = \"error\"; };\n" DAEMONRIG_ONE);
	ck_assert(!log_is_enabled(LOG_LEVEL_WARNING));
}
END_TEST

START_TEST(manager_hears_both_ends_of_a_reload)
{
	char text[1024];

	start_well(DAEMONRIG_ONE);
	reload(DAEMONRIG_ONE);
	if (!daemonrig_receive(text, sizeof(text)))
		return;
	ck_assert_msg(strncmp(text, "RELOADING=1\nMONOTONIC_USEC=", 27) == 0, "%s", text);
	ck_assert(daemonrig_receive(text, sizeof(text)));
	ck_assert_str_eq(text, "READY=1\nSTATUS=all is well");
}
END_TEST

static void
expect_kept(const struct conf *conf)
{
	char text[1024];

	ck_assert_ptr_eq(daemonrig.conf, conf);
	/* The daemon, its route, its upstreams. */
	ck_assert_uint_eq(atomic_load(&conf->refs), 3);
	ck_assert_int_ge(daemonrig.acceptor.reserve_fd, 0);
	daemonrig_echo("$/a.sock");
	/* The manager waits for the end of this reload too. */
	if (!daemonrig_receive(text, sizeof(text)))
		return;
	ck_assert(daemonrig_receive(text, sizeof(text)));
	ck_assert_str_eq(text, "READY=1\nSTATUS=all is well");
}

START_TEST(bad_file_keeps_the_old_config)
{
	start_well(DAEMONRIG_ONE);
	reload("wrong_key = 1;\n" DAEMONRIG_ONE);
	ck_assert(daemonrig_logged("error: $/main.conf:1: wrong_key: "));
	ck_assert(daemonrig_logged("error: reload failed: errors in $/main.conf, keeping the old configuration\n"));
	expect_kept(daemonrig.conf);
}
END_TEST

START_TEST(missing_file_keeps_the_old_config)
{
	start_well(DAEMONRIG_ONE);
	ck_assert_int_eq(unlink(daemonrig_expand(DAEMONRIG_CONF)), 0);
	run_reload();
	ck_assert(daemonrig_logged("error: reload failed: "));
	expect_kept(daemonrig.conf);
}
END_TEST

START_TEST(address_that_can_not_be_had_keeps_the_old_config)
{
	const struct conf *conf;

	start_well(DAEMONRIG_ONE);
	conf = daemonrig.conf;
	reload("listeners: ( " DAEMONRIG_A ", { name = \"b\"; address = \"unix:$/no/b.sock\"; service = \"echo\"; } "
	       ");\n");
	ck_assert(daemonrig_logged("error: reload failed: listener 'b': cannot listen on unix:$/no/b.sock: "));
	ck_assert(daemonrig_logged(", keeping the old configuration\n"));
	expect_kept(conf);
}
END_TEST

START_TEST(good_reload_after_a_bad_one_is_taken)
{
	start_well(DAEMONRIG_ONE);
	for (unsigned i = 0; i < 10; i++) {
		reload("wrong_key = 1;\n" DAEMONRIG_ONE);
		reload("daemon: { max_connections = 99; };\n" DAEMONRIG_ONE);
		/* A manager that does not read is waited for. */
		forget_messages();
	}
	ck_assert_uint_eq(daemonrig.conf->daemon.max_connections, 99);
	ck_assert_uint_eq(daemonrig.acceptor.max_connections, 99);
}
END_TEST

START_TEST(files_can_be_read_when_there_is_no_descriptor_left)
{
	int filled[4096];
	unsigned count = 0;
	struct rlimit before;
	struct rlimit limit;

	/* Written first: that takes one too. */
	start_well(DAEMONRIG_ONE);
	daemonrig_write(DAEMONRIG_CONF, "daemon: { max_connections = 98; };\n" DAEMONRIG_ONE);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = (struct rlimit){.rlim_cur = 256, .rlim_max = before.rlim_max};
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
	while (count < CP_COUNT(filled) && (filled[count] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		count++;
	ck_assert_uint_lt(count, CP_COUNT(filled));
	run_reload();
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
	while (count > 0)
		fd_close(&filled[--count]);
	ck_assert_uint_eq(daemonrig.conf->daemon.max_connections, 98);
	ck_assert_int_ge(daemonrig.acceptor.reserve_fd, 0);
}
END_TEST

/* ---- one that takes its time ----------------------------------------------------------- */

static void
begin_slow_reload(void)
{
	start_well(DAEMONRIG_ONE);
	slow_names();
	daemonrig_write(DAEMONRIG_CONF, WITH_LOOKUP);
	reload_request(&daemonrig);
	await_question();
}

START_TEST(clients_are_served_while_names_are_looked_up)
{
	begin_slow_reload();
	for (unsigned i = 0; i < 10; i++)
		daemonrig_echo("$/a.sock");
	ck_assert(!reload_is_over(&daemonrig));
	ck_assert_uint_eq(daemonrig.conf->listener_count, 1);
	/* Of the name that was asked for nobody asks again: the socket is opened on the main thread. */
	ck_assert_int_eq(sem_post(&names.answer), 0);
	turn_until_over();
	ck_assert(daemonrig_logged("notice: reloaded: 1 change\n"));
	daemonrig_echo("$/b.sock");
}
END_TEST

START_TEST(requests_meanwhile_are_one_reload_more)
{
	char text[1024];
	unsigned begun = 0;
	unsigned ended = 0;

	begin_slow_reload();
	daemonrig_write(DAEMONRIG_CONF, "daemon: { max_connections = 97; };\n" WITH_LOOKUP);
	for (unsigned i = 0; i < 5; i++)
		reload_request(&daemonrig);
	answer_all();
	turn_until_over();
	ck_assert_uint_eq(daemonrig.conf->daemon.max_connections, 97);
	ck_assert_uint_eq(daemonrig.conf->listener_count, 2);
	while (daemonrig_receive(text, sizeof(text))) {
		begun += strncmp(text, "RELOADING=1", 11) == 0;
		ended += strncmp(text, "READY=1", 7) == 0;
	}
	ck_assert_uint_eq(begun, ended);
	ck_assert(begun == 2 || begun == 0);
}
END_TEST

START_TEST(abandoned_reload_changes_nothing)
{
	const struct conf *conf;

	begin_slow_reload();
	conf = daemonrig.conf;
	reload_request(&daemonrig);
	reload_abandon(&daemonrig);
	ck_assert(daemonrig_logged("warning: reload failed: the daemon stops\n"));
	/* Its thread is still there, and does not hold anything up. */
	ck_assert(!reload_is_over(&daemonrig));
	daemonrig_echo("$/a.sock");
	answer_all();
	turn_until_over();
	expect_kept(conf);
	ck_assert(!daemonrig_logged("reloaded"));
}
END_TEST

START_TEST(abandoning_without_one_is_nothing)
{
	start_well(DAEMONRIG_ONE);
	reload_abandon(&daemonrig);
	ck_assert(!daemonrig_logged("reload"));
	reload(DAEMONRIG_ONE);
	ck_assert(daemonrig_logged("notice: reloaded: 0 changes\n"));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("daemon/reload");
	TCase *tcase = daemonrig_case(suite, "start");

	tcase_add_test(tcase, start_puts_the_config_in_force);
	tcase_add_test(tcase, start_with_a_bad_file_says_every_error);
	tcase_add_test(tcase, start_without_its_address_fails_and_leaves_nothing);
	tcase_add_test(tcase, start_takes_over_the_log_settings);
	tcase = daemonrig_case(suite, "good");
	tcase_add_test(tcase, good_reload_says_what_changed);
	tcase_add_test(tcase, reload_of_the_same_file_is_no_change);
	tcase_add_test(tcase, reload_takes_over_the_log_settings);
	tcase_add_test(tcase, manager_hears_both_ends_of_a_reload);
	tcase = daemonrig_case(suite, "bad");
	tcase_add_test(tcase, bad_file_keeps_the_old_config);
	tcase_add_test(tcase, missing_file_keeps_the_old_config);
	tcase_add_test(tcase, address_that_can_not_be_had_keeps_the_old_config);
	tcase_add_test(tcase, good_reload_after_a_bad_one_is_taken);
	tcase_add_test(tcase, files_can_be_read_when_there_is_no_descriptor_left);
	tcase = daemonrig_case(suite, "slow");
	tcase_add_test(tcase, clients_are_served_while_names_are_looked_up);
	tcase_add_test(tcase, requests_meanwhile_are_one_reload_more);
	tcase_add_test(tcase, abandoned_reload_changes_nothing);
	tcase_add_test(tcase, abandoning_without_one_is_nothing);
	return daemonrig_run(suite);
}
