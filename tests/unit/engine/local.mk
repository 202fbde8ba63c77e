UNIT_TESTS += tests/unit/engine/test_fiber tests/unit/engine/test_loop tests/unit/engine/test_stack tests/unit/engine/test_timer
tests_unit_engine_test_fiber_SOURCES = tests/unit/engine/test_fiber.c
tests_unit_engine_test_fiber_LDADD = $(UNIT_LIBS)
tests_unit_engine_test_loop_SOURCES = tests/unit/engine/test_loop.c \
	tests/unit/engine/loop_shared.c tests/unit/engine/loop_shared.h tests/unit/base/aborts.h
tests_unit_engine_test_loop_LDADD = $(UNIT_LIBS)
tests_unit_engine_test_stack_SOURCES = tests/unit/engine/test_stack.c
tests_unit_engine_test_stack_LDADD = $(UNIT_LIBS)
tests_unit_engine_test_timer_SOURCES = tests/unit/engine/test_timer.c
tests_unit_engine_test_timer_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/engine/test_relay
tests_unit_engine_test_relay_SOURCES = tests/unit/engine/test_relay.c tests/unit/engine/relayrig.c tests/unit/engine/relayrig.h
tests_unit_engine_test_relay_LDADD = $(UNIT_LIBS)
# What can't be spliced, and pipes that can't be had, are some of its cases.
tests_unit_engine_test_relay_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=splice -Wl,--wrap=pipe2
