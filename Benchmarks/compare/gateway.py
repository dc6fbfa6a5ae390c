"""Our programs, as they are installed: the gateway in one process, a cluster, fleets of devices."""

import contextlib
import http.client
import itertools
import json
import os
import re
import subprocess

from processes import Started, Trouble, family, listens, program, started, until


def post(port, path, body, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request("POST", path, json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
    if answer.status >= 300:
        raise Trouble(f"POST {path} was answered with {answer.status}: {text[:200]}")
    return json.loads(text)


def get(port, path, token=None):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


class Cloud:
    """What a fleet and a client need to know of a cloud that runs."""

    user = "bench"
    numbers = itertools.count(1)

    def __init__(self, bench, processes, http_port, coap, admins, ca=None):
        self.bench = bench
        self.processes = processes
        self.http_port = http_port
        self.coap = coap
        self.admins = admins
        self.ca = ca
        self.url = f"http://127.0.0.1:{http_port}"
        self.mediator = self.token = None

    @property
    def pids(self):
        """All of the cloud, databases too."""
        return [pid for process in self.processes for pid in family(process.pid)]

    def register(self):
        """A user, a mediator who brings devices in, and a client who asks them."""
        user = {"uid": self.user, "authprovider": "bench"}
        user = {"uid": self.user, "accesstoken": post(self.http_port, "/register/user", user)["accesstoken"]}
        self.mediator = post(self.http_port, "/provision/mediator", user)["accesstoken"]
        code = post(self.http_port, "/provision/client", {"di": "bench-client"}, self.mediator)["accesstoken"]
        account = {"uid": self.user, "di": "bench-client", "accesstoken": code}
        self.token = post(self.http_port, "/oic/sec/account", account)["accesstoken"]
        return self

    def sessions(self):
        """How many devices are signed in."""
        total = 0
        for admin in self.admins:
            _, text = get(admin, "/metrics")
            total += sum(float(value) for value in re.findall(r"^coap_sessions_active(?:{.*})? (\S+)$", text, re.M))
        return int(total)

    @contextlib.contextmanager
    def fleet(
            self, devices, prefix=None, profile="polite", state=None, secure=False, padding=0, links=1, rate=100_000):
        """Devices that are signed in, as many as said; they take their leave at the end."""
        number = next(self.numbers)
        prefix = prefix or f"fleet{number}-"
        report = os.path.join(self.bench.place, f"fleet{number}.json")
        words = [self.bench.product("mock-device"), "run", "--profile", profile]
        words += ["--devices", devices, "--prefix", prefix, "--padding", padding, "--publish", links]
        words += ["--northbound", self.url, "--mediator-token", self.mediator]
        words += ["--rate", f"{rate}/s", "--report", report]
        for address in self.coap["coaps" if secure else "coap"]:
            words += ["--address", address]
        if secure:
            words += ["--ca", self.ca]
        if state:
            words += ["--state", state]
        before = self.sessions()
        fleet = Fleet(words, os.path.join(self.bench.place, f"fleet{number}.log"), prefix, devices, report)
        try:
            until(
                f"{devices} devices, signed in", 60 + devices // 100, lambda: self.sessions() >= before + devices,
                process=fleet)
            # The last thing a device does before it only answers.
            until(
                "the last device's light", 20,
                lambda: get(self.http_port, f"/{prefix}{devices}/light", self.token)[0] == 200, process=fleet)
            yield fleet
        finally:
            fleet.end()
        until("all devices gone", 60, lambda: self.sessions() <= before)


class Fleet(Started):
    """One mock-device with its devices."""

    def __init__(self, words, log, prefix, devices, report):
        super().__init__(words, log)
        self.prefix = prefix
        self.devices = devices
        self.report_file = report

    @property
    def as_devices(self):
        return (self.prefix, self.devices)

    def report(self):
        """What it counted; it is written at its end."""
        self.end()
        with open(self.report_file) as text:
            return json.load(text)


@contextlib.contextmanager
def one_process(bench, access_log="off", event_loops=None, secure=False, is_on_disk=False):
    """coap-gateway, on SQLite in a folder of its own.

    The folder is in memory unless it is the disk that is measured too: requests to devices only read the database, but
    devices that come for the first time wait until it is written.
    """
    name = f"gateway{next(Cloud.numbers)}"
    data = os.path.join(bench.place if is_on_disk else bench.memory_place, name)
    os.makedirs(data)
    ports_file = os.path.join(data, "ports")
    words = [
        bench.product("coap-gateway"), "--http-port", 0, "--https-port", "off", "--coap-port", 0,
        "--coaps-port", 0 if secure else "off", "--admin-port", 0, "--registration", "open",
        "--data-dir", data, "--ports-file", ports_file, "--access-log", access_log,
        "--max-connections", 100_000,
    ]
    if event_loops:
        words += ["--event-loops", event_loops]
    with started(words, os.path.join(bench.place, f"{name}.log")) as process:
        until("coap-gateway, serving", 30, lambda: os.path.exists(ports_file), process=process)
        with open(ports_file) as text:
            ports = json.load(text)
        coap = {"coap": [f"127.0.0.1:{ports['coap']}"]}
        if secure:
            coap["coaps"] = [f"coaps+tcp://127.0.0.1:{ports['coaps']}"]
        cloud = Cloud(
            bench, [process], ports["http"], coap, [ports["admin"]], ca=os.path.join(data, "tls", "ca.pem"))
        cloud.coap_port = ports["coap"]
        yield cloud.register()


class Redis:
    """The cluster's Redis: docs/redis.md says what is in it."""

    def __init__(self, port, password):
        self.words = [program("redis-cli"), "-e", "-h", "127.0.0.1", "-p", str(port)]
        self.environment = {**os.environ, "REDISCLI_AUTH": password}

    def cli(self, *words, lines=None):
        done = subprocess.run(
            [*self.words, *words], input=lines, capture_output=True, timeout=300, env=self.environment)
        if done.returncode != 0:
            raise Trouble(f"redis-cli {' '.join(words)} ended with {done.returncode}: {done.stderr[-300:]}")
        return done.stdout

    def plant_routes(self, model, count):
        """So many routes as there were of as many other devices, each a copy of one that there is."""
        route = self.cli("HGETALL", f"cg:route:{{{model}}}").decode().split("\n")[:-1]
        if not route:
            raise Trouble(f"there is no route of {model} in Redis: has the way it is kept changed? See docs/redis.md")
        fields = b"".join(bulk(word) for word in route)

        def commands():
            for number in range(count):
                key = bulk(f"cg:route:{{planted-{number}}}")
                yield b"*%d\r\n" % (len(route) + 2) + bulk("HSET") + key + fields
                yield b"*3\r\n" + bulk("PEXPIRE") + key + bulk("1800000")

        answer = self.cli("--pipe", lines=b"".join(commands())).decode()
        if "errors: 0," not in answer:
            raise Trouble(f"Redis did not take {count:,} routes: {answer[-300:]}")


def bulk(word):
    """A bulk string of RESP, the protocol of Redis."""
    word = word.encode()
    return b"$%d\r\n%s\r\n" % (len(word), word)


# What scripts/cluster opens, without its offset.
CLUSTER_PORTS = [8080, 8082, 5683, 5685, 8081, 8083, 5688, *range(9090, 9095), 3307, 6380]


@contextlib.contextmanager
def cluster(bench, access_log="off"):
    """scripts/cluster: two northbounds, two coap-interfaces, a registry, Redis, MariaDB."""
    number = next(Cloud.numbers)
    place = os.path.join(bench.place, f"cluster{number}")
    programs = os.path.join(place, "bin")
    os.makedirs(programs)
    # One executable is every program, by the name it is called by.
    for name in ["registry", "coap-interface", "northbound"]:
        os.symlink(bench.product("coap-gateway"), os.path.join(programs, name))
    offset = next(
        (offset for offset in range(20_000, 50_000, 500) if not any(listens(offset + port) for port in CLUSTER_PORTS)),
        None)
    if offset is None:
        raise Trouble("no ports are free for a cluster; end what listens on 127.0.0.1")
    environment = {
        "PRODUCTS": programs, "CLUSTER_DIR": os.path.join(place, "data"), "PORT_OFFSET": str(offset),
        "ACCESS_LOG": access_log, "MAX_CONNECTIONS": "100000", "REGISTRATION": "open",
    }
    log = os.path.join(place, "log")
    # The script ends what it started, one after the other.
    with started([os.path.join(bench.root, "scripts", "cluster")], log, environment, patience=90) as process:
        until("scripts/cluster, serving", 180, lambda: "The cluster is up" in open(log).read(), process=process)
        cloud = Cloud(
            bench, [process], offset + 8080, {"coap": [f"127.0.0.1:{offset + 5683},{offset + 5685}"]},
            [offset + 9092, offset + 9093])
        with open(os.path.join(place, "data", "redis-password")) as password:
            cloud.redis = Redis(offset + 6380, password.read().strip())
        yield cloud.register()
