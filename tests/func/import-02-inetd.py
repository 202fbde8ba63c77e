#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""connpoold-import with an inetd.conf of each dialect."""
from cpharness import Daemon, Skip, expect, expect_equal, expect_match, main
from importconf import check, convert, files, has_service, listener, run_import

# As Debian has it, but for programs and users that every machine has.
DEBIAN = """# /etc/inetd.conf:  see inetd(8) for further informations.
#
# Lines starting with "#:LABEL:" or "#<off>#" should not
# be changed unless you know what you are doing!
#
# <service_name> <sock_type> <proto> <flags> <user> <server_path> <args>

#:INTERNAL: Internal services
#discard		stream	tcp6	nowait	root	internal
echo		stream	tcp	nowait	root	internal
time		dgram	udp	wait	root	internal
daytime		stream	tcp4	nowait.40	root	internal

#:STANDARD: These are standard services.
ftp		stream	tcp	nowait	root	/usr/sbin/tcpd	/bin/cat -u
#<off># telnet	stream	tcp	nowait	root	/bin/cat	cat

#:BSD: Shell, login, exec and talk are BSD protocols.
127.0.0.1:5666	stream	tcp	nowait	nobody	/bin/cat	cat -A "two words"
[::1]:5667	stream	tcp6	nowait	root:root	/bin/cat
@DIR@/sock	stream	unix	nowait	root	/bin/cat
"""
# As the BSDs and GNU have it.
OTHERS = """127.0.0.1:
10001	stream	tcp,sndbuf=16k,rcvbuf=1m	nowait	root	/bin/cat	cat
*:
10002	stream	tcp46	nowait/10/40/5	root	/bin/cat
	cat -u
10003,10004 stream tcp nowait root
10005	stream	tcp	wait	root	/bin/cat
rstatd/1-3	dgram	rpc/udp	wait	root	/bin/cat
tcpmux/+date	stream	tcp	nowait	root	/bin/date
"""


def test_debian():
    config, err = convert(DEBIAN)
    expect('address = "tcp:*:7"; service = "echo";' in listener(config, "echo"), config)
    expect('address = "tcp:0.0.0.0:13"; service = "daytime";' in listener(config, "daytime"), config)
    expect("max-per-minute = 40: " in listener(config, "daytime"), config)
    expect('command = [ "/bin/cat", "-u" ];' in listener(config, "ftp"), config)
    expect_match(r"^input:15: warning: 'ftp' loses tcpd", err, "the warning")
    text = listener(config, "5666")
    expect('address = "tcp:127.0.0.1:5666";' in text, text)
    expect('command = [ "/bin/cat", "-A", "two words" ]; user = "nobody";' in text, text)
    expect('address = "tcp:[::1]:5667";' in listener(config, "5667"), config)
    expect('address = "unix:sock";' in config, config)
    expect("# - telnet: input, line 16" in config, config)
    expect_match(r"^input:11: warning: 'time' is not served: there are no datagrams", err, "the warning")
    expect("discard" not in config, config)


def test_other_dialects():
    config, err = convert(OTHERS)
    text = listener(config, "10001")
    for part in ('address = "tcp:127.0.0.1:10001";', 'send_buffer = "16KiB";', 'receive_buffer = "1MiB";'):
        expect(part in text, f"{part}: {text}")
    text = listener(config, "10002")
    for part in ('address = "tcp:*:10002";', "max_connections = 10;", "max_per_source = 5;",
                 'command = [ "/bin/cat", "-u" ];', "max-per-source-per-minute = 40: "):
        expect(part in text, f"{part}: {text}")
    text = listener(config, "10005")
    expect('command = [ "/bin/cat" ];' in text and "wait = true;" in text, text)
    expect_match(r"^input:6: error: expected service, socket type", err, "the error")
    expect("Sun RPC is not supported" in config and "tcpmux" in config, config)


def test_two_services_at_one_address():
    config, _ = convert("echo stream tcp nowait root internal\n127.0.0.1:echo stream tcp nowait root internal\n"
                        "echo stream tcp6 nowait root internal\n7 stream tcp nowait root internal\n")
    expect_equal(config.count("\n\t{\n"), 1, "listeners that are served")
    expect_equal(config.count("has its address, or one that takes it in"), 2, "listeners in comments")
    expect("no such service is built in" in config, config)
    status, messages = check(config)
    expect_equal(status, 0, f"status of --check ({messages})")


def test_program_or_user_that_is_not_there():
    config, err = convert("10001 stream tcp nowait root /nonexistent/program\n"
                          "10002 stream tcp nowait nosuchuser /bin/cat\n"
                          "echo stream tcp nowait root internal\n")
    expect("# - not served: its program /nonexistent/program is not there" in config, config)
    expect('# - not served: its user "nosuchuser" is not there' in config, config)
    expect_match(r"^input:1: warning: '10001' is not served", err, "the warning")
    status, messages = check(config)
    expect_equal(status, 0, f"status of --check ({messages})")


def test_output_passes_check():
    if not has_service("exec"):
        raise Skip("no exec service")
    with files(inetd_conf=DEBIAN, more=OTHERS) as folder:
        status, config, err = run_import("--disabled", folder + "/inetd.conf", folder + "/more")
        expect_equal(status, 0, f"status ({err})")
        status, messages = check(config)
    expect_equal(status, 0, f"status of --check ({messages}) of\n{config}")


def test_output_is_served():
    config, err = convert("127.0.0.1:echo stream tcp nowait nobody internal\n")
    expect_equal(err, "", "warnings")
    with Daemon(config.replace('127.0.0.1:7"', '127.0.0.1:0"') + 'log: { target = "stderr"; };\n') as daemon:
        with daemon.connect("echo") as client:
            client.expect_echo()


main(globals())
