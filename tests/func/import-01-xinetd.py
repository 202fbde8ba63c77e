#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""connpoold-import with files as xinetd's packages and their users write them."""
import os

from cpharness import Daemon, Skip, expect, expect_equal, expect_match, main
from importconf import check, convert, files, has_service, listener, run_import

# As packages ship it, but for programs and users that every machine has.
CHECK_MK = """# +------------------------------------------------------------------+
service check_mk
{
        type           = UNLISTED
        port           = 6556
        socket_type    = stream
        protocol       = tcp
        wait           = no
        user           = root
        server         = /bin/cat

        # If you use fully redundant monitoring and poll the client
        # from more then one monitoring servers in parallel you might
        # want to use the agent cache wrapper:
        # server         = /usr/bin/check_mk_caching_agent

        # configure the IP address(es) of your Nagios server here:
        only_from      = 127.0.0.1 10.0.20.1 10.0.20.2

        # Don't be too verbose. Don't log every check. This might be
        # commented out for debugging. If this option is commented out
        # the default options will be used for this service.
        log_on_success =
        per_source     = 3

        disable        = no
}
"""
MYSQLCHK = """# default: on
# description: mysqlchk
service mysqlchk
{
# this is a config for xinetd, place it in /etc/xinetd.d/
        disable = no
        flags           = REUSE
        socket_type     = stream
        port            = 9200
        wait            = no
        user            = nobody
        server          = /bin/cat
        type            = UNLISTED
        log_on_failure  += USERID
        only_from       = 0.0.0.0/0
        # recommended to put the IPs that need
        # to connect exclusively (security purposes)
        per_source      = UNLIMITED
}
"""
LIVESTATUS = """service livestatus
{
	type		= UNLISTED
	port		= 6557
	socket_type	= stream
	protocol	= tcp
	wait		= no
	cps             = 100 3
	instances       = 500
	per_source      = 250
	flags           = NODELAY
	user		= nobody
	server		= /bin/cat
	server_args     = /var/lib/nagios/rw/live
	only_from       = 127.0.0.1 10.0.20.{1,2}
	disable		= no
}
"""
REDIRECT = """service ironic_api
{
  disable = no
  type = UNLISTED
  socket_type = stream
  protocol = tcp
  wait = no
  user = root
  redirect = fd00:1101::3 6443
  port = 6443
  flags = IPv4
  log_type = FILE /var/log/redirect.log
}
"""
CTF = """service ctf
{
    disable = no
    socket_type = stream
    protocol    = tcp
    wait        = no
    user        = nobody
    type        = UNLISTED
    port        = 9999
    bind        = 0.0.0.0
    server      = /bin/sh
    server_args = -c exec\x20/bin/cat
    banner_fail = @DIR@/banner_fail
    # safety options
    per_source = 10 # the maximum instances of this service per source IP address
    rlimit_cpu = 20
    rlimit_as  = 100M
    nice       = 10
    env        = TERM=dumb HOME=/nonexistent
    passenv    =
}
"""
TFTP = """service tftp
{
	socket_type		= dgram
	protocol		= udp
	wait			= yes
	user			= root
	server			= /usr/sbin/in.tftpd
	server_args		= -s /var/lib/tftpboot
	disable			= no
	per_source		= 11
	cps			= 100 2
	flags			= IPv4
}
"""
DEFAULTS = """defaults
{
	log_type	= SYSLOG daemon info
	log_on_failure	= HOST
	log_on_success	= PID HOST DURATION EXIT
	cps		= 50 10
	instances	= 50
	per_source	= 10
	v6only		= no
	groups		= yes
	umask		= 002
	disabled	= ctf
}

includedir @DIR@/xinetd.d
"""
ECHO = """service echo
{
	disable		= no
	type		= INTERNAL
	id		= echo-stream
	socket_type	= stream
	protocol	= tcp
	user		= root
	wait		= no
}

service echo
{
	disable		= no
	type		= INTERNAL
	id		= echo-dgram
	socket_type	= dgram
	protocol	= udp
	user		= root
	wait		= yes
}
"""
SMALL = """service echo
{
	type		= INTERNAL UNLISTED
	socket_type	= stream
	wait		= no
	bind		= 127.0.0.1
	port		= %d
	flags		= KEEPALIVE NODELAY
	instances	= 7
	only_from	= 127.0.0.0
}
"""


