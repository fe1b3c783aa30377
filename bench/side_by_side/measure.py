"""Measures the agent beside its peers and writes the results; started by side-by-side.sh, which prepares everything."""

import argparse
import json
import os
import signal
import sys
import time

import cpu
import machine
import memory
import report
import scaling
from bench import Bench
from processes import Measured, stop_all


def _say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _stopped(*_):
    raise KeyboardInterrupt


def measure(bench, parts):
    """Every part that was asked for, one after the other."""
    begun = time.monotonic()
    found = {
        "machine": machine.describe(bench),
        "command": " ".join(["bench/side-by-side.sh", *sys.argv[sys.argv.index("--") + 1 :]]).strip(),
        "date": time.strftime("%Y-%m-%d"),
        "quick": bench.quick,
        "repeats": bench.repeats,
        "seconds": bench.seconds,
        "binary_bytes": os.path.getsize(bench.agent),
    }
    if "cpu" in parts:
        found["files"] = files = cpu.kernel_files(bench)
        found["back_to_back"] = cpu.back_to_back(bench, files, _say)
        found["first_sample"] = cpu.first_sample(bench, _say)
        found["once_a_second"] = cpu.once_a_second(bench, files, _say)
    if "memory" in parts:
        found.update(memory.measure(bench, _say))
    if "scaling" in parts:
        found["scaling"] = scaling.back_to_back(bench, _say)
        found["scaling_once_a_second"] = scaling.once_a_second(bench, _say)
    found["minutes"] = (time.monotonic() - begun) / 60
    return found


def main():
    """Parses the options, measures, writes."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--root", required=True)
    options.add_argument("--agent", required=True)
    options.add_argument("--trees", required=True, help="Agent.Bench.dll, which writes trees")
    options.add_argument("--results", required=True)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--repeats", type=int, required=True)
    options.add_argument("--seconds", type=int, required=True)
    options.add_argument("--parts", default="cpu,memory,scaling")
    options.add_argument("as_given", nargs="*")
    given = options.parse_args()

    # SIGINT too: a shell has it ignored in what it runs in the background.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stopped)
    bench = Bench(given.root, given.agent, given.trees, given.quick, given.repeats, given.seconds)
    try:
        found = measure(bench, given.parts.split(","))
    except Measured as problem:
        print(f"side-by-side: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("side-by-side: stopped; nothing was written", file=sys.stderr)
        return 130
    finally:
        stop_all()

    raw = os.path.join(bench.work, "results.json")
    with open(raw, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
    with open(os.path.join(given.root, "bench", "notes.md"), encoding="utf-8") as file:
        page = report.render(found, file.read())
    with open(given.results, "w", encoding="utf-8") as file:
        file.write(page)
    _say(f"{given.results} is written, after {found['minutes']:.1f} minutes; every single figure is in {raw}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
