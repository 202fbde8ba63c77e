/* SPDX-License-Identifier: MIT */
/*
 * module - handlers from shared objects: { type = "module"; path = "greet.so"; … }.
 *
 * The config reader asks for a module when it comes to its section, so that the section is checked by the module's own
 * table; --check does so too. A module is mapped from a private copy, once as long as its file stays what it is: a
 * changed file is another module, and both are there until the last config, and so the last connection, of the old one
 * is gone. The one home of dlopen(3) for code of others.
 */
#ifndef CP_SERVICE_MODULE_H
#define CP_SERVICE_MODULE_H

#include "base/cxx.h"
#include "base/defs.h"
#include "conf/option.h"

struct conf_service;
struct cp_handler;
struct errmsg;

/* What every section may say, whatever its module: the rows of struct module_section. */
extern const struct option module_option_rows[];

struct module_section {
	char *path; /* as written */
};

/*
 * From now on maps the files themselves in place of copies, by their names: every debugger finds their symbols. For a
 * program that does not reload; whoever overwrites one of the files, crashes it.
 */
void module_map_files(void);

/* As conf_service_type has them; value is the path. */
CP_MUST_CHECK int module_extend(
	const char *conf_path, const char *value, const struct option_group **ret_group, struct errmsg *err);
void module_retract(const struct option_group **group);

/* Of a service that was read without errors: valid while its config is. Any thread. */
const struct cp_handler *module_handler(const struct conf_service *service);
const void *module_settings(const struct conf_service *service);
/* Of the C++ runtime that it uses; NULL: none. */
cxx_globals_fn *module_cxx(const struct conf_service *service);
/* The file that it was loaded from. */
const char *module_path(const struct conf_service *service);

#endif
