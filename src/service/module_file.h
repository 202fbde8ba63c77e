/* SPDX-License-Identifier: MIT */
/*
 * module_file - a private copy of a shared object: what is mapped can't change under the daemon, whoever overwrites,
 * truncates or removes the file.
 *
 * Used by module.c alone.
 */
#ifndef CP_SERVICE_MODULE_FILE_H
#define CP_SERVICE_MODULE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

struct errmsg;

struct module_file {
	int fd; /* sealed, close-on-exec; -1: none */
	size_t size;
};

/*
 * Copies the file at path into memory. 0, or -errno (-ENOEXEC: it is no shared object, or only a part of one) with err
 * saying what is wrong with it; *ret_file is written when it is 0.
 */
CP_MUST_CHECK int module_file_copy(const char *path, struct module_file *ret_file, struct errmsg *err);
/* Accepts one without a descriptor. */
void module_file_close(struct module_file *file);

/* As module_elf_read_number(). */
CP_MUST_CHECK int module_file_read_number(const struct module_file *file, const char *variable, uint32_t *ret_number);

/* The same bytes? False too when one of them can't be looked at. */
bool module_file_is_equal(const struct module_file *a, const struct module_file *b);

#endif
