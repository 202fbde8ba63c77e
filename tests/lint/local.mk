# SPDX-License-Identifier: MIT
# Checks of the source itself; each reads the tree below top_srcdir and can be run alone: tests/lint/check-layers
LINT_TESTS = \
	tests/lint/check-catalog \
	tests/lint/check-format \
	tests/lint/check-header \
	tests/lint/check-layers \
	tests/lint/check-man \
	tests/lint/check-options \
	tests/lint/check-security \
	tests/lint/check-sizes \
	tests/lint/check-spdx \
	tests/lint/check-tests
EXTRA_DIST += tests/lint/lintlib.py

dist_check_SCRIPTS += $(LINT_TESTS)
TESTS += $(LINT_TESTS)
