"""What a sample costs on machines of any size: generated trees of /proc and /sys, and GPUs of the stub."""

import os
import subprocess
import time

import programs
from cpu import measure_back_to_back

CPUS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DISKS = (1, 2, 4, 8, 16, 32, 64, 128)
GPUS = (0, 1, 2, 4, 8, 16)
FILES = ("stat", "meminfo", "loadavg", "diskstats", "net/dev", "pressure/cpu", "pressure/io", "pressure/memory")


def _tree(bench, name, **size):
    directory = os.path.join(bench.work, "trees", name)
    options = [word for key, value in size.items() for word in (f"--{key}", str(value))]
    subprocess.run(["dotnet", bench.trees, "tree", directory, *options], check=True)
    return directory


def _roots(directory):
    return ("--procfs", os.path.join(directory, "proc"), "--sysfs", os.path.join(directory, "sys"))


def _cost(bench, name, directory, samples):
    """Median microseconds and bytes allocated for each sample, beside the floor's on the same files."""
    files = [os.path.join(directory, "proc", file) for file in FILES] + [os.path.join(directory, "proc")]
    agent, allocated, floor = [], [], []
    for repeat in range(1 if bench.quick else 3):
        told = measure_back_to_back(bench, f"scaling-{name}", samples, _roots(directory))
        agent.append(told["cpu_us"] / samples)
        allocated.append(told["allocated_bytes"] / samples)
        floor.append(programs.floor(bench, "scaling-floor", samples, 0, files).wait(120) / samples * 1e6)
    return {"agent_us": sorted(agent)[len(agent) // 2], "allocated": min(allocated), "floor_us": sorted(floor)[len(floor) // 2]}


def back_to_back(bench, say):
    """By CPUs with one disk, by disks with two CPUs."""
    samples = 200 if bench.quick else 1000
    found = {"cpus": {}, "disks": {}}
    for kind, sizes, other in (("cpus", CPUS, {"disks": 1}), ("disks", DISKS, {"cpus": 2})):
        for size in sizes:
            directory = _tree(bench, f"{kind}-{size}", **{kind: size}, **other)
            found[kind][size] = _cost(bench, f"{kind}-{size}", directory, samples)
            say(f"{size} {kind}: {found[kind][size]['agent_us']:.0f} us a sample")
    return found


def once_a_second(bench, say):
    """CPU milliseconds a second with everything that is read beside the sampling: GPUs, sensors, clocks of CPUs. All at
    once, because each uses a thousandth of a core."""
    running = {}
    if bench.has_gpus:
        for count in GPUS:
            running[f"{count} GPUs"] = programs.agent(bench, f"scaling-gpus-{count}", extra=bench.gpus(count))
            time.sleep(0.1)
    for name, size in {
        "2 CPUs, 1 disk": {"cpus": 2, "disks": 1},
        "256 CPUs, 128 disks, 100 interfaces, 2,000 processes, 8 fabric ports": {
            "cpus": 256, "disks": 128, "interfaces": 100, "processes": 2000, "fabric-ports": 8,
        },
    }.items():
        directory = _tree(bench, "small" if size["cpus"] == 2 else "large", **size)
        running[name] = programs.agent(bench, f"scaling-1s-{size['cpus']}", extra=_roots(directory))
    time.sleep(3)
    seconds = 5 if bench.quick else 20
    before = {name: program.cpu() for name, program in running.items()}
    time.sleep(seconds)
    found = {}
    for name, program in running.items():
        rss, pss = program.memory()
        found[name] = {"cpu_ms": (program.cpu() - before[name]) / seconds * 1e3, "rss": rss, "pss": pss}
        say(f"{name}: {found[name]['cpu_ms']:.2f} ms a second")
        program.stop()
    return found
