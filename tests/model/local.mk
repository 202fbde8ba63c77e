# SPDX-License-Identifier: MIT
# Protocols between threads and processes, as models that spin verifies: tests/model/check-models [NAME]
MODEL_TESTS = tests/model/check-models
EXTRA_DIST += tests/model/room.pml tests/model/spawner.pml

dist_check_SCRIPTS += $(MODEL_TESTS)
TESTS += $(MODEL_TESTS)
