# SPDX-License-Identifier: MIT
DAEMON_RIG = tests/unit/daemon/daemonrig.c tests/unit/daemon/daemonrig.h tests/unit/pool/threads.h
UNIT_TESTS += tests/unit/daemon/test_generation
tests_unit_daemon_test_generation_SOURCES = tests/unit/daemon/test_generation.c $(DAEMON_RIG)
tests_unit_daemon_test_generation_LDADD = $(UNIT_LIBS)
# Threads that can't be had are one of its cases.
tests_unit_daemon_test_generation_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pthread_create
UNIT_TESTS += tests/unit/daemon/test_inspect
tests_unit_daemon_test_inspect_SOURCES = tests/unit/daemon/test_inspect.c $(DAEMON_RIG)
tests_unit_daemon_test_inspect_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/daemon/test_limits
tests_unit_daemon_test_limits_SOURCES = tests/unit/daemon/test_limits.c $(DAEMON_RIG)
tests_unit_daemon_test_limits_LDFLAGS = $(AM_LDFLAGS) $(EXPORT_CALLS)
tests_unit_daemon_test_limits_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/daemon/test_reload
tests_unit_daemon_test_reload_SOURCES = tests/unit/daemon/test_reload.c $(DAEMON_RIG)
tests_unit_daemon_test_reload_LDADD = $(UNIT_LIBS)
# A name service that takes its time is one of its cases.
tests_unit_daemon_test_reload_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=getpwnam
UNIT_TESTS += tests/unit/daemon/test_watch
tests_unit_daemon_test_watch_SOURCES = tests/unit/daemon/test_watch.c $(DAEMON_RIG)
tests_unit_daemon_test_watch_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/daemon/test_daemon
tests_unit_daemon_test_daemon_SOURCES = tests/unit/daemon/test_daemon.c $(DAEMON_RIG)
tests_unit_daemon_test_daemon_LDADD = $(UNIT_LIBS)
tests_unit_daemon_test_daemon_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=getpwnam
UNIT_TESTS += tests/unit/daemon/test_lending
tests_unit_daemon_test_lending_SOURCES = tests/unit/daemon/test_lending.c $(FAKESPAWNER) $(NETFIXTURE)
tests_unit_daemon_test_lending_LDADD = $(UNIT_LIBS)
