# SPDX-License-Identifier: MIT
"""From a plan's config to the text of a config file."""
import json
import os
import pwd
import shutil
import socket
import tempfile

from cpharness import TOP_BUILDDIR, Skip, has_ipv6
from execlib import strings

ACTOR = os.path.join(TOP_BUILDDIR, "tests", "chaos", "actor")
MODULE = os.path.join(TOP_BUILDDIR, "tests", "modules", "probe-one.so")
# Of these the first that runs no process is the user of programs that stop all that their user runs.
USERS = ("games", "irc", "list", "backup", "news", "uucp", "lp")
DRAIN_SECONDS = 1
BROKEN = (
    'listeners: ( { name = "broken";',
    'listeners: ( { name = "broken"; address = "tcp:127.0.0.1:0"; service = "nothing"; } );\n',
    'listeners: ( { name = "b"; address = "unix:/nonexistent/folder/s"; service = "echo"; } );\n',
    'listeners: ( { name = "b"; address = "tcp:127.0.0.1:0"; service = { type = "exec"; command = [ "/bin/true" ];'
    ' user = "nosuchuser"; }; } );\n',
    'pools: { p: { workers = -1; }; };\n'
    'listeners: ( { name = "b"; address = "tcp:127.0.0.1:0"; service = "echo"; } );\n',
)


def idle_user():
    """A user without a process, or None: nobody else may be hit."""
    busy = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                busy.add(os.stat(f"/proc/{entry}").st_uid)
            except OSError:
                pass
    for name in USERS:
        try:
            if pwd.getpwnam(name).pw_uid not in busy:
                return name
        except KeyError:
            pass
    return None


class Places:
    """The folder of a run, its program, and the addresses of its listeners: kept free for them until the end."""

    def __init__(self, plan):
        if not os.access(ACTOR, os.X_OK):
            raise Skip(f"there is no {ACTOR}: make check builds it")
        self.dir = tempfile.mkdtemp(prefix="cp-chaos-", dir="/tmp")
        os.chmod(self.dir, 0o755)
        # Where every user may run it, wherever it was built.
        self.actor = shutil.copy(ACTOR, os.path.join(self.dir, "actor"))
        os.chmod(self.actor, 0o755)
        self.user = idle_user() if any(item["kind"] == "exec-stopall" for item in plan["listeners"]) else None
        self.reserved, self.where, self.texts = [], {}, {}
        for item in plan["listeners"]:
            self.place(item["name"], item["address"])

    def place(self, name, kind):
        if kind == "unix":
            path = os.path.join(self.dir, name + ".sock")
            self.where[name], self.texts[name] = (socket.AF_UNIX, path), "unix:" + path
        elif kind == "abstract":
            text = os.path.basename(self.dir) + "/" + name
            self.where[name], self.texts[name] = (socket.AF_UNIX, "\0" + text), "unix:@" + text
        else:
            family, host = (socket.AF_INET6, "::1") if kind == "tcp6" and has_ipv6() else (socket.AF_INET, "127.0.0.1")
            sock = socket.socket(family, socket.SOCK_STREAM)
            # Bound and not listening: the daemon can bind it too, and the kernel gives it to nobody else.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, 0))
            self.reserved.append(sock)
            port = sock.getsockname()[1]
            self.where[name] = (family, (host, port))
            self.texts[name] = f"tcp:[{host}]:{port}" if family == socket.AF_INET6 else f"tcp:{host}:{port}"

    def end(self):
        for sock in self.reserved:
            sock.close()
        shutil.rmtree(self.dir, ignore_errors=True)


# ---- a config of a plan --------------------------------------------------------------------------


