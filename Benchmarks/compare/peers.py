"""Servers of others, with configurations of our own, on loopback only."""

import contextlib
import os

import machine
from processes import free_port, listens, program, started, until

# As long as the answer of a device to GET /light.
BODY = '{"value":false,"brightness":50,"di":"fleet1-1000","served":10000}'


@contextlib.contextmanager
def nginx(bench, number, access_log):
    """nginx that passes each request on to another nginx, which has the answer in its configuration: nothing behind a
    proxy is faster. As many workers in front as the gateway has event loops, one behind."""
    place = os.path.join(bench.place, f"nginx{number}")
    os.makedirs(place)
    front, back = free_port(), free_port()
    log = f"access_log {place}/access.log combined;" if access_log == "all" else "access_log off;"

    def configuration(part, workers, http):
        path = os.path.join(place, f"{part}.conf")
        with open(path, "w") as file:
            file.write(COMMON.format(
                user="user root;" if os.getuid() == 0 else "", place=place, name=part, workers=workers, http=http))
        return [program("nginx"), "-e", f"{place}/{part}.error", "-c", path]

    behind = configuration("back", 1, BACK.format(port=back, body=BODY))
    before = configuration("front", machine.cores(), FRONT.format(port=front, back=back, log=log))
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(started(behind, f"{place}/back.out"))
        second = stack.enter_context(started(before, f"{place}/front.out"))
        for process, port in [(first, back), (second, front)]:
            until("nginx, serving", 10, lambda: listens(port), process=process)
        yield f"http://127.0.0.1:{front}", second.pid


COMMON = """
{user}
daemon off;
worker_processes {workers};
pid {place}/{name}.pid;
error_log {place}/{name}.error;
events {{ worker_connections 4096; }}
http {{
    client_body_temp_path {place}/{name}-body;
    proxy_temp_path {place}/{name}-proxy;
    fastcgi_temp_path {place}/{name}-fastcgi;
    uwsgi_temp_path {place}/{name}-uwsgi;
    scgi_temp_path {place}/{name}-scgi;
    default_type application/json;
    keepalive_requests 1000000000;
    {http}
}}
"""
FRONT = """
    {log}
    upstream back {{
        server 127.0.0.1:{back};
        keepalive 64;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://back;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
"""
BACK = """
    access_log off;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 '{body}'; }}
    }}
"""


@contextlib.contextmanager
def floor(bench, devices):
    """Benchmarks/Floor: what the gateway is made of, without the gateway: a request over HTTP, a frame to a device and
    back. With as many event loops, and as many connections of devices."""
    front, port = free_port(), free_port()
    program = bench.tool("floor")
    log = os.path.join(bench.place, "floor.log")
    with started([program, "front", front, port, machine.cores()], log) as process:
        # The port for devices is open before; whoever looked there would be taken for one.
        until("floor front, serving", 10, lambda: listens(front), process=process)
        with started([program, "devices", port, devices], log) as fleet:
            until("floor devices, connected", 30, lambda: "connected" in open(log).read(), process=fleet)
            yield f"http://127.0.0.1:{front}", process.pid


@contextlib.contextmanager
def libcoap(bench):
    """libcoap's example server, which has one thread."""
    port = free_port()
    log = os.path.join(bench.place, "libcoap.log")
    with started([program("coap-server-notls"), "-A", "127.0.0.1", "-p", port], log) as process:
        until("coap-server-notls, serving", 10, lambda: listens(port), process=process)
        yield port, process.pid


@contextlib.contextmanager
def mosquitto(bench):
    port = free_port()
    path = os.path.join(bench.place, "mosquitto.conf")
    with open(path, "w") as file:
        file.write(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\n")
        # As root it would become a user who may not be there.
        file.write("user root\n" if os.getuid() == 0 else "")
    with started([program("mosquitto"), "-c", path], os.path.join(bench.place, "mosquitto.log")) as process:
        until("mosquitto, serving", 10, lambda: listens(port), process=process)
        yield port, process.pid
