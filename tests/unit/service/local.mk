# SPDX-License-Identifier: MIT
SESSIONRIG = tests/unit/service/sessionrig.c tests/unit/service/sessionrig.h $(NETFIXTURE)
UNIT_TESTS += tests/unit/service/test_session
tests_unit_service_test_session_SOURCES = tests/unit/service/test_session.c tests/unit/service/session_ends.c \
	tests/unit/service/session_ends.h $(SESSIONRIG)
tests_unit_service_test_session_LDADD = $(UNIT_LIBS)
