#!/usr/bin/python3
"""Makes build/hot-methods.txt: the methods that a sample runs, which the AOT compiler then places side by side.

usage: bench/hot_methods.py [AGENT]     (artifacts/publish/linux-x64/ai-dashboard-agent, with its .dbg beside it)

The agent runs under callgrind (valgrind), once without a network, once with HTTP and a spool, and once with GPUs, jobs and readers of
its metrics beside that, each for a short and for a longer time. What costs more in the longer run is what samples run; the start drops
out. What the first two run for each sample comes first; behind it comes whatever runs again and again, however little it costs: a
method that lies by itself keeps 64 KiB of the file in memory. Some minutes.
"""

import atexit
import http.server
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import nvml_stub

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
AGENT = os.path.join(ROOT, "artifacts/publish/linux-x64/ai-dashboard-agent")
TARGET = os.path.join(ROOT, "build/hot-methods.txt")
SIDE_BY_SIDE = os.path.join(ROOT, "bench/side_by_side")
# The start and a few samples; and enough for what comes once a minute to come some times, at a sample a second.
SHORT_SAMPLES, LONG_SAMPLES = 40, 260
# A run that has not taken them by then is broken.
LONGEST_SECONDS = 300
# Instructions in the difference of the two runs, of 220 samples: less runs too rarely to matter.
LEAST = 400
# What the AOT compiler places; the rest is of the runtime and the C library.
MANAGED_SECTION = "__managedcode"

JOB = """
import os, time
parent = os.getpid()
if os.fork() == 0:
    while os.getppid() == parent:
        sum(range(100000))
        time.sleep(0.02)
    os._exit(0)
while True:
    sum(range(100000))
    time.sleep(0.01)
"""


class Receiver(http.server.BaseHTTPRequestHandler):
    """Accepts every sample."""

    protocol_version = "HTTP/1.1"
    samples = 0

    def do_POST(self):
        Receiver.samples += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"ok": true}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def readable_by_valgrind(agent, folder):
    """A copy whose symbols valgrind understands: it knows no DWARF 5."""
    copy, symbols = os.path.join(folder, "agent"), os.path.join(folder, "agent.dbg")
    subprocess.run(["objcopy", "--strip-debug", agent + ".dbg", symbols], check=True)
    subprocess.run(["objcopy", "--remove-section", ".gnu_debuglink", agent, copy], check=True)
    subprocess.run(["objcopy", f"--add-gnu-debuglink={symbols}", copy], check=True, cwd=folder)
    return copy


def gpus(folder, pid):
    """Options for two GPUs of the stub, on which a process computes."""
    sys.path.append(SIDE_BY_SIDE)
    from bench import play  # pylint: disable=import-outside-toplevel,import-error

    library = os.path.join(folder, "libnvidia-ml.so.1")
    nvml_stub.build(library)
    return play(library, 2, pid)


def scrape(address):
    """Reads the metrics again and again, for as long as this program runs."""
    while True:
        try:
            urllib.request.urlopen(f"http://{address}/metrics", timeout=10).read()
        except OSError:
            pass
        time.sleep(0.5)


def managed(agent):
    """The names of the methods that the AOT compiler has placed."""
    sections = subprocess.run(["readelf", "-SW", agent], check=True, capture_output=True, text=True).stdout
    number = re.search(r"\[ *(\d+)\] " + MANAGED_SECTION + r" ", sections)[1]
    symbols = subprocess.run(["readelf", "-sW", agent + ".dbg"], check=True, capture_output=True, text=True).stdout
    return {words[7] for line in symbols.splitlines() if len(words := line.split(maxsplit=7)) == 8 and words[6] == number}


