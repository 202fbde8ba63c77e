/* SPDX-License-Identifier: MIT */
/*
 * test_timer - the timing wheel, by cases and against a model that looks at every timer at every step.
 * One thread, a clock made of numbers; nothing waits.
 */
#include "config.h"

#include <check.h>
#include <stdlib.h>

#include "base/defs.h"
#include "engine/timer.h"

#define MODEL_TIMERS 200
#define MODEL_STEPS 20000
#define TOP_SPAN_MS (1ull << (TIMER_WHEEL_LEVELS * TIMER_WHEEL_BITS))

static struct timer_wheel wheel;
static struct timer *fired[MODEL_TIMERS];
static unsigned fired_count;

static void
on_timer(struct timer *timer)
{
	ck_assert(!timer_is_set(timer));
	ck_assert_uint_lt(fired_count, MODEL_TIMERS);
	fired[fired_count++] = timer;
}

static void
set_up(void)
{
	timer_wheel_init(&wheel, 1000);
	fired_count = 0;
}

START_TEST(fires_at_its_tick_and_not_before)
{
	struct timer timer = { .fn = on_timer };

	timer_set(&wheel, &timer, 1005);
	timer_wheel_advance(&wheel, 1004);
	ck_assert_uint_eq(fired_count, 0);
	ck_assert(timer_is_set(&timer));
	timer_wheel_advance(&wheel, 1005);
	ck_assert_uint_eq(fired_count, 1);
	timer_wheel_advance(&wheel, 2000);
	ck_assert_uint_eq(fired_count, 1);
}
END_TEST

START_TEST(fires_at_the_next_advance_when_set_in_the_past)
{
	struct timer timer = { .fn = on_timer };

	timer_set(&wheel, &timer, 3);
	ck_assert_uint_eq(timer_wheel_next_ms(&wheel), 1000);
	timer_wheel_advance(&wheel, 1000);
	ck_assert_uint_eq(fired_count, 1);
}
END_TEST

START_TEST(fires_in_order_of_expiry_after_a_long_jump)
{
	static const uint64_t expiries[] = { 900000, 1001, 5000000, 1064, 70000, 1063, 300000000 };
	static const unsigned order[] = { 1, 5, 3, 4, 0, 2, 6 };
	struct timer timers[CP_COUNT(expiries)];

	for (unsigned i = 0; i < CP_COUNT(expiries); i++) {
		timers[i] = (struct timer){ .fn = on_timer };
		timer_set(&wheel, &timers[i], expiries[i]);
	}
	timer_wheel_advance(&wheel, 400000000);
	ck_assert_uint_eq(fired_count, CP_COUNT(expiries));
	for (unsigned i = 0; i < CP_COUNT(expiries); i++)
		ck_assert_ptr_eq(fired[i], &timers[order[i]]);
}
END_TEST

START_TEST(a_set_timer_is_moved)
{
	struct timer timer = { .fn = on_timer };

	timer_set(&wheel, &timer, 1010);
	timer_set(&wheel, &timer, 1020);
	timer_wheel_advance(&wheel, 1015);
	ck_assert_uint_eq(fired_count, 0);
	timer_wheel_advance(&wheel, 1020);
	ck_assert_uint_eq(fired_count, 1);
}
END_TEST

START_TEST(a_cleared_timer_does_not_fire_and_wakes_nobody)
{
	struct timer timer = { .fn = on_timer };

	timer_clear(&wheel, &timer);
	timer_set(&wheel, &timer, 1010);
	timer_clear(&wheel, &timer);
	ck_assert(!timer_is_set(&timer));
	ck_assert_uint_eq(timer_wheel_next_ms(&wheel), UINT64_MAX);
	timer_set(&wheel, &timer, 0);
	timer_clear(&wheel, &timer);
	ck_assert_uint_eq(timer_wheel_next_ms(&wheel), UINT64_MAX);
	timer_wheel_advance(&wheel, 2000);
	ck_assert_uint_eq(fired_count, 0);
}
END_TEST

START_TEST(clearing_one_of_a_slot_leaves_the_others)
{
	struct timer timers[3] = { { .fn = on_timer }, { .fn = on_timer }, { .fn = on_timer } };

	for (unsigned i = 0; i < CP_COUNT(timers); i++)
		timer_set(&wheel, &timers[i], 1010);
	timer_clear(&wheel, &timers[1]);
	ck_assert_uint_eq(timer_wheel_next_ms(&wheel), 1010);
	timer_wheel_advance(&wheel, 1010);
	ck_assert_uint_eq(fired_count, 2);
}
END_TEST

