# SPDX-License-Identifier: MIT
# Unit tests mirror src/: tests/unit/FOLDER/test_FILE.c is one program, run by `make check TESTS=tests/unit/FOLDER/test_FILE`.
# Check's 4 seconds are a bound on a test that hangs, not on a machine that is busy.
AM_TESTS_ENVIRONMENT = top_srcdir='$(abs_top_srcdir)'; top_builddir='$(abs_top_builddir)'; PYTHON='$(PYTHON)'; SANITIZERS='$(SANITIZERS)'; \
	export top_srcdir top_builddir PYTHON SANITIZERS; \
	CK_DEFAULT_TIMEOUT="$${CK_DEFAULT_TIMEOUT:-60}"; export CK_DEFAULT_TIMEOUT;
UNIT_TESTS =
UNIT_LIBS = src/daemon/libdaemon.a src/service/libservice.a src/program/libprogram.a src/pool/libpool.a src/net/libnet.a src/upstream/libupstream.a \
	src/engine/libengine.a src/conf/libconf.a src/base/libbase.a \
	$(CHECK_LIBS) $(LIBCONFIG_LIBS) $(LIBCARES_LIBS) $(SYSTEMD_LIBS) $(JANSSON_LIBS)

include tests/unit/base/local.mk
include tests/unit/conf/local.mk
include tests/unit/engine/local.mk
include tests/unit/net/local.mk
include tests/unit/upstream/local.mk
include tests/unit/pool/local.mk
include tests/unit/program/local.mk
include tests/unit/service/local.mk
include tests/unit/daemon/local.mk
include tests/unit/client/local.mk
include tests/unit/import/local.mk
include tests/unit/run/local.mk
include tests/modules/local.mk
include examples/local.mk
include tests/func/local.mk
include tests/lint/local.mk
include tests/model/local.mk
include tests/systemd/local.mk
include tests/fuzz/local.mk
include tests/chaos/local.mk

check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS)