def costs(agent, folder, name, samples, arguments):
    """Instructions of each function itself, in so many samples. Counted by samples, so that a busy machine gives the same."""
    output = os.path.join(folder, f"callgrind.{name}.{samples}")
    Receiver.samples = 0
    program = subprocess.Popen(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", agent, "--quiet", "--interval", "1",
         "--cpu-sample-interval", "0", *arguments],
        env={**os.environ, "AI_DASHBOARD_TEST_TIME_SCALE": "10", "DOTNET_GCHeapHardLimit": "0x8000000"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    if "--dry-run" in arguments:
        for _ in range(samples):
            program.stdout.readline()
    else:
        end = time.monotonic() + LONGEST_SECONDS
        while Receiver.samples < samples and time.monotonic() < end and program.poll() is None:
            time.sleep(0.1)
        if Receiver.samples < samples:
            sys.exit(f"hot_methods: {Receiver.samples} of {samples} samples came within {LONGEST_SECONDS} s")
    program.send_signal(signal.SIGTERM)
    program.communicate(timeout=60)
    found, names, function, is_call = {}, {}, None, False
    with open(output, errors="replace", encoding="utf-8") as lines:
        for line in lines:
            # See "Callgrind Format Specification" of the valgrind manual: a name is written once, and a number stands for
            # it afterwards; the line after calls= is the cost of what is called.
            if named := re.match(r"(c?fn)=\((\d+)\)(?: (.*))?$", line):
                if named[3]:
                    names[named[2]] = named[3]
                if named[1] == "fn":
                    function = names[named[2]]
            elif line.startswith("calls="):
                is_call = True
            elif function and (cost := re.match(r"[+\-*\d]\S* (\d+)$", line)):
                if not is_call:
                    found[function] = found.get(function, 0) + int(cost[1])
                is_call = False
    return found


def main():
    agent = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else AGENT
    for tool in ("valgrind", "objcopy"):
        if not shutil.which(tool):
            sys.exit(f"hot_methods: there is no {tool}; on Debian and Ubuntu: apt-get install valgrind binutils")
    if not os.path.exists(agent + ".dbg"):
        sys.exit(f"hot_methods: there is no {agent}.dbg: run `dotnet fsi build.fsx -t Publish` first")
    receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    listener = socket.create_server(("127.0.0.1", 0))
    metrics = f"127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    threading.Thread(target=scrape, args=(metrics,), daemon=True).start()
    hot = []
    # In memory: the spool's waits for a disk would stretch a run.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        copy = readable_by_valgrind(agent, folder)

        def posting(spool):
            os.mkdir(os.path.join(folder, spool))
            return ["--host", f"http://127.0.0.1:{receiver.server_port}", "--server-slug", "hot", "--token", "0123456789abcdef",
                    "--spool", os.path.join(folder, spool)]

        # A job: a process that works, with one that loads for it.
        job = subprocess.Popen([sys.executable, "-c", JOB])
        everything = [*gpus(folder, job.pid), "--listen", metrics]

        placed = managed(agent)
        rest = []

        atexit.register(job.kill)

        for name, short, long in (
            ("dry", ["--dry-run"], ["--dry-run"]),
            ("http", posting("short"), posting("long")),
            ("all", [*posting("short-all"), *everything], [*posting("long-all"), *everything]),
        ):
            before = costs(copy, folder, name, SHORT_SAMPLES, short)
            after = costs(copy, folder, name, LONG_SAMPLES, long)
            grown = {}

            for method, cost in after.items():
                # callgrind marks what calls itself with a number behind an apostrophe.
                own = re.sub(r"'\d+$", "", method)
                if cost > before.get(method, 0) and own in placed:
                    grown[own] = cost - before.get(method, 0)

            # What every sample runs comes first and is not torn apart by what only posting runs, nor by what runs now and then.
            if name != "all":
                hot += sorted({method for method, cost in grown.items() if cost > LEAST} - set(hot))
            rest += sorted(set(grown) - set(rest))
            print(f"{name}: {len(hot)} methods, {len(set(rest) - set(hot))} more now and then", flush=True)
        hot += [method for method in rest if method not in set(hot)]
    receiver.shutdown()
    with open(TARGET, "w", encoding="utf-8") as file:
        file.writelines(f"{method}\n" for method in hot)
    print(f"{len(hot)} methods in {os.path.relpath(TARGET)}")


main()
