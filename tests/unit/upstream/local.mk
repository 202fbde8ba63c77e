# SPDX-License-Identifier: MIT
DNSRIG = tests/unit/upstream/dnsrig.c tests/unit/upstream/dnsrig.h $(NETFIXTURE)
UNIT_TESTS += tests/unit/upstream/test_resolve_set
tests_unit_upstream_test_resolve_set_SOURCES = tests/unit/upstream/test_resolve_set.c $(NETFIXTURE)
tests_unit_upstream_test_resolve_set_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/upstream/test_resolve_srv
tests_unit_upstream_test_resolve_srv_SOURCES = tests/unit/upstream/test_resolve_srv.c $(DNSRIG)
tests_unit_upstream_test_resolve_srv_LDADD = $(UNIT_LIBS)
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
UNIT_TESTS += tests/unit/upstream/test_resolve
tests_unit_upstream_test_resolve_SOURCES = tests/unit/upstream/test_resolve.c $(DNSRIG)
tests_unit_upstream_test_resolve_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/upstream/test_resolve_lookup
tests_unit_upstream_test_resolve_lookup_SOURCES = tests/unit/upstream/test_resolve_lookup.c $(DNSRIG)
tests_unit_upstream_test_resolve_lookup_LDADD = $(UNIT_LIBS)
GROUPRIG = tests/unit/upstream/grouprig.c tests/unit/upstream/grouprig.h $(NETFIXTURE)
UNIT_TESTS += tests/unit/upstream/test_balance
tests_unit_upstream_test_balance_SOURCES = tests/unit/upstream/test_balance.c $(GROUPRIG)
tests_unit_upstream_test_balance_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/upstream/test_upstream
tests_unit_upstream_test_upstream_SOURCES = tests/unit/upstream/test_upstream.c $(GROUPRIG)
tests_unit_upstream_test_upstream_LDADD = $(UNIT_LIBS)
