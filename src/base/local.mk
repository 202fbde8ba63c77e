noinst_LIBRARIES += src/base/libbase.a
src_base_libbase_a_SOURCES = \
	src/base/address.h src/base/assert.h src/base/clock.h src/base/defs.h src/base/errmsg.h src/base/fdutil.h src/base/list.h \
	src/base/lock.h src/base/log.h src/base/mem.h src/base/rawcall.h src/base/systemd.h src/base/units.h
src_base_libbase_a_SOURCES += src/base/histogram.c src/base/histogram.h
src_base_libbase_a_SOURCES += src/base/address.c src/base/assert.c src/base/errmsg.c src/base/fdutil.c src/base/lock.c src/base/mem.c src/base/units.c
src_base_libbase_a_SOURCES += src/base/capability.c src/base/capability.h
src_base_libbase_a_SOURCES += src/base/slab.c src/base/slab.h src/base/cidr.c src/base/cidr.h
src_base_libbase_a_SOURCES += src/base/log.c src/base/logring.c src/base/logring.h src/base/logsink.c src/base/logsink.h src/base/systemd.c
src_base_libbase_a_SOURCES += src/base/running.c src/base/running.h
src_base_libbase_a_SOURCES += src/base/proxy_header.c src/base/proxy_header.h
src_base_libbase_a_SOURCES += src/base/perturb.c src/base/perturb.h
# For the linker's --wrap alone: elsewhere nothing resolves what it calls.
if PERTURB
src_base_libbase_a_SOURCES += src/base/perturb_calls.c
endif
src_base_libbase_a_SOURCES += src/base/last_words.c src/base/last_words.h src/base/backtrace.c src/base/backtrace.h
src_base_libbase_a_SOURCES += src/base/elf_symbols.c src/base/elf_symbols.h src/base/fault.c src/base/fault.h src/base/fault_context.h src/base/cxx.h
src_base_libbase_a_SOURCES += src/base/fault_exit.c src/base/fault_exit.h
