/* SPDX-License-Identifier: MIT */
/*
 * fakespawner.c - see fakespawner.h. On the test's one thread.
 */
#include "config.h"

#include "fakespawner.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "conf/option.h"

struct fake_spawner fake;

/* ---- in place of spawner.c ------------------------------------------------ */

struct program_name
program_name_ref(unsigned listener)
{
	fake.names++;
	return (struct program_name){.table = 1, .listener = listener};
}

void
program_name_unref(struct program_name *name)
{
	ck_assert_uint_eq(name->table, 1);
	name->table = 0;
	fake.names--;
	if (fake.on_name_unref != NULL)
		fake.on_name_unref();
}

int
program_start(struct program *program, struct loop *loop, const struct program_name *name,
	const struct program_streams *streams)
{
	ck_assert_ptr_nonnull(loop);
	ck_assert_msg(fake.running == NULL, "two run at once");
	ck_assert_uint_eq(name->table, 1);
	fake.starts++;
	memcpy(fake.streams, streams->fds, sizeof(fake.streams));
	if (fake.on_start != NULL)
		fake.on_start();
	if (fake.start_error != 0) {
		program->result = (struct program_result){
			.how = PROGRAM_NOT_STARTED, .step = PROGRAM_STEP_REQUEST, .error = -fake.start_error};
		return fake.start_error;
	}
	fake.running = program;
	return 0;
}

void
program_signal(struct program *program, int number)
{
	size_t used = strlen(fake.signals);

	ck_assert_ptr_eq(program, fake.running);
	snprintf(fake.signals + used, sizeof(fake.signals) - used, "%s ", sigabbrev_np(number));
}

bool
program_is_running(const struct program *program)
{
	return program == fake.running;
}

/* ---- what programs do --------------------------------------------------------------------- */

void
fake_reset(void)
{
	fake = (struct fake_spawner){0};
}

void
fake_expect_clean(void)
{
	ck_assert_ptr_null(fake.running);
	ck_assert_uint_eq(fake.names, 0);
}

void
fake_write(int stream, const char *text)
{
	ck_assert_ptr_nonnull(fake.running);
	ck_assert_int_eq(write(fake.streams[stream], text, strlen(text)), (ssize_t)strlen(text));
}

void
fake_end(enum program_how how, int status)
{
	struct program *program = fake.running;

	ck_assert_ptr_nonnull(program);
	fake.running = NULL;
	program->result = (struct program_result){.how = how, .status = status};
	program->ended(program);
}

void
fake_finish(const char *output, int status)
{
	fake_write(1, output);
	fake_end(PROGRAM_EXITED, status);
}

/* ---- a config ------------------------------------------------------------------------------- */

static const struct option rows[] = {
	OPT_TIME(struct check_options, max_age_ms, "max_age", 0, 1000, "0s", OPTION_LIVE, "."),
	OPT_TIME(struct check_options, interval_ms, "interval", 0, 1000, "0s", OPTION_LIVE, "."),
	OPT_END,
};

static const struct conf_service_type type = {
	.name = "check",
	.group = {.path = "service check", .help = ".", .options = rows, .size = sizeof(struct check_options)},
};

void
fake_conf_init(struct fake_conf *conf)
{
	static char name[] = "health";

	*conf = (struct fake_conf){
		.options = {.max_age_ms = 10000, .timeout_ms = 30000, .max_output_bytes = 65536},
	};
	conf->options.program.kill_timeout_ms = 5000;
	conf->listener.name = name;
	conf->listener.service = (struct conf_service){.type = &type, .group = &type.group, .options = &conf->options};
	conf->listeners[0] = &conf->listener;
	conf->conf.listeners = conf->listeners;
	conf->conf.listener_count = 1;
	atomic_init(&conf->conf.refs, 1);
}
