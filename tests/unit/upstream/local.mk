# SPDX-License-Identifier: MIT
CHECKRIG = tests/unit/upstream/checkrig.c tests/unit/upstream/checkrig.h $(NETFIXTURE)
UNIT_TESTS += tests/unit/upstream/test_agent
tests_unit_upstream_test_agent_SOURCES = tests/unit/upstream/test_agent.c
tests_unit_upstream_test_agent_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/upstream/test_check
tests_unit_upstream_test_check_SOURCES = tests/unit/upstream/test_check.c $(CHECKRIG)
tests_unit_upstream_test_check_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/upstream/test_probe
tests_unit_upstream_test_probe_SOURCES = tests/unit/upstream/test_probe.c $(CHECKRIG)
tests_unit_upstream_test_probe_LDADD = $(UNIT_LIBS)
# A connection that the kernel makes with itself is one of its cases.
tests_unit_upstream_test_probe_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=connect
