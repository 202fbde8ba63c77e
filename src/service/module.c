/* SPDX-License-Identifier: MIT */
/*
 * module.c - finds, maps, checks and shares modules.
 *
 * Each group that module_extend() gives out is one reference. Modules are loaded on the thread that loads the config
 * (daemon/loader.h), one at a time, beside whatever is being served; they go on the thread that gives the last
 * reference back. Of a handler with another ABI number nothing but that number is read.
 */
#include "config.h"

#include "service/module.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/errmsg.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/running.h"
#include "conf/conf.h"
#include "connpoold/handler.h"
#include "service/module_file.h"
#include "service/module_options.h"

#define MODULE_MAGIC 0x6d6f6475
#define SYMBOL "connpoold_handler"
/* Where the handler's settings begin, in the structure that a section fills: after ours, fit for any type. */
#define SETTINGS_OFFSET 16
#define COUNTERS_MAX 256
#define FLAGS_KNOWN ((unsigned)CP_CLIENT_FIRST | (unsigned)CP_WAKE_AT_DRAIN)

_Static_assert(sizeof(struct module_section) <= SETTINGS_OFFSET, "ours comes first");
_Static_assert(_Alignof(max_align_t) <= SETTINGS_OFFSET, "the settings may begin there");

struct module {
	uint32_t magic;
	unsigned refs;           /* guarded by modules_lock, as is link */
	struct list link;        /* in modules */
	struct module_file file; /* open as long as it is mapped: its number is its name to the loader */
	char *path;
	char *name; /* what the loader knows it by */
	void *library;
	const struct cp_handler *handler;
	cxx_globals_fn *cxx; /* NULL: it uses none */
	struct option_group group;
};

static struct cp_lock modules_lock = LOCK_INITIALIZER(LOCK_MODULES);
static struct list modules = {&modules, &modules};
static bool maps_files;

const struct option module_option_rows[] = {
	OPT_STRING_REQUIRED(struct module_section, path, "path", OPTION_NEW_CONNECTIONS,
		"The shared object; a relative one is looked for beside the main file, then in LIBDIR/connpoold."),
	OPT_END,
};

/*
 * What a module may call has to be in the program, whether the program itself calls it or not: the linker takes out of
 * a library only what somebody wants.
 */
typedef void call_fn(void);
__attribute__((used)) static call_fn *const calls[] = {
	(call_fn *)cp_at_end,
	(call_fn *)cp_blocking,
	(call_fn *)cp_connect,
	(call_fn *)cp_count,
	(call_fn *)cp_draining,
	(call_fn *)cp_error_set,
	(call_fn *)cp_handle_of,
	(call_fn *)cp_id,
	(call_fn *)cp_listener,
	(call_fn *)cp_local,
	(call_fn *)cp_log,
	(call_fn *)cp_peer,
	(call_fn *)cp_printf,
	(call_fn *)cp_read_line,
	(call_fn *)cp_recv,
	(call_fn *)cp_recv_exactly,
	(call_fn *)cp_relay,
	(call_fn *)cp_send,
	(call_fn *)cp_send_file,
	(call_fn *)cp_set_server,
	(call_fn *)cp_set_timeout,
	(call_fn *)cp_shutdown,
	(call_fn *)cp_sleep,
	(call_fn *)cp_state,
	(call_fn *)cp_wait,
	(call_fn *)cp_wait_fd,
	(call_fn *)cp_wake,
	(call_fn *)cp_worker_state,
};

static struct module *
module_of(const struct option_group *group)
{
	struct module *module = (struct module *)((uintptr_t)group - offsetof(struct module, group));

	CP_CHECK_MAGIC(module, MODULE_MAGIC);
	return module;
}

/*
 * A debugger opens the file of that name, in a process of its own: /proc/self would be a descriptor of the debugger,
 * and reading that can hang for ever. Where /proc is of another PID namespace, there is only that. Owned; NULL: no
 * memory.
 */
static char *
new_library_name(const struct module *module)
{
	char *name = maps_files ? realpath(module->path, NULL) : NULL;

	if (name == NULL)
		name = mem_printf("/proc/%d/fd/%d", (int)getpid(), module->file.fd);
	if (name != NULL && access(name, F_OK) != 0) {
		mem_free(name);
		name = mem_printf("/proc/self/fd/%d", module->file.fd);
	}
	return name;
}

/* Constructors and destructors of the library run on this thread. */
static struct running
begin_loader(const struct module *module, const char *function)
{
	struct running before = running_begin(NULL, NULL, function);

	running.module = module->path;
	return before;
}

/* ---- its life ---------------------------------------------------------------------------- */

/*
 * The loader may keep what it was told to close: a library in C++ with symbols of which there is one a process
 * (STB_GNU_UNIQUE), or one that was linked with -z nodelete. Then its name stays taken, and with it the descriptor:
 * else the next module of that number would be this one again.
 */
