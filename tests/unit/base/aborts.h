/* SPDX-License-Identifier: MIT */
/*
 * aborts - runs a function that has to abort in a child and keeps what it said on standard error.
 *
 * In place of Check's own signal tests, so that the message is tested too and CK_FORK=no keeps working.
 */
#ifndef CP_TESTS_UNIT_BASE_ABORTS_H
#define CP_TESTS_UNIT_BASE_ABORTS_H

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <check.h>

/* True when fn(arg) ended by SIGABRT and its standard error contains said. */
static inline bool
aborts_saying(void (*fn)(void *arg), void *arg, const char *said)
{
	char text[4096] = "";
	size_t used = 0;
	int ends[2];
	int status;
	ssize_t n;
	pid_t pid;

	ck_assert_int_eq(pipe(ends), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		dup2(ends[1], STDERR_FILENO);
		fn(arg);
		_exit(0);
	}
	close(ends[1]);
	while (used < sizeof(text) - 1 && (n = read(ends[0], text + used, sizeof(text) - 1 - used)) > 0)
		used += (size_t)n;
	close(ends[0]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	text[used] = '\0';
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(text, said) != NULL;
}

#endif
