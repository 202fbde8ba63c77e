# SPDX-License-Identifier: MIT
# The real daemon from the outside, simple things first. Each can be run alone: tests/func/basic-01-services.py
FUNC_TESTS = \
	tests/func/basic-01-services.py \
	tests/func/basic-02-options.py \
	tests/func/net-01-binding.py \
	tests/func/net-02-admission.py \
	tests/func/net-03-emfile.py \
	tests/func/net-04-unix-paths.py \
	tests/func/pool-01-queue.py \
	tests/func/pool-02-spread.py \
	tests/func/pool-03-classic.py \
	tests/func/pool-04-room.py \
	tests/func/pool-05-two-listeners.py \
	tests/func/service-01-clean-end.py \
	tests/func/service-02-timeouts.py \
	tests/func/reload-01-transaction.py \
	tests/func/reload-02-pools.py \
	tests/func/reload-03-under-load.py \
	tests/func/reload-04-async.py \
	tests/func/exec-01-programs.py \
	tests/func/exec-02-faults.py \
	tests/func/exec-03-limits-users.py tests/func/reg-8-programs.py tests/func/reg-8-users.py \
	tests/func/reg-8-orphan-pool.py \
	tests/func/exec-04-reload.py tests/func/exec-05-wait.py \
	tests/func/reg-8-shared-descriptors.py \
	tests/func/reg-8-unix-clients.py \
	tests/func/reg-8-shared-socket.py \
	tests/func/stop-01-drain.py \
	tests/func/stop-02-notify.py
EXTRA_DIST += tests/func/cpharness.py tests/func/execlib.py

dist_check_SCRIPTS += $(FUNC_TESTS)
TESTS += $(FUNC_TESTS)

# What is installed, and where.
INSTALL_TESTS = tests/func/install-01-package.py
EXTRA_DIST += tests/func/packagelib.py

dist_check_SCRIPTS += $(INSTALL_TESTS)
TESTS += $(INSTALL_TESTS)

# The build that it and tests/systemd/ install.
clean-local:
	rm -rf tests/package

# Faults that were found by reading and by hand, one file each.
REGRESSION_TESTS = \
	tests/func/reg-8-stop-and-checks.py

dist_check_SCRIPTS += $(REGRESSION_TESTS)
TESTS += $(REGRESSION_TESTS)

# connpool-client against servers that are threads of the tests.
CLIENT_FUNC_TESTS = \
	tests/func/client-01-connect.py \
	tests/func/client-02-send.py \
	tests/func/client-03-bench.py \
	tests/func/client-04-options.py
EXTRA_DIST += tests/func/clientlib.py

dist_check_SCRIPTS += $(CLIENT_FUNC_TESTS)
TESTS += $(CLIENT_FUNC_TESTS)

# Long runs, small by default; CP_SOAK=full runs them with the promised figures.
SOAK_TESTS = \
	tests/func/soak-01-clients.py \
	tests/func/soak-02-reload.py \
	tests/func/soak-03-overload.py \
	tests/func/soak-04-memory.py \
	tests/func/soak-05-hostile.py
EXTRA_DIST += tests/func/soaklib.py

dist_check_SCRIPTS += $(SOAK_TESTS)
TESTS += $(SOAK_TESTS)

# The proxy service, between servers that are threads or processes of the tests, and between programs of others.
PROXY_TESTS = \
	tests/func/proxy-01-relay.py \
	tests/func/proxy-02-timeouts.py \
	tests/func/proxy-03-balance.py \
	tests/func/proxy-04-limits.py \
	tests/func/proxy-05-health.py \
	tests/func/proxy-06-faults.py \
	tests/func/proxy-07-ready.py \
	tests/func/proxy-08-header.py \
	tests/func/proxy-09-names.py \
	tests/func/proxy-10-protocols.py
EXTRA_DIST += tests/func/dnslib.py tests/func/proxylib.py

dist_check_SCRIPTS += $(PROXY_TESTS)
TESTS += $(PROXY_TESTS)

# Handlers from shared objects (tests/modules/).
MODULE_TESTS = \
	tests/func/module-01-load.py \
	tests/func/module-02-run.py \
	tests/func/module-03-faults.py tests/func/module-04-crashes.py \
	tests/func/module-05-exceptions.py tests/func/module-06-debuggers.py

dist_check_SCRIPTS += $(MODULE_TESTS)
TESTS += $(MODULE_TESTS)

# Those of examples/.
EXAMPLE_TESTS = tests/func/examples-01.py

dist_check_SCRIPTS += $(EXAMPLE_TESTS)
TESTS += $(EXAMPLE_TESTS)

# connpoold-import, with files as packages and their users write them; and the recipes of conf/recipes/.
IMPORT_TESTS = \
	tests/func/import-01-xinetd.py \
	tests/func/import-02-inetd.py \
	tests/func/recipes-01.py
EXTRA_DIST += tests/func/importconf.py

dist_check_SCRIPTS += $(IMPORT_TESTS)
TESTS += $(IMPORT_TESTS)

# The check service.
CHECK_TESTS = \
	tests/func/check-01-formats.py \
	tests/func/check-02-cache.py \
	tests/func/check-03-haproxy.py
EXTRA_DIST += tests/func/checklib.py

dist_check_SCRIPTS += $(CHECK_TESTS)
TESTS += $(CHECK_TESTS)
