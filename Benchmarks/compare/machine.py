"""Where and with what a run was made: figures without that are worth nothing."""

import os
import platform
import re
import subprocess
import time

from processes import program


def facts(root, products, command):
    return [
        ("date", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())),
        ("command", command),
        ("commit", commit(root)),
        ("gateway", built(products)),
        ("CPU", f"{cpu()}, {cores()} cores"),
        ("memory", f"{memory_gib():.0f} GiB"),
        ("kernel", platform.release()),
        ("load before", f"{os.getloadavg()[0]:.1f}"),
        ("peers", ", ".join(peers())),
    ]


def cores():
    return len(os.sched_getaffinity(0))


def cpu():
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.machine()


def memory_gib():
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def commit(root):
    def git(*words):
        return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True).stdout.strip()

    changed = " with changes" if git("status", "--porcelain", "--untracked-files=no") else ""
    return f"{git('rev-parse', '--short', 'HEAD') or 'unknown'}{changed}"


def built(products):
    when = time.gmtime(os.path.getmtime(os.path.join(products, "coap-gateway")))
    return time.strftime("built %Y-%m-%d %H:%M:%S UTC", when)


def peers():
    """Who ours is held against, with versions."""
    for words, name in [
        (["nginx", "-v"], "nginx"), (["coap-server-notls", "-h"], "libcoap"), (["mosquitto", "-h"], "mosquitto"),
        (["wrk", "-v"], "wrk"),
    ]:
        done = subprocess.run([program(words[0]), *words[1:]], capture_output=True, text=True)
        version = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
        yield f"{name} {version.group() if version else '?'}"