START_TEST(expiry_beyond_the_top_level_is_kept)
{
	struct timer timers[2] = { { .fn = on_timer }, { .fn = on_timer } };

	timer_set(&wheel, &timers[0], TOP_SPAN_MS + 7);
	timer_set(&wheel, &timers[1], 3 * TOP_SPAN_MS + 9);
	timer_wheel_advance(&wheel, TOP_SPAN_MS + 6);
	ck_assert_uint_eq(fired_count, 0);
	timer_wheel_advance(&wheel, TOP_SPAN_MS + 7);
	ck_assert_uint_eq(fired_count, 1);
	timer_wheel_advance(&wheel, 3 * TOP_SPAN_MS + 8);
	ck_assert_uint_eq(fired_count, 1);
	timer_wheel_advance(&wheel, 3 * TOP_SPAN_MS + 9);
	ck_assert_uint_eq(fired_count, 2);
}
END_TEST

START_TEST(the_clock_does_not_go_back)
{
	struct timer timer = { .fn = on_timer };

	timer_wheel_advance(&wheel, 5000);
	timer_set(&wheel, &timer, 5001);
	timer_wheel_advance(&wheel, 10);
	ck_assert_uint_eq(fired_count, 0);
	timer_wheel_advance(&wheel, 5001);
	ck_assert_uint_eq(fired_count, 1);
}
END_TEST

static unsigned calls;
static struct timer victim = { .fn = on_timer };

static void
set_again_in_the_past(struct timer *timer)
{
	calls++;
	timer_set(&wheel, timer, 0);
}

static void
clear_the_victim(struct timer *timer)
{
	(void)timer;
	timer_clear(&wheel, &victim);
}

static void
free_itself(struct timer *timer)
{
	calls++;
	free(timer);
}

START_TEST(a_callback_that_sets_itself_again_does_not_trap_the_advance)
{
	struct timer timer = { .fn = set_again_in_the_past };

	calls = 0;
	timer_set(&wheel, &timer, 1001);
	timer_wheel_advance(&wheel, 1001);
	ck_assert_uint_eq(calls, 1);
	timer_wheel_advance(&wheel, 1001);
	ck_assert_uint_eq(calls, 2);
}
END_TEST

START_TEST(a_callback_may_clear_another_that_is_due)
{
	struct timer timer = { .fn = clear_the_victim };

	timer_set(&wheel, &timer, 1001);
	timer_set(&wheel, &victim, 1002);
	timer_wheel_advance(&wheel, 1100);
	ck_assert_uint_eq(fired_count, 0);
	ck_assert(!timer_is_set(&victim));
}
END_TEST

START_TEST(a_callback_may_free_its_timer)
{
	struct timer *timer = calloc(1, sizeof(*timer));

	ck_assert_ptr_nonnull(timer);
	timer->fn = free_itself;
	calls = 0;
	timer_set(&wheel, timer, 1001);
	timer_wheel_advance(&wheel, 1001);
	ck_assert_uint_eq(calls, 1);
}
END_TEST

/* ---- against the model --------------------------------------------------------- */

struct model {
	struct timer timer;
	uint64_t expires_ms;
	bool is_set;
};

static struct model models[MODEL_TIMERS];
static uint64_t model_now_ms;
static uint64_t random_state = 0x9e3779b97f4a7c15u;

/* xorshift64*: the same sequence everywhere. */
static uint64_t
next_random(uint64_t limit)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return (random_state * 0x2545f4914f6cdd1du >> 16) % limit;
}

/* Spread over all levels: a random number of bits, then random bits. */
static uint64_t
next_delay_ms(void)
{
	return next_random(2ull << next_random(40));
}

static void
check_fired_in_order(uint64_t before_ms)
{
	uint64_t last_ms = 0;

	for (unsigned i = 0; i < fired_count; i++) {
		struct model *model = CP_CONTAINER_OF(fired[i], struct model, timer);
		/* All that was not ahead when it was set counts as due then. */
		uint64_t expires_ms = model->expires_ms > before_ms ? model->expires_ms : before_ms;

		ck_assert(model->is_set);
		ck_assert_uint_le(model->expires_ms, model_now_ms);
		ck_assert_uint_ge(expires_ms, last_ms);
		last_ms = expires_ms;
		model->is_set = false;
	}
}