def test_checkmk_agent():
    config, err = convert(CHECK_MK)
    text = listener(config, "check_mk")
    expect('address = "tcp:*:6556";' in text, text)
    expect('max_per_source = 3;' in text, text)
    expect('allow = [ "127.0.0.1", "10.0.20.1", "10.0.20.2" ];' in text, text)
    expect('service = { type = "exec"; command = [ "/bin/cat" ]; user = "root"; };' in text, text)
    expect("log_on_success =: each closed connection is logged" in text, text)
    expect_equal(err, "", "warnings")


def test_galera_check():
    config, err = convert(MYSQLCHK)
    text = listener(config, "mysqlchk")
    expect('allow = [ "0.0.0.0/0" ];' in text, text)
    expect('user = "nobody";' in text and "max_per_source" not in text, text)
    expect("ident (RFC 1413) is not asked" in text, text)
    expect_equal(err, "", "warnings")


def test_livestatus():
    config, err = convert(LIVESTATUS)
    text = listener(config, "livestatus")
    for part in ("no_delay = true;", "max_connections = 500;", "max_per_source = 250;",
                 'allow = [ "127.0.0.1", "10.0.20.1", "10.0.20.2" ];', "cps = 100 3: there is no limit of the rate"):
        expect(part in text, f"{part}: {text}")
    expect_match(r"^input:8: warning: cps: ", err, "the warning")


def test_redirect_becomes_a_proxy():
    config, _ = convert(REDIRECT)
    text = listener(config, "ironic_api")
    expect('address = "tcp:0.0.0.0:6443";' in text, text)
    expect('service = { type = "proxy"; upstream = "ironic_api"; };' in text, text)
    expect('ironic_api: { servers = ( { address = "tcp:[fd00:1101::3]:6443"; } ); };' in config, config)
    expect("log_type = FILE /var/log/redirect.log: " in text, text)
    status, messages = check(config)
    expect_equal(status, 0, f"status of --check ({messages})")


def test_ctf_challenge():
    with files(ctf=CTF, banner_fail="Too many of you.\n") as folder:
        status, config, err = run_import(f"{folder}/ctf")
    expect_equal(status, 0, err)
    text = listener(config, "ctf")
    for part in ('address = "tcp:0.0.0.0:9999";', 'busy_message = "Too many of you.\\n";', 'limit_cpu = "20s";',
                 'limit_address_space = "100MiB";', "nice = 10;",
                 'environment = [ "TERM=dumb", "HOME=/nonexistent" ];'):
        expect(part in text, f"{part}: {text}")
    # To xinetd a '#' behind a value is one of its words.
    expect_match(r"ctf:\d+: warning: per_source: expected a number", err, "the warning")


def test_what_connpoold_has_not_is_told():
    config, err = convert(TFTP)
    expect("# - not imported: there are no datagrams (UDP) yet" in config, config)
    expect("#     server_args = -s /var/lib/tftpboot" in config, config)
    expect_match(r"^input:1: warning: 'tftp' is not served: there are no datagrams", err, "the warning")


