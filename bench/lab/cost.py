#!/usr/bin/env python3
"""What watching jobs costs: the agent's CPU time a second beside 0, 1, 8 and 64 jobs of 17 processes and 100 threads each, and as much
beside as many that nobody runs on a GPU. Prints a table.
"""

import argparse
import os
import struct
import subprocess
import sys
import time

from agent import NOBODY, Receiver
from gpu import HEADER, PIECE, PIECES, SLOTS, make_file
from run import GPU, POWER_LIMIT_MW, nvml_stub

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.path.join(ROOT, "artifacts", "cost")
GPUS = 8


def build():
    """The stub of NVML and the jobs."""
    os.makedirs(WORK, exist_ok=True)
    library = os.path.join(WORK, "libnvidia-ml.so.1")
    nvml_stub.build(library)
    jobs = os.path.join(WORK, "idle_jobs")
    subprocess.run(["cc", "-O2", "-o", jobs, os.path.join(HERE, "idle_jobs.c"), "-lpthread"], check=True)
    text = "driver 570.86.15\n"
    for index in range(GPUS):
        play = os.path.join(WORK, f"gpu{index}")
        text += GPU.format(index=index, bus=index + 1, play=play, limit=POWER_LIMIT_MW, throttle="0", clock=1980, temperature=62)
    with open(os.path.join(WORK, "machine.txt"), "w", encoding="ascii") as file:
        file.write(text)
    return library, jobs


def hold(pids):
    """Each job holds a part of a GPU: the first eight one each."""
    for index in range(GPUS):
        make_file(os.path.join(WORK, f"gpu{index}"))
    for number, pid in enumerate(pids):
        slot, gpu = divmod(number, GPUS)
        assert slot < SLOTS
        with open(os.path.join(WORK, f"gpu{gpu}"), "r+b") as file:
            file.seek(slot * (HEADER + PIECES * PIECE.size))
            file.write(struct.pack("<IIQQQ", pid, 0, 1 << 30, 0, 0))


def cpu_seconds(pid):
    """CPU time of a process by its scheduler's statistics, in nanoseconds of each thread."""
    total = 0
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def resident(pid):
    """KiB of resident memory."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS:"))


def measure(binary, library, jobs, count, held, seconds, interval):
    """Milliseconds of CPU a second, and KiB."""
    running = subprocess.Popen([jobs, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pids = [int(running.stdout.readline()) for _ in range(count)]
    hold(pids[:held])
    receiver = Receiver()
    command = [binary, "--quiet", "--interval", interval, "--host", receiver.url, "--server-slug", "cost", "--gpu-source", "nvml", "--nvml-library", library]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", *command]
    environment = {"PATH": os.environ["PATH"], "LANG": "C", "HOME": "/nonexistent", "AI_DASHBOARD_TOKEN": "cost"}
    agent = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment)
    try:
        time.sleep(15)
        before, begun = cpu_seconds(agent.pid), time.monotonic()
        time.sleep(seconds)
        cost = (cpu_seconds(agent.pid) - before) / (time.monotonic() - begun)
        return cost * 1000, resident(agent.pid)
    finally:
        agent.terminate()
        agent.wait()
        running.stdin.close()
        running.wait()
        receiver.stop()


def main():
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", default=os.path.join(ROOT, "artifacts", "publish", "linux-x64", "ai-dashboard-agent"))
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--interval", default="1", help="seconds from one sample to the next")
    parser.add_argument("--jobs", default="0,1,8,64", help="how many jobs, one row each")
    options = parser.parse_args()
    library, jobs = build()
    print("| jobs | processes | threads | CPU, jobs watched | CPU, the same processes, no GPU in use | for the jobs | RSS |\n|---|---|---|---|---|---|---|", flush=True)
    for count in map(int, options.jobs.split(",")):
        idle, _ = measure(options.agent, library, jobs, count, 0, options.seconds, options.interval)
        watched, kib = (idle, 0) if count == 0 else measure(options.agent, library, jobs, count, count, options.seconds, options.interval)
        told = f"{watched:.2f} ms/s" if count else "–"
        print(f"| {count} | {17 * count} | {100 * count} | {told} | {idle:.2f} ms/s | {watched - idle:.2f} ms/s | {kib or '–'} KiB |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
