# SPDX-License-Identifier: MIT
"""From a seed to a plan: pools, listeners, configs and rounds of operations, as plain data that JSON can hold.

The plan is a function of the seed, of the wanted ingredients and of the length, and of nothing else. Shrinking removes
parts of it; chaosrun.py carries it out. A round has operations that run at the same time; after each round there is a
quiet point, where no client of the test is left and every listener has to serve.
"""
import random

# What a round is about. The weight says how often it is drawn.
FOCUSES = {
    "mixed": 6,  # clients of every kind on any listener
    "expire": 4,  # a pool and its queue are full until the whole queue has expired
    "rivals": 2,  # two listeners of one pool are overloaded: both must be served
    "churn": 3,  # many short connections on all listeners of a pool whose queue is small
    "forget": 4,  # fire-and-forget clients that have to queue
    "ghost": 5,  # a program's child holds the client's socket after its connection was closed
    "programs": 4,  # programs that misbehave
    "outlive": 4,  # programs that have to be ended after a reload that changed programs
    "storm": 3,  # programs start and end while reloads change programs
    "listen": 3,  # wait = true: programs that misbehave with a listening socket
    "proxy": 3,  # servers that misbehave
    "kill": 2,  # the spawner is killed
    "halt": 2,  # the spawner is stopped for a while
    "shortage": 3,  # the daemon has no descriptors for a while
    "freeze": 2,  # the whole daemon stands still for a while: its timers jump
    "users": 2,  # a program of another user stops all processes of that user (root only)
}
RELOADS = ("reload", "broken", "hups")
HONEST_EXEC = ("exec-echo", "exec-record")
HOSTILE_EXEC = ("exec-exit", "exec-sleep", "exec-deaf", "exec-leave", "exec-flags", "exec-shut", "exec-fork",
                "exec-flood", "exec-crash", "exec-close")
PLAIN = ("echo", "echo", "discard", "daytime", "time", "chargen", "check", "module", "header", "exec-echo", "proxy")
ARGUMENTS = {"exec-exit": ("0", "3"), "exec-leave": ("100", "300"), "exec-flags": ("50", "200"),
             "exec-shut": ("0", "1", "2"), "exec-fork": ("2", "5"), "exec-close": ("50", "500"),
             "exec-stopall": ("300", "800"), "wait-accept": ("200", "600"), "wait-shut": ("2", "0")}
SERVERS = ("good", "slow", "reset", "close", "refuse", "mute", "flood")
ROOMY, EXPIRING, RIVALS = "roomy", "brief", "rival"
ROUND_SECONDS = 4.0


