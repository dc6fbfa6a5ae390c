"""Programs that are started here and ended here, and what the kernel says about them."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time


class Trouble(Exception):
    """What happened, to what, and what to do next."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def program(name):
    """Where a peer is: Debian keeps servers where not everybody's PATH looks."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise Trouble(f"{name} is not installed; scripts/dependencies bench installs it")
    return path


def until(what, seconds, condition, process=None):
    """Waits for a condition; fails when it is late, or when the process that should bring it is gone."""
    deadline = time.monotonic() + seconds
    while True:
        if condition():
            return
        if process is not None and process.poll() is not None:
            raise Trouble(f"{what}: its process ended with {process.returncode}; its log ends with: {process.tail}")
        if time.monotonic() > deadline:
            raise Trouble(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def listens(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Started(subprocess.Popen):
    """A process that dies with this one, in a session of its own: Ctrl-C is for this program, which keeps order."""

    def __init__(self, words, log, environment=None):
        self.log = log
        with open(log, "ab") as output:
            super().__init__(
                ["setpriv", "--pdeathsig", "TERM", *map(str, words)], stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True, env={**os.environ, **(environment or {})})

    @property
    def tail(self):
        with open(self.log, errors="replace") as lines:
            return " / ".join(line.strip() for line in lines.readlines()[-4:])

    def end(self, patience=30):
        if self.poll() is None:
            self.send_signal(signal.SIGTERM)
        try:
            self.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()


@contextlib.contextmanager
def started(words, log, environment=None, patience=30):
    process = Started(words, log, environment)
    try:
        yield process
    finally:
        process.end(patience)


def family(pid):
    """A process and all it started, as far as they live."""
    pids = [pid]
    for each in pids:
        with contextlib.suppress(OSError), open(f"/proc/{each}/task/{each}/children") as children:
            pids += [int(child) for child in children.read().split()]
    return pids


def cpu_seconds(pids):
    """What all of them have computed so far, in and out of the kernel."""
    ticks = 0
    for pid in pids:
        with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as stat:
            # Behind the name, which may have blanks: fields 14 and 15 of proc(5).
            fields = stat.read().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def anonymous_kib(pid):
    """Memory of the process that is no file: heap and stacks. What sockets take in the kernel is not in it."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        for line in lines:
            if line.startswith("Anonymous:"):
                return int(line.split()[1])
    raise Trouble(f"/proc/{pid}/smaps_rollup has no line Anonymous")
