"""What is measured. Each group starts what it needs, and ends it. Ours and theirs take turns, round by round."""

import contextlib
import os
import time
from dataclasses import dataclass
from typing import Tuple

import gateway
import load
import peers
from figures import Row, Target, slope
from processes import Trouble, anonymous_kib, cpu_seconds, family


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    rounds: int
    # Of load: with many connections, with one.
    seconds: int
    latency_seconds: int
    # Who is asked.
    devices: int
    # Who come for the first time, and who come back.
    new: int
    reconnects: int
    idle: int
    idle_secure: int
    growth: Tuple[int, ...]
    routes: Tuple[int, ...]
    # The whole run, in seconds: a group that would not fit is left out.
    limit: int

    @property
    def fewer_rounds(self):
        """Of what changes little from round to round, or takes long."""
        return max(1, self.rounds - 1)

    @property
    def rounds_in_words(self):
        if self.rounds == 1:
            return "one round"
        return f"{self.rounds} rounds ({self.fewer_rounds} of memory, and of devices that come and come back)"


FULL = Plan(
    rounds=3, seconds=5, latency_seconds=3, devices=1000, new=1000, reconnects=5000, idle=5000, idle_secure=2000,
    growth=(100, 1000, 10_000), routes=(1000, 100_000, 1_000_000), limit=870)
QUICK = Plan(
    rounds=2, seconds=2, latency_seconds=1, devices=200, new=100, reconnects=500, idle=1000, idle_secure=300,
    growth=(100, 1000), routes=(1000, 10_000), limit=160)
# Only to see whether all of it works.
TINY = Plan(
    rounds=1, seconds=1, latency_seconds=1, devices=100, new=20, reconnects=100, idle=100, idle_secure=50,
    growth=(20, 100), routes=(100, 1000), limit=900)

CONNECTIONS = 32
# A gateway takes 200 messages a second from one peer, and 400 at once: so many connections that this is no bound.
PINGING = 6000
MESSAGES_PER_SECOND, MESSAGES_AT_ONCE = 200, 400
PINGS_IN_FLIGHT = 16
# What a session may take: the floor that a bare echo server needs (4.2 KiB, 22 KiB over TLS), and a little.
SESSION_KIB = 6
SECURE_SESSION_KIB = 24


def http(bench):
    """Requests through the gateway to a device and back, beside nginx as a proxy."""
    for access_log, words in [("off", "access log off"), ("all", "access log to a file")]:
        with gateway.one_process(bench, access_log) as cloud:
            yield from requests(bench, cloud, access_log, words)


def floor(bench):
    """Requests through the gateway, beside what its libraries need for one HTTP request and one hop at least."""
    plan = bench.plan
    many, one = ([], []), ([], [])
    with gateway.one_process(bench) as cloud, cloud.fleet(plan.devices) as fleet, \
            peers.floor(bench, plan.devices) as (url, pid):
        for _ in range(plan.rounds):
            for side, (at, pids) in enumerate([(cloud.url, cloud.pids), (url, family(pid))]):
                ask = lambda connections, seconds: load.wrk(
                    at, [fleet.as_devices], cloud.token, connections, seconds, pids)
                many[side].append(ask(CONNECTIONS, plan.seconds))
                one[side].append(ask(1, plan.latency_seconds))
    note = "Bare SwiftNIO: HTTP/1.1 in, a frame to a device and back; nothing is read, checked, routed or counted."
    yield Row(
        f"HTTP requests, {CONNECTIONS} connections, beside bare SwiftNIO", "requests/s", *per_side(many, "per_second"),
        "SwiftNIO", note=note)
    yield Row(
        "HTTP median latency, 1 connection, beside bare SwiftNIO", "ms", *per_side(one, "p50_ms"), "SwiftNIO")
    yield Row(
        f"CPU a request, {CONNECTIONS} connections, beside bare SwiftNIO", "µs", *per_side(many, "cpu_us"), "SwiftNIO")


def cluster(bench):
    """The same through a northbound, Redis, a coap-interface; and devices that come back, with MariaDB."""
    with gateway.cluster(bench) as cloud:
        yield from requests(bench, cloud, "off", "cluster, access log off")
        yield from new_devices(bench, cloud, "cluster, MariaDB on disk")
        yield from returns(bench, cloud, "cluster, MariaDB on disk")


