"""What is sent, and what came of it: wrk, Pings, idle clients."""

import contextlib
import json
import os
import resource
import socket
import subprocess
from dataclasses import dataclass

from processes import Trouble, cpu_seconds, family, program

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass
class Answers:
    per_second: float
    p50_ms: float
    p99_ms: float
    # Of the server, all its processes together, for each request.
    cpu_us: float


def wrk(url, devices, token, connections, seconds, servers=(), pause_ms=None):
    """Asks for lights of devices as fast as they come, or with a pause behind each answer."""
    with start_wrk(url, devices, token, connections, seconds, pause_ms) as process:
        before = cpu_seconds(servers)
        output, _ = process.communicate(timeout=seconds + 30)
        after = cpu_seconds(servers)
    line = next((line for line in output.splitlines() if line.startswith("JSON ")), None)
    if process.returncode != 0 or line is None:
        raise Trouble(f"wrk {url} ended with {process.returncode}: {output[-300:]}")
    counted = json.loads(line[5:])
    if counted["failed"] or not counted["requests"]:
        raise Trouble(f"{counted['failed']} of {counted['requests']} requests to {url} failed; the rest is no measure")
    return Answers(
        per_second=counted["requests"] / counted["us"] * 1e6, p50_ms=counted["p50_us"] / 1000,
        p99_ms=counted["p99_us"] / 1000, cpu_us=(after - before) / counted["requests"] * 1e6)


@contextlib.contextmanager
def start_wrk(url, devices, token, connections, seconds, pause_ms=None):
    """One thread: a machine with few cores has others to give them to."""
    environment = {**os.environ, "DEVICES": ",".join(f"{prefix}:{count}" for prefix, count in devices)}
    if pause_ms is not None:
        environment["DELAY"] = str(max(1, round(pause_ms)))
    process = subprocess.Popen(
        [
            program("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "20s",
            "-s", os.path.join(HERE, "requests.lua"), "-H", f"Authorization: Bearer {token}", url,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def pings(generator, port, connections, window, seconds, server):
    """Pongs a second, and what each cost the server in microseconds of CPU."""
    before = cpu_seconds(family(server))
    done = subprocess.run(
        [generator, str(port), str(connections), str(window), str(seconds)], capture_output=True, text=True,
        timeout=seconds + 60)
    after = cpu_seconds(family(server))
    if done.returncode != 0:
        raise Trouble(done.stderr.strip())
    counted = json.loads(done.stdout)
    if not counted["pongs"]:
        raise Trouble(f"the server on port {port} answered no Ping")
    # The warming up before the count is a part of the CPU time, but not of the count.
    whole = counted["pongs"] * (1 + 0.5 / counted["seconds"])
    return counted["pongs"] / counted["seconds"], (after - before) / whole * 1e6


def allow_files():
    """As many open files as the system allows, here and for what is started from here."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def codecs(program, samples):
    """Name and nanoseconds of each piece of Benchmarks/Codecs."""
    done = subprocess.run([program, str(samples)], capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise Trouble(f"{program} ended with {done.returncode}: {done.stderr[-300:]}")
    results = [json.loads(line) for line in done.stdout.splitlines()]
    return [(result["name"], result["nanoseconds"]) for result in results]


class IdleClients:
    """MQTT clients that connected and say nothing more (MQTT 3.1.1 §3.1)."""

    def __init__(self, port):
        self.port = port
        self.sockets = []

    def grow(self, count):
        while len(self.sockets) < count:
            name = f"idle-{len(self.sockets)}".encode()
            client = socket.create_connection(("127.0.0.1", self.port), timeout=10)
            self.sockets.append(client)
            # Clean session, no keep-alive.
            head = b"\x00\x04MQTT\x04\x02\x00\x00"
            client.sendall(bytes([0x10, len(head) + 2 + len(name)]) + head + len(name).to_bytes(2, "big") + name)
            answer = client.recv(4)
            if answer != b"\x20\x02\x00\x00":
                raise Trouble(f"mosquitto refused client {len(self.sockets)}: {answer.hex()}")

    def close(self):
        for client in self.sockets:
            client.close()