class Config:
    """One of a plan's configs, with what it means: which pools and listeners there are."""

    def __init__(self, plan, number, fresh=0):
        config = plan["configs"][number]
        self.number = number
        self.programs = f"{config['programs']}-{fresh}"
        self.pools = {name: {**pool, **config["pools"].get(name, {})} for name, pool in plan["pools"].items()}
        self.listeners = {}
        for item in plan["listeners"]:
            if item["name"] not in config["without"]:
                self.listeners[item["name"]] = {**item, "kind": config["kinds"].get(item["name"], item["kind"]),
                                                "was": item["kind"]}

    def capacity(self, pool):
        return self.pools[pool]["workers"] * self.pools[pool]["connections_per_worker"]


def seconds(value):
    return f'"{round(value * 1000)}ms"'


def option_text(key, value):
    if key in ("idle_timeout", "lifetime"):
        return f"{key} = {seconds(value)};"
    return f"{key} = {json.dumps(value)};"


def service_text(item, config, places):
    kind = item["kind"]
    family, _, mode = kind.partition("-")
    if kind in ("echo", "discard", "daytime", "time", "chargen"):
        return f'"{kind}"'
    if kind == "header":
        return '"echo"'
    if kind == "module":
        return f'{{ type = "module"; path = "{MODULE}"; }}'
    if family == "proxy":
        return f'{{ type = "proxy"; upstream = "{mode or "good"}"; half_closed_timeout = "500ms"; }}'
    if kind == "check":
        command = strings([places.actor, "say", places.dir, "fine"])
        return f'{{ type = "check"; command = {command}; max_age = "50ms"; timeout = "5s"; }}'
    argument = os.path.join(places.dir, "record") if mode == "record" else item.get("argument", "0")
    user = f'user = "{places.user}";' if mode == "stopall" else ""
    wait = "wait = true;" if family == "wait" else ""
    command = strings([places.actor, mode, places.dir, argument, item["name"]])
    return (f'{{ type = "exec"; command = {command}; {user} {wait} nice = {item.get("nice", 0)}; '
            f'kill_timeout = {seconds(item["kill_timeout"])}; environment = [ "PROGRAMS={config.programs}" ]; }}')


def listener_text(item, config, places):
    options = dict(item["options"])
    if item["kind"].startswith("wait-"):
        options = {}
    more = " ".join(option_text(key, value) for key, value in options.items())
    if item["kind"] == "header":
        more += " accept_proxy = true;" + (' trusted_proxies = [ "127.0.0.0/8", "::1" ];'
                                          if item["address"].startswith("tcp") else "")
    return (f'  {{ name = "{item["name"]}"; address = "{places.texts[item["name"]]}"; pool = "{item["pool"]}"; {more} '
            f'service = {service_text(item, config, places)}; }}')


def pool_text(name, pool):
    return (f'  {name}: {{ workers = {pool["workers"]}; connections_per_worker = {pool["connections_per_worker"]}; '
            f'queue_size = {pool["queue_size"]}; queue_full = "{pool["queue_full"]}"; '
            f'queue_timeout = {seconds(pool["queue_timeout"])}; stack_size = "{pool["stack_size"]}"; }};')


def upstream_text(name, servers):
    lines = [f'    {{ address = "{server.address}"; max_connections = {server.spec["max"]}; '
             f'ready_connections = {server.spec["ready"]}; }}' for server in servers]
    return (f'  {name}: {{ connect_timeout = "500ms"; queue_timeout = "1s"; retry_after = "200ms"; servers = (\n'
            + ",\n".join(lines) + "); };")


def config_text(config, places, upstreams):
    items = [item for item in config.listeners.values() if item["kind"] != "exec-stopall" or places.user]
    return "\n".join([
        f'daemon: {{ drain_timeout = "{DRAIN_SECONDS}s"; }};', 'log: { target = "stderr"; };', "pools: {",
        *(pool_text(name, pool) for name, pool in config.pools.items()), "};", "upstreams: {",
        *(upstream_text(name, servers) for name, servers in upstreams.items()), "};", "listeners: (",
        ",\n".join(listener_text(item, config, places) for item in items), ");", ""])
