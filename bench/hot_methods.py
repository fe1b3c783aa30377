#!/usr/bin/python3
"""Makes build/hot-methods.txt: the methods that a sample runs, which the AOT compiler then places side by side.

usage: bench/hot_methods.py [AGENT]     (artifacts/publish/linux-x64/ai-dashboard-agent, with its .dbg beside it)

The agent runs under callgrind (valgrind), once without a network and once with HTTP and a spool, each for a short and for a
longer time. What costs more in the longer run is what samples run; the start drops out. Some minutes.
"""

import http.server
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
AGENT = os.path.join(ROOT, "artifacts/publish/linux-x64/ai-dashboard-agent")
TARGET = os.path.join(ROOT, "build/hot-methods.txt")
SHORT_SECONDS, LONG_SECONDS = 12, 40
# Instructions in the difference of the two runs, of some two hundred samples: less runs too rarely to matter.
LEAST = 400
# What the AOT compiler places; the rest is of the runtime and the C library.
MANAGED = re.compile(r"(ai_dashboard|Agent_Core|S_P|System_|FSharp|String|Interop|Internal|Rh)")


class Receiver(http.server.BaseHTTPRequestHandler):
    """Accepts every sample."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"status":"ok"}'
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


def costs(agent, folder, name, seconds, arguments):
    """Instructions of each function itself."""
    output = os.path.join(folder, f"callgrind.{name}.{seconds}")
    program = subprocess.Popen(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", agent, "--quiet", "--interval", "1",
         "--cpu-sample-interval", "0", *arguments],
        env={**os.environ, "AI_DASHBOARD_TEST_TIME_SCALE": "10", "DOTNET_GCHeapHardLimit": "0x8000000"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        program.wait(seconds)
    except subprocess.TimeoutExpired:
        program.send_signal(signal.SIGTERM)
        program.wait(60)
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
    hot = []
    with tempfile.TemporaryDirectory() as folder:
        copy = readable_by_valgrind(agent, folder)

        def posting(spool):
            os.mkdir(os.path.join(folder, spool))
            return ["--host", f"http://127.0.0.1:{receiver.server_port}", "--server-slug", "hot", "--token", "0123456789abcdef",
                    "--spool", os.path.join(folder, spool)]

        for name, short, long in (
            ("dry", ["--dry-run"], ["--dry-run"]),
            ("http", posting("short"), posting("long")),
        ):
            before = costs(copy, folder, name, SHORT_SECONDS, short)
            after = costs(copy, folder, name, LONG_SECONDS, long)
            # callgrind marks what calls itself with a number behind an apostrophe.
            found = {
                re.sub(r"'\d+$", "", method)
                for method, cost in after.items()
                if cost - before.get(method, 0) > LEAST and MANAGED.match(method)
            }
            # What every sample runs comes first and is not torn apart by what only posting runs.
            hot += sorted(found - set(hot))
    receiver.shutdown()
    with open(TARGET, "w", encoding="utf-8") as file:
        file.writelines(f"{method}\n" for method in hot)
    print(f"{len(hot)} methods in {os.path.relpath(TARGET)}")


main()