class Source:
    """All chances of one plan."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def chance(self, share):
        return self.random.random() < share

    def between(self, low, high):
        return round(self.random.uniform(low, high), 3)

    def whole(self, low, high):
        return self.random.randint(low, high)

    def pick(self, items):
        return self.random.choice(list(items))

    def weighted(self, weights):
        return self.random.choices(list(weights), list(weights.values()))[0]


def tight_pool(source):
    """Full soon: what happens to a full queue is what most faults were about."""
    return {"workers": source.whole(1, 2), "connections_per_worker": source.pick((1, 1, 2, 4)),
            "queue_size": source.pick((1, 2, 4, 8, 16)), "queue_full": source.pick(("wait", "wait", "wait", "reject")),
            "queue_timeout": source.pick((0, 0.3, 0.5, 1.0)), "stack_size": source.pick(("32KiB", "64KiB"))}


def rival_pool(source):
    """Of classic workers, with a queue that is worth a quarrel."""
    return {**tight_pool(source), "workers": source.whole(2, 4), "connections_per_worker": 1,
            "queue_size": source.pick((8, 16, 32)), "queue_full": "wait", "queue_timeout": 0}


def expiring_pool(source):
    return {**tight_pool(source), "queue_full": "wait", "queue_timeout": source.pick((0.3, 0.5, 1.0))}


def roomy_pool(source):
    return {"workers": source.pick((1, 1, 2, 4)), "connections_per_worker": source.pick((1000, 1500)),
            "queue_size": 512,
            "queue_full": "wait", "queue_timeout": source.pick((0, 2.0)), "stack_size": "64KiB"}


def make_listener(source, name, pool, kind, address=None):
    options = {}
    if kind.startswith("exec-"):
        options["lifetime"] = source.between(0.6, 1.5)
    elif pool != ROOMY and source.chance(0.25):
        options[source.pick(("idle_timeout", "lifetime"))] = source.between(0.5, 2)
    if pool != ROOMY and kind in ("echo", "discard", "daytime", "exec-echo") and source.chance(0.25):
        options[source.pick(("max_connections", "max_per_source"))] = source.whole(2, 20)
    if source.chance(0.3):
        options["busy_message"] = "busy\r\n"
    if pool != ROOMY and source.chance(0.15):
        options["backlog"] = source.whole(1, 8)
    item = {"name": name, "pool": pool, "kind": kind, "options": options,
            "address": address or source.pick(("tcp4", "tcp4", "tcp6", "unix", "abstract"))}
    if kind in ARGUMENTS:
        item["argument"] = source.pick(ARGUMENTS[kind])
    if kind.startswith("exec-") or kind.startswith("wait-"):
        item["kill_timeout"] = source.between(0.1, 0.4)
        # It gives way to all others from before it is the program on: what holds of a start holds for longer.
        item["nice"] = 19 if kind in HOSTILE_EXEC and source.chance(0.3) else 0
    return item


def anchors(source):
    """In every config, and their pool always has room: they are probed all the time."""
    made = [make_listener(source, "a-echo", ROOMY, "echo", "tcp4"),
            make_listener(source, "a-unix", ROOMY, "echo", "unix"),
            make_listener(source, "a-exec", ROOMY, "exec-echo", "tcp4"),
            make_listener(source, "a-leave", ROOMY, "exec-leave", "tcp4")]
    made[2]["options"]["lifetime"] = 3.0
    return made


def make_listeners(source, pools, wanted):
    made = anchors(source)
    for pool in pools:
        if pool == ROOMY:
            continue
        # Two rivals and a sink: what most rounds need.
        made.append(make_listener(source, f"{pool}-one", pool, "echo", "tcp4"))
        made.append(make_listener(source, f"{pool}-two", pool, "echo", source.pick(("tcp4", "tcp4", "unix"))))
        made.append(make_listener(source, f"{pool}-sink", pool, source.pick(("exec-record", "proxy-record", "discard")),
                                  source.pick(("unix", "unix", "abstract", "tcp4"))))
        for item in made[-3:]:
            item["options"] = {key: value for key, value in item["options"].items() if key == "busy_message"}
            if item["kind"].startswith("exec-"):
                item["options"]["lifetime"] = 1.5
    for number in range(source.whole(2, 5)):
        made.append(make_listener(source, f"x{number}", source.pick(pools), source.pick(PLAIN)))
    if wanted & {"programs", "outlive", "storm"}:
        for kind in source.random.sample(HOSTILE_EXEC, source.whole(2, 4)) + ["exec-sleep", "exec-deaf"]:
            made.append(make_listener(source, f"h{len(made)}", source.pick(list(pools) + [ROOMY]), kind))
    if "storm" in wanted:
        for pool in (ROOMY, EXPIRING, source.pick(pools)):
            made.append({**make_listener(source, f"s{len(made)}", pool, "exec-exit"), "nice": 19})
    if "listen" in wanted:
        for kind in ("wait-accept", "wait-keep", "wait-shut"):
            item = make_listener(source, f"w{len(made)}", source.pick(pools), kind)
            item["options"] = {}
            made.append(item)
    if "proxy" in wanted:
        made.append(make_listener(source, "p-bad", source.pick(pools), "proxy-bad"))
    if "users" in wanted:
        made.append(make_listener(source, "u-stop", ROOMY, "exec-stopall", "tcp4"))
    return made


def make_upstreams(source):
    servers = [{"mode": source.pick(SERVERS), "unix": source.chance(0.3), "max": source.pick((0, 0, 2, 5)),
                "ready": source.pick((0, 0, 2))} for _ in range(source.whole(2, 4))]
    return {"good": [{"mode": "good", "unix": source.chance(0.3), "max": source.pick((0, 3, 8)),
                      "ready": source.pick((0, 0, 2))} for _ in range(source.whole(1, 2))],
            "record": [{"mode": "record", "unix": source.chance(0.5), "max": 0, "ready": 0}], "bad": servers}


def make_config(source, pools, listeners):
    """What differs from the first config."""
    config = {"pools": {}, "without": [], "kinds": {}, "programs": source.whole(0, 3)}
    for pool in pools:
        if pool == ROOMY:
            if source.chance(0.4):
                config["pools"][pool] = {"workers": source.whole(1, 4)}
        elif source.chance(0.5):
            fresh = {RIVALS: rival_pool, EXPIRING: expiring_pool}.get(pool, tight_pool)(source)
            config["pools"][pool] = {key: fresh[key] for key in fresh if source.chance(0.4)}
    for item in listeners:
        if item["name"].startswith("a-"):
            continue
        if source.chance(0.12):
            config["without"].append(item["name"])
        elif item["kind"] in ("wait-keep", "wait-shut", "wait-accept") and source.chance(0.5):
            config["kinds"][item["name"]] = "echo"
        elif item["name"].startswith("x") and item["kind"] in ("echo", "exec-echo", "discard") and source.chance(0.2):
            config["kinds"][item["name"]] = source.pick(("echo", "discard", "daytime"))
    return config


# ---- rounds --------------------------------------------------------------------------------------


class Rounds:
    """Draws the operations of each round."""

    def __init__(self, source, pools, listeners, configs):
        self.source, self.listeners, self.configs = source, listeners, configs
        self.tight = [pool for pool in pools if pool != ROOMY]
        self.names = [item["name"] for item in listeners]

    def of_kind(self, *kinds):
        return [item["name"] for item in self.listeners if item["kind"] in kinds]

    def op(self, name, at=0.0, **more):
        return {"op": name, "at": round(at, 3), "seed": self.source.whole(0, 1 << 30), **more}

    def client(self, listener=None):
        source = self.source
        kind = source.weighted({"fast": 4, "slow": 1, "silent": 2, "reset": 2, "half": 2, "bytes": 1, "forget": 2,
                                "burst": 2, "header": 1})
        return self.op(kind, source.between(0, 2), listener=listener or source.pick(self.names),
                       count=source.whole(20, 80) if kind == "burst" else source.whole(1, 8))

    def clients(self, low, high, listener=None):
        return [self.client(listener) for _ in range(self.source.whole(low, high))]

    def reload(self, at):
        kind = self.source.weighted({"reload": 6, "broken": 2, "hups": 1})
        return self.op(kind, at, config=self.source.whole(0, self.configs - 1))

    def draw(self, focus):
        ops = getattr(self, "draw_" + focus)()
        if self.source.chance(0.3):
            ops += self.clients(1, 3)
        if focus not in ("expire", "rivals", "churn", "outlive", "storm") and self.source.chance(0.25):
            ops.append(self.reload(self.source.between(0, 2)))
        return {"focus": focus, "ops": ops}

    def draw_mixed(self):
        ops = self.clients(3, 8)
        if self.source.chance(0.5):
            ops.append(self.reload(self.source.between(0, 2)))
        return ops

    def draw_expire(self):
        pool = self.source.pick((EXPIRING, self.source.pick(self.tight)))
        return [self.op("expire", pool=pool, extra=self.source.whole(1, 5))]

    def draw_rivals(self):
        return [self.op("rivals", pool=RIVALS, seconds=3.0, hold=self.source.between(0.015, 0.025))]

    def draw_churn(self):
        return [self.op("churn", pool=self.source.pick(self.tight), seconds=2.5, count=self.source.whole(2, 10))]

    def draw_forget(self):
        pool = self.source.pick(self.tight)
        return [self.op("post", pool=pool, count=self.source.whole(1, 6), release=self.source.between(0.05, 0.25))]

    def draw_ghost(self):
        return [self.op("keepers", count=self.source.whole(2, 6)),
                self.op("ghost", 0.1, count=self.source.whole(1, 6), idle=self.source.pick((0, 0, 400, 900)),
                        guards=self.source.pick((0, 8, 20)), then=self.source.pick(("byte", "reset", "both")))]

    def draw_programs(self):
        names = self.of_kind(*HOSTILE_EXEC)
        return [self.op("use", self.source.between(0, 1.5), listener=self.source.pick(names),
                        count=self.source.whole(1, 6),
                        send=self.source.pick((0, 10, 100000)), end=self.source.pick(("close", "reset", "half")))
                for _ in range(self.source.whole(2, 6))]

    def draw_outlive(self):
        ops = [self.op("use", 0.0, listener=name, count=self.source.whole(1, 3), send=10, end="close")
               for name in self.of_kind("exec-sleep", "exec-deaf")]
        return ops + [self.op("reload", self.source.between(0.2, 0.5), config=self.source.whole(0, self.configs - 1),
                              fresh=True)]

    def draw_storm(self):
        ops = [self.op("starts", listener=name, seconds=2.5, count=self.source.whole(3, 10))
               for name in self.names if name[0] == "s" or name == "a-exec"]
        pause = self.source.between(0.05, 0.3)
        return ops + [self.op("reload", pause * number + 0.1, config=self.source.whole(0, self.configs - 1), fresh=True)
                      for number in range(int(2.5 / pause))]

    def draw_listen(self):
        names = self.of_kind("wait-accept", "wait-keep", "wait-shut")
        ops = [self.op("fast", self.source.between(0, 0.5), listener=name, count=3) for name in names]
        return ops + [self.op("reload", self.source.between(0.3, 1.5), config=self.source.whole(0, self.configs - 1)),
                      self.op("fast", 1.8, listener=self.source.pick(names), count=3)]

    def draw_proxy(self):
        ops = []
        for name in self.of_kind("proxy", "proxy-bad"):
            ops += self.clients(2, 4, name)
        return ops

    def draw_kill(self):
        return [self.op("starts", listener="a-exec", seconds=1.5, count=4),
                self.op("kill", self.source.between(0.2, 1.0))] + self.clients(0, 3)

    def draw_halt(self):
        return [self.op("starts", listener="a-exec", seconds=1.0, count=4),
                self.op("halt", 0.2, seconds=self.source.between(0.5, 1.5))] + self.clients(0, 3)

    def draw_shortage(self):
        ops = self.clients(2, 5) + [self.op("shortage", self.source.between(0, 0.5), spare=self.source.whole(0, 12),
                                            seconds=self.source.between(0.6, 1.5)), self.op("burst", 0.6, count=30,
                                                                                            listener="a-echo")]
        if self.source.chance(0.5):
            ops.append(self.op("reload", 0.8, config=self.source.whole(0, self.configs - 1), fresh=True))
        return ops

    def draw_freeze(self):
        return self.clients(3, 6) + [
            self.op("freeze", self.source.between(0.1, 1), seconds=self.source.between(0.5, 1.5))]

    def draw_users(self):
        return [self.op("use", 0.1, listener="u-stop", count=self.source.whole(1, 3), send=0, end="close"),
                self.op("starts", 0.1, listener="u-stop", seconds=1.0, count=3)]


def make_plan(seed, seconds, only=(), without=(), is_root=True):
    """The plan of a seed. only: these focuses alone; without: not these."""
    source = Source(seed)
    weights = {focus: weight for focus, weight in FOCUSES.items()
               if (not only or focus in only) and focus not in without and (is_root or focus != "users")}
    if not weights:
        raise ValueError("no ingredient is left")
    wanted = set(weights)
    pools = {ROOMY: roomy_pool(source), EXPIRING: expiring_pool(source)}
    if "rivals" in wanted:
        pools[RIVALS] = rival_pool(source)
    pools.update({f"t{number}": tight_pool(source) for number in range(source.whole(0, 2))})
    listeners = make_listeners(source, pools, wanted)
    configs = [{"pools": {}, "without": [], "kinds": {}, "programs": 0}]
    configs += [make_config(source, pools, listeners) for _ in range(source.whole(2, 5))]
    rounds = Rounds(source, pools, listeners, len(configs))
    # Each once, in an order of chance, then by weight: a short run has seen as much as it can.
    order = list(weights)
    source.random.shuffle(order)
    count = max(1, int(seconds / 2))
    order = (order + [source.weighted(weights) for _ in range(count)])[:count]
    return {"seed": seed, "pools": pools, "listeners": listeners, "upstreams": make_upstreams(source),
            "configs": configs, "rounds": [rounds.draw(focus) for focus in order]}
