# SPDX-License-Identifier: MIT
# Shared objects for the tests: what a module is built with, no more; the sanitizers' flags too, where the daemon has them.
TEST_MODULES = \
	tests/modules/broken-abi.so \
	tests/modules/broken-bare.so \
	tests/modules/broken-counters.so \
	tests/modules/broken-endless.so \
	tests/modules/broken-flags.so \
	tests/modules/broken-name.so \
	tests/modules/broken-object.so \
	tests/modules/broken-serve.so \
	tests/modules/broken-symbol.so \
	tests/modules/broken-table.so \
	tests/modules/broken-undefined.so \
	tests/modules/broken-worker.so \
	tests/modules/crash.so \
	tests/modules/crash-at-load.so \
	tests/modules/crash-at-table.so \
	tests/modules/crash-unprobed.so \
	tests/modules/example.so \
	tests/modules/kept-one.so \
	tests/modules/kept-two.so \
	tests/modules/probe-one.so \
	tests/modules/probe-two.so \
	tests/modules/rude.so \
	tests/modules/sharer.so
EXTRA_DIST += tests/modules/broken.c tests/modules/crash.c tests/modules/plusplus.cc tests/modules/probe.c tests/modules/rude.c \
	tests/modules/sharer.c tests/modules/throws.cc
CLEANFILES += $(TEST_MODULES) tests/modules/example.c

check_DATA = $(TEST_MODULES)

HANDLER_H = $(top_srcdir)/include/connpoold/handler.h
BUILD_MODULE = $(MKDIR_P) tests/modules && $(CC) -I$(top_srcdir)/include $(AM_CFLAGS) $(CPPFLAGS) $(CFLAGS) -shared -fPIC

tests/modules/probe-one.so: tests/modules/probe.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -DREPLY='"one"' -o $@ $(top_srcdir)/tests/modules/probe.c
tests/modules/probe-two.so: tests/modules/probe.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -DREPLY='"two"' -o $@ $(top_srcdir)/tests/modules/probe.c
# What the loader keeps, whoever closes it: in C++ that is soon done.
tests/modules/kept-one.so: tests/modules/probe.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -Wl,-z,nodelete -DREPLY='"one"' -o $@ $(top_srcdir)/tests/modules/probe.c
tests/modules/kept-two.so: tests/modules/probe.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -Wl,-z,nodelete -DREPLY='"two"' -o $@ $(top_srcdir)/tests/modules/probe.c
tests/modules/rude.so: tests/modules/rude.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -o $@ $(top_srcdir)/tests/modules/rude.c
tests/modules/sharer.so: tests/modules/sharer.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -o $@ $(top_srcdir)/tests/modules/sharer.c
# Without optimisation, so that each function is one and no frame goes for nothing.
tests/modules/crash.so: tests/modules/crash.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -O0 -g -UNDEBUG -o $@ $(top_srcdir)/tests/modules/crash.c
tests/modules/crash-at-load.so: tests/modules/crash.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -O0 -g -DCRASH_AT_LOAD -o $@ $(top_srcdir)/tests/modules/crash.c
tests/modules/crash-at-table.so: tests/modules/crash.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -O0 -g -DCRASH_AT_TABLE -o $@ $(top_srcdir)/tests/modules/crash.c
tests/modules/crash-unprobed.so: tests/modules/crash.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -O0 -g -fno-stack-clash-protection -o $@ $(top_srcdir)/tests/modules/crash.c
tests/modules/broken-abi.so: tests/modules/broken.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -DFAULT_ABI -o $@ $(top_srcdir)/tests/modules/broken.c
tests/modules/broken-counters.so: tests/modules/broken.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -DFAULT_COUNTERS -o $@ $(top_srcdir)/tests/modules/broken.c
tests/modules/broken-bare.so: tests/modules/broken.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -DFAULT_BARE -o $@ $(top_srcdir)/tests/modules/broken.c
tests/modules/broken-endless.so: tests/modules/broken.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -DFAULT_ENDLESS -o $@ $(top_srcdir)/tests/modules/broken.c
tests/modules/broken-flags.so: tests/modules/broken.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -DFAULT_FLAGS -o $@ $(top_srcdir)/tests/modules/broken.c
tests/modules/broken-name.so: tests/modules/broken.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -DFAULT_NAME -o $@ $(top_srcdir)/tests/modules/broken.c
tests/modules/broken-worker.so: tests/modules/broken.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -DFAULT_WORKER -o $@ $(top_srcdir)/tests/modules/broken.c
tests/modules/broken-object.so: tests/modules/broken.c $(HANDLER_H)
	$(AM_V_CC)$(CC) -I$(top_srcdir)/include $(AM_CFLAGS) $(CPPFLAGS) $(CFLAGS) -fPIC -c -o $@ $(top_srcdir)/tests/modules/broken.c
tests/modules/broken-serve.so: tests/modules/broken.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -DFAULT_SERVE -o $@ $(top_srcdir)/tests/modules/broken.c
tests/modules/broken-symbol.so: tests/modules/broken.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -DFAULT_SYMBOL -o $@ $(top_srcdir)/tests/modules/broken.c
tests/modules/broken-table.so: tests/modules/broken.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -DFAULT_TABLE -o $@ $(top_srcdir)/tests/modules/broken.c
tests/modules/broken-undefined.so: tests/modules/broken.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -DFAULT_UNDEFINED -o $@ $(top_srcdir)/tests/modules/broken.c

# The example of connpoold_handler(7), as the page has it.
tests/modules/example.c: man/connpoold_handler.7
	$(AM_V_GEN)$(MKDIR_P) tests/modules && \
		$(SED) -n '/^\.\\" greet\.c$$/,/^\.Ed/{/^\./d;s/\\e/\\/g;s/\\&//g;p;}' \
		$(top_srcdir)/man/connpoold_handler.7 > $@
tests/modules/example.so: tests/modules/example.c $(HANDLER_H)
	$(AM_V_CC)$(BUILD_MODULE) -o $@ tests/modules/example.c