def requests(bench, cloud, access_log, words):
    plan = bench.plan
    many, one = ([], []), ([], [])
    with contextlib.ExitStack() as stack:
        proxy, proxy_pid = stack.enter_context(peers.nginx(bench, next(bench.numbers), access_log))
        fleet = stack.enter_context(cloud.fleet(plan.devices))
        sides = [(cloud.url, cloud.pids), (proxy, family(proxy_pid))]
        for _ in range(plan.rounds):
            for side, (url, pids) in enumerate(sides):
                ask = lambda connections, seconds: load.wrk(
                    url, [fleet.as_devices], cloud.token, connections, seconds, pids)
                many[side].append(ask(CONNECTIONS, plan.seconds))
                one[side].append(ask(1, plan.latency_seconds))
    yield Row(
        f"HTTP requests, {CONNECTIONS} connections, {words}", "requests/s", *per_side(many, "per_second"), "nginx",
        Target(at_least=1.0),
        note=f"GET of a light, of {plan.devices} devices in turn. nginx passes on to another nginx, which answers by "
        "itself; behind the gateway are devices, which compute more, on the same cores.")
    yield Row(
        f"HTTP median latency, 1 connection, {words}", "ms", *per_side(one, "p50_ms"), "nginx", Target(at_most=2.0))
    yield Row(
        f"HTTP 99 %, {CONNECTIONS} connections, {words}", "ms", *per_side(many, "p99_ms"), "nginx")
    logging = " One request has an access line of each part of the gateway; nginx writes one."
    yield Row(
        f"CPU a request, {CONNECTIONS} connections, {words}", "µs", *per_side(many, "cpu_us"), "nginx",
        note="of the servers alone, neither devices nor what nginx passes on to: nearly the same with other load on "
        "the machine." + (logging if access_log == "all" else ""))


def per_side(answers, name):
    return [[getattr(answer, name) for answer in side] for side in answers]


def ping(bench):
    """Pings on one event loop, beside libcoap's server, which has one thread."""
    plan = bench.plan
    rates, costs = ([], []), ([], [])
    with gateway.one_process(bench, event_loops=1) as cloud, peers.libcoap(bench) as (port, pid):
        for _ in range(plan.rounds):
            for side, (at, server) in enumerate([(cloud.coap_port, cloud.pids[0]), (port, pid)]):
                seconds = plan.latency_seconds + 1
                rate, cost = load.pings(bench.tool("ping-load"), at, PINGING, PINGS_IN_FLIGHT, seconds, server)
                bound = PINGING * (MESSAGES_PER_SECOND + MESSAGES_AT_ONCE / seconds)
                if rate > 0.8 * bound:
                    raise Trouble(f"{rate:,.0f} Pings a second are what a gateway takes from {PINGING:,} peers at most")
                rates[side].append(rate)
                costs[side].append(cost)
    yield Row(
        "Pings answered, one event loop", "frames/s", *rates, "libcoap", Target(at_least=1.0),
        note=f"{PINGING:,} connections, each with {PINGS_IN_FLIGHT} Pings in flight (RFC 8323 §5.4).")
    yield Row("CPU a Ping", "µs", *costs, "libcoap")


def memory(bench):
    """What one more device takes that is signed in and silent."""
    plan = bench.plan
    plain, secure, mqtt = [], [], []
    for _ in range(plan.fewer_rounds):
        plain.append(session_kib(bench, plan.idle))
        mqtt.append(mosquitto_kib(bench, plan.idle))
        secure.append(session_kib(bench, plan.idle_secure, secure=True))
    yield Row(
        "memory of an idle device, plain TCP", "KiB", plain, mqtt, "mosquitto", Target(at_most=SESSION_KIB), False,
        note=f"anonymous memory of the process, from {plan.idle // 5:,} devices to {plan.idle // 5 + plan.idle:,}: "
        "connection, session, route and what is kept of its links. mosquitto's clients have no subscription. "
        f"Budget of a session: {SESSION_KIB} KiB.")
    yield Row(
        "memory of an idle device, TLS", "KiB", secure, target=Target(at_most=SECURE_SESSION_KIB),
        note=f"{plan.idle_secure:,} devices. Budget of a session: {SECURE_SESSION_KIB} KiB.")


