/* SPDX-License-Identifier: MIT */
/*
 * threads - how many this process has, as the kernel counts them: for tests that want none left behind.
 */
#ifndef CP_TESTS_UNIT_POOL_THREADS_H
#define CP_TESTS_UNIT_POOL_THREADS_H

#include <check.h>
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

static inline int
threads_count(void)
{
	DIR *dir = opendir("/proc/self/task");
	int count = 0;

	ck_assert_ptr_nonnull(dir);
	for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
		count += entry->d_name[0] != '.';
	closedir(dir);
	return count;
}

/* Until the kernel has forgotten those that were joined; Check's time-out ends what never comes. */
static inline void
threads_await(int wanted)
{
	while (threads_count() != wanted)
		sched_yield();
}

static inline void *
threads_note_id(void *arg)
{
	*(pid_t *)arg = gettid();
	return NULL;
}

/* What to come back to. A checker starts a thread of its own with the first one of ours, so there has to be one. */
static inline int
threads_begin(void)
{
	pthread_t thread;
	pid_t id;
	char path[64];

	ck_assert_int_eq(pthread_create(&thread, NULL, threads_note_id, &id), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	snprintf(path, sizeof(path), "/proc/self/task/%d", (int)id);
	while (access(path, F_OK) == 0)
		sched_yield();
	return threads_count();
}

#endif