def test_defaults_and_folder():
    with files(xinetd_conf=DEFAULTS, xinetd_d__echo=ECHO, xinetd_d__livestatus=LIVESTATUS, xinetd_d__ctf=CTF,
               **{"xinetd_d__left.out": "nonsense\n", "xinetd_d__backup~": "nonsense\n"}) as folder:
        status, config, err = run_import(f"{folder}/xinetd.conf")
    expect_equal(status, 0, f"status ({err})")
    expect("max_connections = 50;" in listener(config, "echo-stream"), config)
    expect("max_connections = 500;" in listener(config, "livestatus"), config)
    expect('umask = "0002";' in listener(config, "livestatus"), config)
    expect('name = "ctf"' not in config and f"# - ctf: {folder}/xinetd.d/ctf, line 1" in config, config)
    expect("# echo-dgram: " in config, config)
    expect_equal(config.count("# - cps = 50 10: "), 1, "comments on what the defaults say")
    expect("nonsense" not in config + err, config)


def test_disabled_services_are_kept_when_asked_for():
    off = CHECK_MK.replace("disable        = no", "disable = yes")
    config, _ = convert(off)
    expect('name = "check_mk"' not in config and "# - check_mk: input, line 2" in config, config)
    config, _ = convert(off, "--disabled")
    expect('\t# \tname = "check_mk";\n' in config, config)


def test_errors_have_file_and_line():
    config, err = convert("service a\n{\n\tport 7\n}\n" + SMALL % 39999)
    expect_match(r"^input:3: error: expected an attribute", err, "the error")
    expect('name = "echo"' in config, config)


def test_output_passes_check():
    if not has_service("exec"):
        raise Skip("no exec service")
    with files(xinetd_conf=DEFAULTS, xinetd_d__echo=ECHO, xinetd_d__livestatus=LIVESTATUS, xinetd_d__mk=CHECK_MK,
               xinetd_d__chk=MYSQLCHK, xinetd_d__vip=REDIRECT, xinetd_d__tftp=TFTP) as folder:
        status, config, err = run_import("--disabled", folder + "/xinetd.conf")
    expect_equal(status, 0, f"status ({err})")
    status, messages = check(config)
    expect_equal(status, 0, f"status of --check ({messages}) of\n{config}")


def test_output_of_this_machines_files_passes_check():
    status, config, err = run_import("--disabled")
    if status == 1:
        expect("there is no configuration of xinetd or inetd" in err, err)
        raise Skip("there are no such files here")
    expect_equal(status, 0, f"status ({err})")
    if "nothing is left to serve" in err:
        expect("There is nothing to serve yet" in config, config)
        raise Skip("nothing is switched on here")
    if 'type = "exec"' in config and not has_service("exec"):
        raise Skip("no exec service")
    status, messages = check(config)
    expect_equal(status, 0, f"status of --check ({messages}) of\n{config}")


def test_output_is_served():
    config, err = convert(SMALL % 39999)
    expect_equal(err, "", "warnings")
    expect('allow = [ "127.0.0.0/8" ];' in config, config)
    with Daemon(config.replace(":39999", ":0") + 'log: { target = "stderr"; };\n') as daemon:
        with daemon.connect("echo") as client:
            client.expect_echo()


def test_a_file_is_written_whole_or_not_at_all():
    with files(input=SMALL % 39999) as folder:
        out = os.path.join(folder, "out.conf")
        status, text, err = run_import("-o", out, folder + "/input")
        expect_equal((status, text, err), (0, "", ""), "status and output")
        with open(out, encoding="utf-8") as stream:
            expect('name = "echo"' in stream.read(), "the file has the listener")
        status, _, err = run_import("-o", folder + "/nowhere/out.conf", folder + "/input")
        expect_equal(status, 1, "status")
        expect("No such file or directory" in err, err)
        expect_equal(sorted(os.listdir(folder)), ["input", "out.conf"], "files in the folder")


def test_command_line():
    for args, expected in ((["--help"], 0), (["-h"], 0), (["--version"], 0), (["--nonsense"], 2), (["-o"], 2),
                           (["/nonexistent/file"], 1)):
        status, out, err = run_import(*args)
        expect_equal(status, expected, f"status of {args}")
        expect_equal((out == "", err == ""), (expected != 0, expected == 0), f"streams used by {args}")


main(globals())
