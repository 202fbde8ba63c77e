# SPDX-License-Identifier: MIT
# Units, the user, the run directory and the journal's catalog. They are installed with libsystemd's support only.
EXTRA_DIST += systemd/connpoold.service.in
# Not in force by itself: to be copied into the unit's folder of drop-ins.
dist_doc_DATA = systemd/connpoold-programs.conf
if WITH_SYSTEMD
sysusersdir = $(prefix)/lib/sysusers.d
tmpfilesdir = $(prefix)/lib/tmpfiles.d
catalogdir = $(prefix)/lib/systemd/catalog
nodist_systemdsystemunit_DATA = systemd/connpoold.service
dist_systemdsystemunit_DATA = systemd/connpoold.socket
dist_sysusers_DATA = systemd/sysusers.d/connpoold.conf
dist_tmpfiles_DATA = systemd/tmpfiles.d/connpoold.conf
dist_catalog_DATA = systemd/connpoold.catalog
else
EXTRA_DIST += systemd/connpoold.socket systemd/sysusers.d/connpoold.conf systemd/tmpfiles.d/connpoold.conf \
	systemd/connpoold.catalog
endif

# By make and not by configure, so that `make prefix=DIR install` holds too.
CLEANFILES += systemd/connpoold.service
systemd/connpoold.service: systemd/connpoold.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) systemd && $(SED) -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g' \
		$(srcdir)/systemd/connpoold.service.in > $@.tmp && mv $@.tmp $@
