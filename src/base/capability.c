/* SPDX-License-Identifier: MIT */
/*
 * capability.c - capget(2) and capset(2), for which libc has no wrapper.
 *
 * capability_drop() is for the main thread, before others start: each thread has sets of its own.
 */
#include "config.h"

#include "base/capability.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

uint64_t
capability_effective(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (syscall(SYS_capget, &header, data) < 0)
		return 0;
	return data[0].effective | (uint64_t)data[1].effective << 32;
}

int
capability_drop(uint64_t bits)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
	uint32_t held = 0;

	if (syscall(SYS_capget, &header, data) < 0)
		return -errno;
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		uint32_t dropped = (uint32_t)(bits >> 32 * i);

		held |= (data[i].effective | data[i].permitted | data[i].inheritable) & dropped;
		/* The ambient set follows: it is never more than these two have. */
		data[i].effective &= ~dropped;
		data[i].permitted &= ~dropped;
		data[i].inheritable &= ~dropped;
	}
	/* A sandbox may forbid the call to those who have no use for it. */
	if (held == 0)
		return 0;
	return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

int
capability_withhold(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
	bool has_any = false;

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || syscall(SYS_capget, &header, data) < 0)
		return -errno;
	for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		has_any |= data[i].inheritable != 0;
		data[i].inheritable = 0;
	}
	return has_any && syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}
