# SPDX-License-Identifier: MIT
SESSIONRIG = tests/unit/service/sessionrig.c tests/unit/service/sessionrig.h $(NETFIXTURE)
UNIT_TESTS += tests/unit/service/test_session
tests_unit_service_test_session_SOURCES = tests/unit/service/test_session.c tests/unit/service/session_ends.c \
	tests/unit/service/session_ends.h $(SESSIONRIG)
tests_unit_service_test_session_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/service/test_chargen
tests_unit_service_test_chargen_SOURCES = tests/unit/service/test_chargen.c $(SESSIONRIG)
tests_unit_service_test_chargen_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/service/test_daytime
tests_unit_service_test_daytime_SOURCES = tests/unit/service/test_daytime.c $(SESSIONRIG)
tests_unit_service_test_daytime_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/service/test_discard
tests_unit_service_test_discard_SOURCES = tests/unit/service/test_discard.c $(SESSIONRIG)
tests_unit_service_test_discard_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/service/test_echo
tests_unit_service_test_echo_SOURCES = tests/unit/service/test_echo.c $(SESSIONRIG)
tests_unit_service_test_echo_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/service/test_session_io
tests_unit_service_test_session_io_SOURCES = tests/unit/service/test_session_io.c $(SESSIONRIG)
tests_unit_service_test_session_io_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/service/test_time
tests_unit_service_test_time_SOURCES = tests/unit/service/test_time.c $(SESSIONRIG)
tests_unit_service_test_time_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/service/test_registry
tests_unit_service_test_registry_SOURCES = tests/unit/service/test_registry.c $(NETFIXTURE)
tests_unit_service_test_registry_LDADD = $(UNIT_LIBS)
