# SPDX-License-Identifier: MIT
# Random configs, clients, programs and faults, from a seed. Short here; tests/chaos/chaos.py runs for as long as one likes.
CHAOS_TESTS = \
	tests/chaos/chaos-01.py
EXTRA_DIST += \
	tests/chaos/actor.c \
	tests/chaos/chaos.py \
	tests/chaos/chaoschecks.py \
	tests/chaos/chaosclients.py \
	tests/chaos/chaosconf.py \
	tests/chaos/chaosops.py \
	tests/chaos/chaosplan.py \
	tests/chaos/chaosrun.py \
	tests/chaos/chaosshrink.py

# Its programs; never with sanitizers, which would make each start slow.
check_DATA += tests/chaos/actor
CLEANFILES += tests/chaos/actor
tests/chaos/actor: tests/chaos/actor.c
	$(AM_V_CC)$(MKDIR_P) tests/chaos && $(CC) $(CPPFLAGS) -O1 -Wall -Wextra -o $@ $(top_srcdir)/tests/chaos/actor.c

dist_check_SCRIPTS += $(CHAOS_TESTS)
TESTS += $(CHAOS_TESTS)