def session_kib(bench, count, secure=False):
    with gateway.one_process(bench, secure=secure) as cloud, contextlib.ExitStack() as fleets:
        def grown(devices):
            fleets.enter_context(cloud.fleet(devices, secure=secure))
            return settled(cloud.pids[0])

        first = max(count // 5, 1)
        return slope(grown(first), grown(count), first, first + count)


def mosquitto_kib(bench, count):
    with peers.mosquitto(bench) as (port, pid), contextlib.closing(load.IdleClients(port)) as clients:
        first = max(count // 5, 1)
        clients.grow(first)
        before = settled(pid)
        clients.grow(first + count)
        return slope(before, settled(pid), first, first + count)


def settled(pid):
    """Once it no longer changes: what signing in took for a moment is given back after a while."""
    last = None
    for _ in range(20):
        now = anonymous_kib(pid)
        if last is not None and abs(now - last) < 64:
            break
        last = now
        time.sleep(1)
    return now


def reconnect(bench):
    """Devices that come for the first time, and that come back, in one process."""
    with gateway.one_process(bench, is_on_disk=True) as cloud:
        yield from new_devices(bench, cloud, "one process, SQLite on disk")
    with gateway.one_process(bench) as cloud:
        yield from returns(bench, cloud, "one process, SQLite in memory")


def new_devices(bench, cloud, words):
    """A code over HTTP, sign-up, sign-in; and the same with what a device says of itself afterwards."""
    rates = {0: [], 1: []}
    for _ in range(bench.plan.fewer_rounds):
        for links, found in rates.items():
            with cloud.fleet(bench.plan.new, links=links) as fleet:
                found.append(signed_in_per_second(fleet))
    yield Row(
        f"new devices, {words}", "devices/s", rates[0], target=Target(at_least=500),
        note=f"{bench.plan.new:,} at once, until all are signed in: a code over HTTP, sign-up, sign-in.")
    yield Row(
        f"new devices that publish a link, {words}", "devices/s", rates[1],
        note="The same, and the others publish at the same time.")


def signed_in_per_second(fleet):
    report = final_report(fleet)
    return report["devices"] / (report["all_signed_in_us"] / 1e6)


def final_report(fleet):
    # The cloud counts a session before its device knows; a fleet that ends at that moment misses its last.
    time.sleep(2)
    report = fleet.report()
    for failure in report["failures"]:
        # A cloud that is asked by all at once may tell some to come again.
        if failure["cause"] != "refused with 5.03":
            raise Trouble(f"{failure['count']} devices failed: {failure['what']}, {failure['cause']}")
    return report


def told_to_come_again(report):
    return sum(failure["count"] for failure in report["failures"])


def returns(bench, cloud, words):
    plan = bench.plan
    count = plan.reconnects
    ways = {
        "polite": {"profile": "polite"},
        "storm": {"profile": "reference"},
        "paced": {"profile": "reference", "rate": max(1, count // 5)},
    }
    reports = {way: [] for way in ways}
    costs = []
    prefix = "back-"
    state = os.path.join(bench.place, f"state-{next(bench.numbers)}")
    with cloud.fleet(count, prefix=prefix, state=state) as fleet:
        final_report(fleet)
    for _ in range(plan.fewer_rounds):
        for way, options in ways.items():
            before = cpu_seconds(cloud.pids)
            with cloud.fleet(count, prefix=prefix, state=state, **options) as fleet:
                if way == "polite":
                    costs.append((cpu_seconds(cloud.pids) - before) / count * 1e6)
                reports[way].append(final_report(fleet))

    def rates(what):
        return [count / (report["all_signed_in_us"] / 1e6) for report in reports[what]]

    def peak(what, step):
        return [report["peaks_per_second"][step] for report in reports[what]]

    def p99(what, step):
        return [report["latencies"][step]["p99_us"] / 1000 for report in reports[what]]

    # Fewer are back before the second is over.
    is_judged = count >= 5000
    yield Row(
        f"devices that come back, token still good, {words}", "devices/s", rates("polite"),
        target=Target(at_least=10_000) if is_judged else None,
        note=f"{count:,} at once; until all are signed in. The devices compute beside.")
    yield Row(
        f"CPU of the cloud a device, token still good, {words}", "µs", costs,
        note="All its programs, until all are signed in: what another machine for the devices would leave.")
    yield Row(f"sign-in 99 %, token still good, {words}", "ms", p99("polite", "sign-in"), target=Target(at_most=1000))
    yield Row(
        f"refresh and sign-in in the best second, {words}", "devices/s", peak("storm", "sign-in"),
        target=Target(at_least=1500) if is_judged else None,
        note=f"{count:,} devices like the reference stack, which wait 1 to 2 s before each step.")
    for way, pace in [("paced", f"{ways['paced']['rate']:,} a second"), ("storm", f"{count:,} at once")]:
        for step in ["refresh", "sign-in"]:
            yield Row(
                f"{step} 99 %, reference device, {pace}, {words}", "ms", p99(way, step),
                target=Target(at_most=1000) if way == "paced" else None)
        yield Row(
            f"told to come again (5.03), reference device, {pace}, {words}", "answers",
            [told_to_come_again(report) for report in reports[way]], note=f"{count:,} devices in all.")


def large(bench):
    """Small requests beside large answers."""
    plan = bench.plan
    size = 200 * 1024
    without, beside = [], []
    with contextlib.ExitStack() as stack:
        cloud = stack.enter_context(gateway.one_process(bench))
        small = stack.enter_context(cloud.fleet(plan.devices))
        big = stack.enter_context(cloud.fleet(10, padding=size))
        for _ in range(plan.rounds):
            alone = load.wrk(cloud.url, [small.as_devices], cloud.token, CONNECTIONS, plan.seconds)
            without.append(alone.p99_ms)
            pause = 1000 / (alone.per_second / 100)
            with load.start_wrk(cloud.url, [big.as_devices], cloud.token, 1, plan.seconds + 1, pause):
                beside.append(load.wrk(cloud.url, [small.as_devices], cloud.token, CONNECTIONS, plan.seconds).p99_ms)
    yield Row(
        "99 % of small requests beside 1 % of large answers", "ms", beside, without, "without", Target(at_most=2.0),
        note=f"{size:,} bytes each.")


def tls(bench):
    """Devices over TLS, beside devices over plain TCP at the same gateway."""
    plan = bench.plan
    secure, plain, handshakes = [], [], []
    with gateway.one_process(bench, secure=True) as cloud:
        for _ in range(plan.fewer_rounds):
            with cloud.fleet(plan.new, secure=True) as fleet:
                handshakes.append(signed_in_per_second(fleet))
        with cloud.fleet(plan.devices, secure=True) as over_tls, cloud.fleet(plan.devices) as over_tcp:
            for _ in range(plan.rounds):
                for fleet, rates in [(over_tls, secure), (over_tcp, plain)]:
                    answers = load.wrk(cloud.url, [fleet.as_devices], cloud.token, CONNECTIONS, plan.seconds)
                    rates.append(answers.per_second)
    yield Row(
        "HTTP requests to devices over TLS", "requests/s", secure, plain, "over TCP",
        note="The client speaks plain HTTP both times.")
    yield Row(
        "new devices over TLS, SQLite in memory", "devices/s", handshakes,
        note=f"{plan.new:,} at once, until all are signed in. Both sides of each handshake compute on this machine.")


def codecs(bench):
    """Frames and CBOR, read and written: Benchmarks/Codecs."""
    for name, nanoseconds in load.codecs(bench.tool("codecs"), 5 * bench.plan.rounds):
        yield Row(f"codecs: {name}", "ns", nanoseconds)


def growth(bench):
    """The same requests with more and more devices."""
    plan = bench.plan
    rates = {}
    with gateway.one_process(bench) as cloud, contextlib.ExitStack() as fleets:
        running = []
        for count in plan.growth:
            there = sum(fleet.devices for fleet in running)
            running.append(fleets.enter_context(cloud.fleet(count - there)))
            devices = [fleet.as_devices for fleet in running]
            rates[count] = [
                load.wrk(cloud.url, devices, cloud.token, CONNECTIONS, plan.seconds).per_second
                for _ in range(plan.rounds)
            ]
    yield from beside_the_fewest("devices", rates)


def beside_the_fewest(what, rates):
    """Rates of requests by how many there are of something, the fewest first."""
    (least, theirs), *others = rates.items()
    for count, ours in others:
        yield Row(
            f"HTTP requests with {count:,} {what}", "requests/s", ours, theirs, f"with {least:,}",
            Target(at_least=0.95))


def routes(bench):
    """The same requests with more and more routes in Redis, those of devices nobody asks for."""
    plan = bench.plan
    rates = {}
    with gateway.cluster(bench) as cloud, cloud.fleet(plan.devices) as fleet:
        for count in plan.routes:
            cloud.redis.plant_routes(f"{fleet.prefix}1", count)
            rates[count] = [
                load.wrk(cloud.url, [fleet.as_devices], cloud.token, CONNECTIONS, plan.seconds).per_second
                for _ in range(plan.rounds)
            ]
    yield from beside_the_fewest("routes", rates)


@dataclass(frozen=True)
class Group:
    measure: object
    # About how long it takes with each plan, in seconds, on 2 cores.
    full: int
    quick: int


GROUPS = {
    "http": Group(http, 140, 45),
    "floor": Group(floor, 60, 20),
    "ping": Group(ping, 40, 25),
    "memory": Group(memory, 150, 30),
    "reconnect": Group(reconnect, 75, 30),
    "large": Group(large, 50, 20),
    "growth": Group(growth, 90, 25),
    "routes": Group(routes, 100, 60),
    "tls": Group(tls, 60, 25),
    "cluster": Group(cluster, 180, 90),
    "codecs": Group(codecs, 10, 10),
}
# A quick run leaves them out, unless they are asked for: each starts a whole cluster.
SLOW_TO_START = ("routes", "cluster")
