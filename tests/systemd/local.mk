# SPDX-License-Identifier: MIT
# The installed package under a systemd of the tests' own. They need root and namespaces, and say so when they skip.
SYSTEMD_TESTS = \
	tests/systemd/systemd-01-service.py \
	tests/systemd/systemd-02-reload.py \
	tests/systemd/systemd-03-journal.py \
	tests/systemd/systemd-04-sockets.py \
	tests/systemd/systemd-05-watchdog.py \
	tests/systemd/systemd-06-security.py \
	tests/systemd/systemd-07-programs.py
EXTRA_DIST += tests/systemd/boxlib.py
# For people: tests/systemd/box -i systemctl status connpoold
dist_check_SCRIPTS += tests/systemd/box tests/systemd/box-init

dist_check_SCRIPTS += $(SYSTEMD_TESTS)
TESTS += $(SYSTEMD_TESTS)
