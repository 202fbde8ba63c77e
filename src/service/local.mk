noinst_LIBRARIES += src/service/libservice.a
src_service_libservice_a_SOURCES = \
	src/service/binding.c src/service/binding.h \
	src/service/blocking.c src/service/blocking.h \
	src/service/chargen.c \
	src/service/check.c \
	src/service/daytime.c \
	src/service/discard.c \
	src/service/echo.c \
	src/service/exec.c src/service/exec.h \
	src/service/exec_wait.c src/service/exec_wait.h \
	src/service/handles.c src/service/handles.h \
	src/service/http_head.c src/service/http_head.h \
	src/service/module.c src/service/module.h \
	src/service/module_elf.c src/service/module_elf.h \
	src/service/module_file.c src/service/module_file.h \
	src/service/module_options.c src/service/module_options.h \
	src/service/proxy.c \
	src/service/registry.c src/service/registry.h \
	src/service/services.h \
	src/service/session.c src/service/session.h src/service/session_parts.h \
	src/service/session_blocking.c \
	src/service/session_bytes.c \
	src/service/session_calls.c \
	src/service/session_end.c \
	src/service/session_io.c \
	src/service/session_relay.c \
	src/service/time.c \
	src/service/verdict.c src/service/verdict.h \
	src/service/verdict_run.c src/service/verdict_run.h

# All that a module is compiled with.
connpooldincludedir = $(includedir)/connpoold
connpooldinclude_HEADERS = include/connpoold/handler.h
pkgconfigdir = $(libdir)/pkgconfig
pkgconfig_DATA = connpoold.pc

# What a module may call is to be seen in the programs that load one: the names that handler.h makes visible.
EXPORT_CALLS = -Wl,--dynamic-list=$(top_srcdir)/src/service/module.syms
EXTRA_DIST += src/service/module.syms