static void
unmap_library(struct module *module)
{
	struct running before;
	void *kept;

	before = begin_loader(module, "dlclose");
	dlclose(module->library);
	running_end(&before);
	kept = dlopen(module->name, RTLD_LAZY | RTLD_NOLOAD);
	if (kept == NULL)
		return;
	dlclose(kept);
	module->file.fd = -1;
	log_notice(LOG_EVENT_NONE,
		"service '%s': its module stays in memory, because it can't be unloaded; in C++ -fno-gnu-unique, "
		"or a version script that hides all but " SYMBOL ", may help",
		module->group.service_name != NULL ? module->group.service_name : "?");
}

static void
module_free(struct module **holder)
{
	struct module *module = *holder;

	*holder = NULL;
	if (module == NULL)
		return;
	if (module->library != NULL)
		unmap_library(module);
	module_options_free(&module->group);
	module_file_close(&module->file);
	module->magic = 0;
	mem_free(module->name);
	mem_free(module->path);
	mem_free(module);
}

void
module_retract(const struct option_group **holder)
{
	struct module *module = module_of(*holder);
	bool is_last;

	*holder = NULL;
	lock_acquire(&modules_lock);
	is_last = --module->refs == 0;
	if (is_last)
		list_remove(&module->link);
	lock_release(&modules_lock);
	if (is_last)
		module_free(&module);
}

/* The n-th of those that have so many bytes, with one more reference. */
static struct module *
ref_nth_of_size(unsigned n, size_t size)
{
	struct module *found = NULL;
	struct list *link;
	struct list *following;

	lock_acquire(&modules_lock);
	LIST_FOREACH (&modules, link, following) {
		struct module *module = CP_CONTAINER_OF(link, struct module, link);

		if (module->file.size == size && n-- == 0) {
			module->refs++;
			found = module;
			break;
		}
	}
	lock_release(&modules_lock);
	return found;
}

/* One that is mapped from the same bytes, with one more reference; NULL: there is none. Compared without the lock. */
static struct module *
find_loaded(const struct module_file *file)
{
	struct module *module;

	for (unsigned n = 0; (module = ref_nth_of_size(n, file->size)) != NULL; n++) {
		const struct option_group *group = &module->group;

		if (module_file_is_equal(&module->file, file))
			return module;
		module_retract(&group);
	}
	return NULL;
}

/* ---- loading ------------------------------------------------------------------------------- */

/* The loader begins with the name that it was given, which says nothing to anybody. */
static const char *
loader_words(const char *name)
{
	const char *words = dlerror();
	size_t length = strlen(name);

	if (words == NULL)
		return "unknown error";
	if (strncmp(words, name, length) == 0 && strncmp(words + length, ": ", 2) == 0)
		return words + length + 2;
	return words;
}

/*
 * As the loader has bound its calls: to a runtime of the whole process first (a sanitizer's, or a preloaded one), else
 * to its own, of which there may be several in the process.
 */
static cxx_globals_fn *
find_cxx(void *library)
{
	void *found = dlsym(RTLD_DEFAULT, CXX_GLOBALS_SYMBOL);

	if (found == NULL)
		found = dlsym(library, CXX_GLOBALS_SYMBOL);
	/* No error of the loader's to be told later. */
	(void)dlerror();
	return (cxx_globals_fn *)(uintptr_t)found;
}

static int
map_library(struct module *module, struct errmsg *err)
{
	struct running before;

	before = begin_loader(module, "dlopen");
	/* All symbols now: one that is missing must not show when the first client comes. */
	module->library = dlopen(module->name, RTLD_NOW | RTLD_LOCAL);
	running_end(&before);
	if (module->library == NULL) {
		errmsg_set(err, "cannot load it: %s", loader_words(module->name));
		return -EINVAL;
	}
	module->cxx = find_cxx(module->library);
	module->handler = dlsym(module->library, SYMBOL);
	if (module->handler == NULL) {
		errmsg_set(err, "it has no symbol \"" SYMBOL "\", expected a const struct cp_handler of that name");
		return -EINVAL;
	}
	return 0;
}

static int
check_abi(unsigned abi, struct errmsg *err)
{
	if (abi == CP_HANDLER_ABI)
		return 0;
	errmsg_set(err,
		"it was compiled for ABI %u of connpoold/handler.h, this is ABI %u: compile it with the header of "
		"connpoold %s",
		abi, CP_HANDLER_ABI, PACKAGE_VERSION);
	return -EINVAL;
}

/* Before any code of it runs, and before the loader misses a call that is not ours to have. */
static int
check_abi_of_file(const struct module_file *file, struct errmsg *err)
{
	uint32_t abi;

	if (module_file_read_number(file, SYMBOL, &abi) < 0)
		return 0;
	return check_abi(abi, err);
}

/* NULL: nothing is wrong with them. */
static const char *
fault_of_counters(const char *const *counters)
{
	unsigned count = 0;

	for (; counters != NULL && counters[count] != NULL; count++) {
		if (count == COUNTERS_MAX)
			return "its list of counters does not end with NULL";
		if (!module_options_is_name(counters[count]))
			return "the name of a counter is not made of small letters, digits and '_'";
	}
	return NULL;
}