/* What is still set is ahead of the clock, and next_ms does not oversleep it. */
static void
check_rest(void)
{
	uint64_t next_ms = timer_wheel_next_ms(&wheel);
	bool any = false;

	for (unsigned i = 0; i < MODEL_TIMERS; i++) {
		ck_assert(models[i].is_set == timer_is_set(&models[i].timer));
		if (!models[i].is_set)
			continue;
		any = true;
		ck_assert_uint_gt(models[i].expires_ms, model_now_ms);
		ck_assert_uint_le(next_ms, models[i].expires_ms);
	}
	if (any)
		ck_assert_uint_gt(next_ms, model_now_ms);
	else
		ck_assert_uint_eq(next_ms, UINT64_MAX);
}

static void
advance_model(void)
{
	uint64_t before_ms = model_now_ms;
	uint64_t next_ms = timer_wheel_next_ms(&wheel);

	/* Half of the time as the loop does it, else by a jump. */
	if (next_random(2) == 0 && next_ms != UINT64_MAX)
		model_now_ms = next_ms;
	else
		model_now_ms += next_delay_ms();
	fired_count = 0;
	timer_wheel_advance(&wheel, model_now_ms);
	check_fired_in_order(before_ms);
	check_rest();
}

START_TEST(agrees_with_a_model_that_looks_at_every_timer)
{
	model_now_ms = 1000;
	for (unsigned i = 0; i < MODEL_TIMERS; i++)
		models[i] = (struct model){ .timer.fn = on_timer };
	for (unsigned step = 0; step < MODEL_STEPS; step++) {
		struct model *model = &models[next_random(MODEL_TIMERS)];

		switch (next_random(8)) {
		case 0:
			advance_model();
			break;
		case 1:
			timer_clear(&wheel, &model->timer);
			model->is_set = false;
			break;
		default:
			model->expires_ms = model_now_ms + next_delay_ms() - next_random(3);
			timer_set(&wheel, &model->timer, model->expires_ms);
			model->is_set = true;
		}
	}
}
END_TEST

START_TEST(waking_up_at_next_reaches_an_expiry_in_few_steps)
{
	struct timer timer = { .fn = on_timer };
	unsigned steps = 0;

	timer_set(&wheel, &timer, 1000 + 86400000);
	while (fired_count == 0) {
		timer_wheel_advance(&wheel, timer_wheel_next_ms(&wheel));
		ck_assert_uint_le(++steps, TIMER_WHEEL_LEVELS);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("engine/timer");
	SRunner *runner = srunner_create(suite);
	TCase *expiry = tcase_create("expiry");
	TCase *change = tcase_create("change");
	TCase *callbacks = tcase_create("callbacks");
	TCase *model = tcase_create("model");
	int failed;

	tcase_add_checked_fixture(expiry, set_up, NULL);
	tcase_add_test(expiry, fires_at_its_tick_and_not_before);
	tcase_add_test(expiry, fires_at_the_next_advance_when_set_in_the_past);
	tcase_add_test(expiry, fires_in_order_of_expiry_after_a_long_jump);
	tcase_add_test(expiry, expiry_beyond_the_top_level_is_kept);
	tcase_add_test(expiry, the_clock_does_not_go_back);
	suite_add_tcase(suite, expiry);
	tcase_add_checked_fixture(change, set_up, NULL);
	tcase_add_test(change, a_set_timer_is_moved);
	tcase_add_test(change, a_cleared_timer_does_not_fire_and_wakes_nobody);
	tcase_add_test(change, clearing_one_of_a_slot_leaves_the_others);
	suite_add_tcase(suite, change);
	tcase_add_checked_fixture(callbacks, set_up, NULL);
	tcase_add_test(callbacks, a_callback_that_sets_itself_again_does_not_trap_the_advance);
	tcase_add_test(callbacks, a_callback_may_clear_another_that_is_due);
	tcase_add_test(callbacks, a_callback_may_free_its_timer);
	suite_add_tcase(suite, callbacks);
	tcase_add_checked_fixture(model, set_up, NULL);
	tcase_set_timeout(model, 120);
	tcase_add_test(model, agrees_with_a_model_that_looks_at_every_timer);
	tcase_add_test(model, waking_up_at_next_reaches_an_expiry_in_few_steps);
	suite_add_tcase(suite, model);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
