"""Measures the gateway and its peers in turn on this machine, and writes what came out to Benchmarks/results.

scripts/bench builds what is needed and then runs this. Everything listens on 127.0.0.1, on free ports, with data in a
temporary folder, and ends with this program.
"""

import argparse
import itertools
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import load
import machine
import report
import rows
from figures import Summary, number
from processes import Trouble, program

HERE = os.path.dirname(os.path.abspath(__file__))


class Bench:
    """What all groups share."""

    def __init__(self, plan, place, memory_place, products, tools):
        self.plan = plan
        self.place = place
        # The same in memory, where the disk is not to be measured.
        self.memory_place = memory_place
        self.products = products
        self.tools = tools
        self.root = os.path.dirname(os.path.dirname(HERE))
        # For the names of files.
        self.numbers = itertools.count(1)
        self.rows = []
        self.problems = []

    def product(self, name):
        """One of the gateway's programs."""
        return self.built(self.products, name)

    def tool(self, name):
        """A program of Benchmarks."""
        return self.built(self.tools, name)

    @staticmethod
    def built(folder, name):
        path = os.path.join(folder, name)
        if not os.access(path, os.X_OK):
            raise Trouble(f"{path} is not there; scripts/bench builds it")
        return path

    def run(self, names, is_quick):
        begun = time.monotonic()
        for name in names:
            group = rows.GROUPS[name]
            left = self.plan.limit - (time.monotonic() - begun)
            if left < (group.quick if is_quick else group.full):
                self.skip(name, f"{left:.0f} s were left; make bench ARGS={name} measures it alone")
                continue
            since = time.monotonic()
            print(f"{name}: {group.measure.__doc__}", flush=True)
            try:
                for row in group.measure(self):
                    self.rows.append(row)
                    self.say(row)
            except (Trouble, OSError, subprocess.SubprocessError) as error:
                self.skip(name, error)
            print(f"  {time.monotonic() - since:.0f} s", flush=True)

    def skip(self, name, reason):
        self.problems.append(f"{name}: {reason}")
        print(f"  {name} is not measured: {reason}", file=sys.stderr, flush=True)

    @staticmethod
    def say(row):
        ratio = f"{number(row.ratio.median)} × {row.peer}, " if row.ratio else ""
        ours = number(Summary.of(row.ours).median)
        verdict = {"yes": ", as wanted", "**no**": f", wanted {row.target}"}.get(row.verdict, "")
        print(f"  {row.what}: {ratio}{ours} {row.unit}{verdict}", flush=True)


def write(bench, facts, profile):
    """The table, and the plot if there is something to compare."""
    folder = os.path.join(bench.root, "Benchmarks", "results")
    os.makedirs(folder, exist_ok=True)
    name = os.path.join(folder, time.strftime("%Y%m%d-%H%M%S", time.gmtime()))
    text = report.document(bench.rows, facts, bench.problems, profile)
    if any(row.ratio for row in bench.rows):
        data = os.path.join(bench.place, "plot")
        with open(data, "w") as file:
            file.write(report.plot_data(bench.rows))
        script = report.plot_script(data, f"{name}.svg", bench.rows, f"ours ÷ theirs, commit {dict(facts)['commit']}")
        done = subprocess.run([program("gnuplot")], input=script, text=True, capture_output=True)
        if done.returncode == 0:
            text += f"\n![ratios]({os.path.basename(name)}.svg)\n"
        else:
            print(f"No plot: {done.stderr.strip()}", file=sys.stderr)
    with open(f"{name}.md", "w") as file:
        file.write(text)
    return f"{name}.md"


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n\n")[0])
    parser.add_argument("rows", nargs="*", metavar="ROWS", help=f"some of {', '.join(rows.GROUPS)}; all unless given")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="less of everything, in at most 3 minutes")
    size.add_argument("--tiny", action="store_true", help="only to see that it works: the figures mean nothing")
    parser.add_argument("--keep", action="store_true", help="keep the temporary folder, with all logs")
    parser.add_argument("--products", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--tools", required=True, help=argparse.SUPPRESS)
    given = parser.parse_args()
    unknown = [name for name in given.rows if name not in rows.GROUPS]
    if unknown:
        parser.error(f"there are no rows called {', '.join(unknown)}; there are {', '.join(rows.GROUPS)}")

    # So that everything is ended in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    load.allow_files()
    plan = rows.QUICK if given.quick else rows.TINY if given.tiny else rows.FULL
    names = given.rows or [name for name in rows.GROUPS if not (given.quick and name in rows.SLOW_TO_START)]
    place = tempfile.mkdtemp(prefix="bench-")
    memory_place = tempfile.mkdtemp(prefix="bench-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    try:
        bench = Bench(plan, place, memory_place, os.path.abspath(given.products), os.path.abspath(given.tools))
        # The load of the machine is that before.
        facts = machine.facts(bench.root, bench.products, command())
        try:
            bench.run(names, given.quick)
        finally:
            if bench.rows:
                print(f"\nThe results are in {os.path.relpath(write(bench, facts, plan.rounds_in_words))}.")
        return 1 if bench.problems else 0
    except KeyboardInterrupt:
        return 130
    finally:
        shutil.rmtree(memory_place, ignore_errors=True)
        if given.keep:
            print(f"Logs and data are in {place}.")
        else:
            shutil.rmtree(place, ignore_errors=True)


def command():
    """What repeats this run."""
    # Behind what scripts/bench put there.
    words = " ".join(sys.argv[5:])
    return f"make bench ARGS={shlex.quote(words)}" if words else "make bench"


if __name__ == "__main__":
    sys.exit(main())
