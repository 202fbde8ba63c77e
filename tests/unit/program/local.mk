# SPDX-License-Identifier: MIT
UNIT_TESTS += tests/unit/program/test_needs
tests_unit_program_test_needs_SOURCES = tests/unit/program/test_needs.c
tests_unit_program_test_needs_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/program/test_program
tests_unit_program_test_program_SOURCES = tests/unit/program/test_program.c $(NETFIXTURE)
tests_unit_program_test_program_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/program/test_spawner
tests_unit_program_test_spawner_SOURCES = tests/unit/program/test_spawner.c $(NETFIXTURE)
tests_unit_program_test_spawner_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/program/test_spawner_wire
tests_unit_program_test_spawner_wire_SOURCES = tests/unit/program/test_spawner_wire.c $(NETFIXTURE)
tests_unit_program_test_spawner_wire_LDADD = $(UNIT_LIBS)
UNIT_TESTS += tests/unit/program/test_error_lines
tests_unit_program_test_error_lines_SOURCES = tests/unit/program/test_error_lines.c $(NETFIXTURE)
tests_unit_program_test_error_lines_LDADD = $(UNIT_LIBS)
