# SPDX-License-Identifier: MIT
RUN_LIBS = src/run/librun.a $(UNIT_LIBS)
UNIT_TESTS += tests/unit/run/test_bridge
tests_unit_run_test_bridge_SOURCES = tests/unit/run/test_bridge.c $(NETFIXTURE)
tests_unit_run_test_bridge_LDADD = $(RUN_LIBS)
UNIT_TESTS += tests/unit/run/test_serve
tests_unit_run_test_serve_SOURCES = tests/unit/run/test_serve.c $(NETFIXTURE)
tests_unit_run_test_serve_LDADD = $(RUN_LIBS)
tests_unit_run_test_serve_LDFLAGS = $(AM_LDFLAGS) $(EXPORT_CALLS)
UNIT_TESTS += tests/unit/run/test_setup
tests_unit_run_test_setup_SOURCES = tests/unit/run/test_setup.c $(NETFIXTURE)
tests_unit_run_test_setup_LDADD = $(RUN_LIBS)
tests_unit_run_test_setup_LDFLAGS = $(AM_LDFLAGS) $(EXPORT_CALLS)
