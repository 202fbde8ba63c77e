/* SPDX-License-Identifier: MIT */
/*
 * broken.c - modules that can't be taken; built once for each fault, with FAULT_ and its name defined.
 */
#include <connpoold/handler.h>

extern int there_is_no_such_call(struct cp_conn *conn);

__attribute__((unused)) static int
serve(struct cp_conn *conn)
{
#if defined(FAULT_UNDEFINED) || defined(FAULT_ABI)
	/* A later header has calls that an earlier one does not know: it is not they that are missing. */
	return there_is_no_such_call(conn);
#else
	return conn != NULL ? CP_DONE : -1;
#endif
}

#ifdef FAULT_WORKER
static void
worker_end(void *state)
{
	(void)state;
}
#endif

#ifdef FAULT_TABLE
static const struct cp_option options[] = {
	{"Greeting", CP_OPTION_STRING, 0, NULL, false, 0, 0, NULL, "A name that is none."}, CP_OPT_END};
#endif

#ifdef FAULT_COUNTERS
static const char *const counters[] = {"good", "not so good", NULL};
#endif
#ifdef FAULT_ENDLESS
static const char *const counters[300] = {[0 ... 299] = "one_more"};
#endif

#ifdef FAULT_SYMBOL
extern const struct cp_handler another_handler;
const struct cp_handler another_handler = {
#else
const struct cp_handler connpoold_handler = {
#endif
#if defined(FAULT_ABI) || defined(FAULT_BARE)
	/* Of what stands behind it nothing may be touched. */
	.abi = CP_HANDLER_ABI + 1,
	.name = (const char *)1,
	.options = (const struct cp_option *)1,
#else
	.abi = CP_HANDLER_ABI,
#ifdef FAULT_NAME
	.name = "",
#else
	.name = "broken",
#endif
#ifdef FAULT_WORKER
	.worker_end = worker_end,
#endif
#endif
#ifdef FAULT_TABLE
	.options = options,
	.settings_size = sizeof(char *),
#endif
#ifdef FAULT_FLAGS
	.flags = CP_CLIENT_FIRST | 1u << 31,
#endif
#if defined(FAULT_COUNTERS) || defined(FAULT_ENDLESS)
	.counters = counters,
#endif
#ifndef FAULT_SERVE
	.serve = serve,
#endif
};
