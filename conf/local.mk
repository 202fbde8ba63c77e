# SPDX-License-Identifier: MIT
# Samples. One becomes the configuration, unless there is one already: what an operator wrote is never overwritten.
EXTRA_DIST += conf/connpoold.conf conf/proxy.conf conf/quickstart.conf
sampledir = $(sysconfdir)/connpoold

install-data-local:
	$(MKDIR_P) '$(DESTDIR)$(sampledir)'
	if test -e '$(DESTDIR)$(sampledir)/connpoold.conf'; then \
		echo "keeping $(DESTDIR)$(sampledir)/connpoold.conf"; \
	else \
		$(INSTALL_DATA) '$(srcdir)/conf/connpoold.conf' '$(DESTDIR)$(sampledir)/connpoold.conf'; \
	fi

# Takes away the sample alone: a file that differs from it is an operator's.
uninstall-local:
	if cmp -s '$(srcdir)/conf/connpoold.conf' '$(DESTDIR)$(sampledir)/connpoold.conf'; then \
		rm -f '$(DESTDIR)$(sampledir)/connpoold.conf'; \
	fi
	rmdir '$(DESTDIR)$(sampledir)' 2>/dev/null || true

# Include files to copy from, each for one use.
recipesdir = $(docdir)/recipes
dist_recipes_DATA = \
	conf/recipes/checkmk-agent.conf \
	conf/recipes/ctf-challenge.conf \
	conf/recipes/fastcgi.conf \
	conf/recipes/galera-clustercheck.conf \
	conf/recipes/git-daemon.conf \
	conf/recipes/livestatus.conf \
	conf/recipes/nrpe.conf \
	conf/recipes/port-redirect.conf \
	conf/recipes/rsync.conf \
	conf/recipes/vnc.conf
