/* SPDX-License-Identifier: MIT */
/*
 * module_elf - what the bytes of a shared object say of it, before the loader is given them: afterwards it is too late,
 * for code of it has run.
 *
 * Pure functions on bytes that nobody has looked at yet.
 */
#ifndef CP_SERVICE_MODULE_ELF_H
#define CP_SERVICE_MODULE_ELF_H

#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

struct errmsg;

/*
 * Is it a shared object of this machine, and all of it there? 0; -ENOEXEC: err says what it is. What the loader refuses
 * by itself, in words that can be understood, is left to it.
 */
CP_MUST_CHECK int module_elf_check(const unsigned char *bytes, size_t size, struct errmsg *err);

/*
 * The number that the variable of that name begins with. 0; -ENOENT: that can't be told here, be it that there is none.
 * The bytes have passed module_elf_check().
 */
CP_MUST_CHECK int module_elf_read_number(
	const unsigned char *bytes, size_t size, const char *variable, uint32_t *ret_number);

#endif