static int
check_handler(const struct cp_handler *handler, struct errmsg *err)
{
	/* Again, for a file that could not be asked. */
	int rc = check_abi(handler->abi, err);
	const char *fault;

	if (rc < 0)
		return rc;
	fault = fault_of_counters(handler->counters);
	if (handler->name == NULL || handler->name[0] == '\0')
		fault = "its handler has no name";
	else if (handler->serve == NULL)
		fault = "its handler has no serve()";
	else if ((handler->flags & ~FLAGS_KNOWN) != 0)
		fault = "its handler has flags that this connpoold does not know";
	else if (handler->worker_end != NULL && handler->worker_start == NULL)
		fault = "its handler has worker_end() and no worker_start()";
	if (fault == NULL)
		return 0;
	errmsg_set(err, "%s", fault);
	return -EINVAL;
}

/* Its tables are somebody else's memory: reading them may crash as its constructors may. */
static int
module_load(struct module *module, struct errmsg *err)
{
	int rc = check_abi_of_file(&module->file, err);

	if (rc == 0)
		rc = map_library(module, err);
	if (rc == 0)
		rc = check_handler(module->handler, err);
	if (rc == 0)
		rc = module_options_make(module_option_rows, module->handler, SETTINGS_OFFSET, &module->group, err);
	if (rc < 0)
		return rc;
	module->group.path = "service module";
	module->group.help = "What a module may be told.";
	module->group.service_name = module->handler->name;
	return 0;
}

/* Takes the file; copies the path. */
static int
module_new(struct module_file *file, const char *path, struct module **ret_module, struct errmsg *err)
{
	struct module *module = mem_zalloc(sizeof(*module));
	struct running before;
	int rc = -ENOMEM;

	if (module == NULL) {
		module_file_close(file);
		return rc;
	}
	module->magic = MODULE_MAGIC;
	module->refs = 1;
	module->file = *file;
	file->fd = -1;
	module->path = mem_strdup(path);
	module->name = module->path != NULL ? new_library_name(module) : NULL;
	before = begin_loader(module, NULL);
	if (module->name != NULL)
		rc = module_load(module, err);
	running_end(&before);
	if (rc < 0) {
		module_free(&module);
		return rc;
	}
	lock_acquire(&modules_lock);
	list_push_back(&modules, &module->link);
	lock_release(&modules_lock);
	*ret_module = module;
	return 0;
}

void
module_map_files(void)
{
	maps_files = true;
}

/* ---- finding -------------------------------------------------------------------------------- */

/* Owned; NULL when out of memory. */
static char *
beside(const char *conf_path, const char *value)
{
	const char *slash = strrchr(conf_path, '/');

	if (value[0] == '/' || slash == NULL)
		return mem_strdup(value);
	return mem_printf("%.*s/%s", (int)(slash - conf_path), conf_path, value);
}

/* Where it is, owned; where it is not is left to whoever opens it. NULL when out of memory. */
static char *
find_file(const char *conf_path, const char *value)
{
	char *path = beside(conf_path, value);
	char *installed;

	if (path == NULL || value[0] == '/' || access(path, F_OK) == 0)
		return path;
	installed = mem_printf(CP_MODULEDIR "/%s", value);
	if (installed != NULL && access(installed, F_OK) == 0) {
		mem_free(path);
		return installed;
	}
	mem_free(installed);
	return path;
}

/* It was looked for in two places, and one is named. */
static void
say_where_else(struct errmsg *err)
{
	struct errmsg why;

	if (err == NULL)
		return;
	why = *err;
	errmsg_set(err, "%s; nor is it in " CP_MODULEDIR, why.text);
}

int
module_extend(const char *conf_path, const char *value, const struct option_group **ret_group, struct errmsg *err)
{
	char *path = find_file(conf_path, value);
	struct module_file file = {.fd = -1};
	struct module *module = NULL;
	int rc;

	if (path == NULL)
		return -ENOMEM;
	rc = module_file_copy(path, &file, err);
	if (rc == 0) {
		module = find_loaded(&file);
		if (module != NULL)
			module_file_close(&file);
		else
			rc = module_new(&file, path, &module, err);
	}
	if (rc == -ENOENT && value[0] != '/')
		say_where_else(err);
	if (rc == 0)
		*ret_group = &module->group;
	else
		errmsg_prefix(err, "%s", path);
	mem_free(path);
	return rc;
}

/* ---- using it -------------------------------------------------------------------------------- */

const struct cp_handler *
module_handler(const struct conf_service *service)
{
	return module_of(service->group)->handler;
}

const void *
module_settings(const struct conf_service *service)
{
	return (const char *)service->options + SETTINGS_OFFSET;
}

const char *
module_path(const struct conf_service *service)
{
	return module_of(service->group)->path;
}

cxx_globals_fn *
module_cxx(const struct conf_service *service)
{
	return module_of(service->group)->cxx;
}
