"""The results as a page."""

import subprocess

MIB = 1048576

TITLES = {
    "floor": "the floor: a C program that only reads the same files",
    "agent-dry": "agent, no network (`--dry-run`)",
    "agent-dry-0.2": "agent, no network, window 0.2",
    "agent-http": "agent, HTTP",
    "agent-http-0.2": "agent, HTTP, window 0.2",
    "agent-spool": "agent, HTTP, with `--spool`",
    "agent-https": "agent, HTTPS with `--ca-file`",
    "agent-nvml": "agent, HTTP, 8 GPUs by the NVML stub",
    "agent-listen": "agent, HTTP, `--listen` and scraped once a second",
    "collectd": "collectd, one request a second (`BufferSize 10240`)",
    "collectd-default": "collectd, `BufferSize` as by default",
    "python": "Python agent (psutil, requests)",
    "python-0.2": "Python agent, window 0.2",
    "agent-exporter": "agent, metrics alone, scraped once a second: all groups of node_exporter's, a sample, and itself",
    "node-exporter": "node_exporter, scraped once a second, the groups of a sample",
    "node-exporter-all": "node_exporter, scraped once a second, all groups that the agent has",
}


def median(values):
    """The middle one; of an even number the mean of the two in the middle."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def _spread(values, digits):
    return f"{min(values):.{digits}f}–{max(values):.{digits}f}"


def _table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]


class Bars:
    """The bars, each with what this run says of it."""

    def __init__(self):
        self.rows = []

    def add(self, what, bar, limit, value, unit, beside=""):
        """One bar: reached when the value is not above the limit."""
        shown = f"{value:.2f} {unit}".strip() if isinstance(value, float) else f"{value} {unit}".strip()
        self.rows.append((what, bar, shown, "reached" if value <= limit else "**not reached**", beside))


def _bars(found):
    bars = Bars()
    if "back_to_back" in found:
        hot, told = found["back_to_back"], found["back_to_back"]["agent_told"]
        ratio = median(hot["agent"]) / median(hot["floor"])
        bars.add("CPU per sample, 10,000 back to back, no network, against the floor", "≤ 2.0 ×", 2.0, ratio, "×")
        _once_a_second_bars(found["once_a_second"], bars)
    if "steady" in found:
        _memory_bars(found, bars)
    if "first_sample" in found:
        first = {who: median(values) for who, values in found["first_sample"].items()}
        beside = f"{first['agent-0.2']:.0f} ms"
        bars.add("exec → first sample accepted, `--once`", "≤ 80 ms", 80.0, first["agent"], "ms", beside)
        bars.add("the same against the Python agent", "≤ 0.5 ×", 0.5, first["agent"] / first["python"], "×")
    bars.add("binary", "≤ 12 MiB", 12.0, found["binary_bytes"] / MIB, "MiB")
    if "back_to_back" in found:
        allocated = median([run["allocated_bytes"] / run["samples"] / 1024 for run in told])
        bars.add("allocation per sample", "≤ 16 KiB", 16.0, allocated, "KiB")
        bars.add("gen-2 collections in 10,000 samples", "0", 0, max(run["gen2"] for run in told), "")
    return bars.rows


def _once_a_second_bars(rows, bars):
    cost = {key: median([run["cpu_ms"] for run in runs]) for key, runs in rows.items()}
    ratio = cost["agent-dry"] / cost["floor"]
    beside = f"{cost['agent-dry-0.2'] / cost['floor']:.2f} ×"
    bars.add("CPU per sample at 1 s, no network, against the floor at 1 s", "≤ 2.0 ×", 2.0, ratio, "×", beside)
    ratio = cost["agent-http"] / cost["collectd"]
    beside = f"{cost['agent-http-0.2'] / cost['collectd']:.2f} ×"
    bars.add("CPU per delivered sample at 1 s, keep-alive HTTP, against collectd", "≤ 0.6 ×", 0.6, ratio, "×", beside)
    ratio = cost["agent-http"] / cost["python"]
    beside = f"{cost['agent-http-0.2'] / cost['python-0.2']:.2f} × (Python with the same window)"
    bars.add("the same against the Python agent", "≤ 0.22 ×", 0.22, ratio, "×", beside)
    if "agent-exporter" in cost:
        ratio = cost["agent-exporter"] / cost["node-exporter-all"]
        bars.add("metrics alone, scraped once a second, against node_exporter with the same groups", "≤ 1.0 ×", 1.0, ratio, "×")


def _memory_bars(found, bars):
    rss = {key: median([run["rss"] for run in runs]) / MIB for key, runs in found["steady"].items()}
    base = rss["spool-http"]
    bars.add("RSS with spool and HTTP", "≤ 15 MiB", 15.0, base, "MiB")
    for key, what, limit in (
        ("spool-https", "HTTPS on top", 8.5),
        ("spool-http-listen", "`--listen` on top", 4.0),
        ("spool-http-nvml", "the NVML stub with 8 GPUs on top", 1.0),
    ):
        if key in rss:
            bars.add(what, f"≤ {limit:g} MiB", limit, rss[key] - base, "MiB")
    first, last = found["growth"][0], found["growth"][-1]
    what = f"growth of RSS from {first['samples']:,} to {last['samples']:,} samples"
    bars.add(what, "≤ 1 MiB", 1.0, (last["rss"] - first["rss"]) / MIB, "MiB")


def _cpu(found):
    hot = found["back_to_back"]
    yield "## Back to back"
    yield ""
    yield (
        f"{hot['agent_told'][0]['samples']:,} samples without a pause: read, parse, build, derive, encode. The agent tells "
        "the CPU time of its whole process during the loop, all threads; the floor's is its process from exec to exit. "
        f"{len(found['files'])} files: {', '.join(f'`{name}`' for name in found['files'])} (of `/proc` only the link count)."
    )
    yield ""
    rows = [
        (name, f"{median(hot[key]):.1f}", _spread(hot[key], 1)) for name, key in (("floor", "floor"), ("agent", "agent"))
    ]
    yield from _table(("what", "µs per sample, median", "spread"), rows)
    yield ""
    yield "## Once a second"
    yield ""
    yield (
        f"CPU time of the process with all its threads and children over {found['seconds']} seconds, divided by the "
        "seconds. RSS and PSS of the same runs at their end, which is too early for the agent's steady state (below). "
        "Delivered: requests and kilobytes a second that arrived, or answered scrapes. First: from exec to the first of them."
    )
    yield ""
    rows = []
    for key, runs in found["once_a_second"].items():
        costs = [run["cpu_ms"] for run in runs]
        delivered = [median([run["delivered"][n] for run in runs]) for n in range(len(runs[0]["delivered"]))]
        units = ("{:.2f}/s", "{:.1f} kB/s")
        shown = ", ".join(unit.format(value / scale) for unit, value, scale in zip(units, delivered, (1, 1000)))
        memory = [f"{median([run[what] for run in runs]) / MIB:.1f}" for what in ("rss", "pss")]
        threads = median([run["threads"] for run in runs])
        first = f"{median([run['first_ms'] for run in runs]):.0f}" if delivered else ""
        rows.append((TITLES[key], f"{median(costs):.3f}", _spread(costs, 3), *memory, f"{threads:g}", shown, first))
    rows.sort(key=lambda row: float(row[1]))
    head = ("what", "CPU ms per sample, median", "spread", "RSS MiB", "PSS MiB", "threads", "delivered", "first, ms")
    yield from _table(head, rows)
    yield ""
    yield "## From exec to the first accepted sample"
    yield ""
    names = (("agent", "agent, window 0"), ("agent-0.2", "agent, window 0.2"), ("python", "Python agent"))
    first = found["first_sample"]
    rows = [(name, f"{median(first[key]):.1f}", _spread(first[key], 1), len(first[key])) for key, name in names]
    yield from _table(("what (`--once`)", "ms, median", "spread", "runs"), rows)
    yield ""


def _memory(found):
    yield "## Memory"
    yield ""
    yield (
        "Time runs a hundred times as fast for the agent, so that a steady state is reached within seconds: RSS and PSS "
        "after 1,200 delivered samples with `--spool`. Each way has a copy of the binary of its own, so that PSS divides "
        "nothing between them."
    )
    yield ""
    rows = []
    for key, runs in found["steady"].items():
        rss, pss = ([run[what] / MIB for run in runs] for what in ("rss", "pss"))
        rows.append((key.replace("-", " + "), f"{median(rss):.2f}", _spread(rss, 2), f"{median(pss):.2f}"))
    yield from _table(("what", "RSS MiB, median", "spread", "PSS MiB"), rows)
    yield ""
    yield "With spool and HTTP, time running five hundred times as fast:"
    yield ""
    rows = [(f"{at['samples']:,}", f"{at['rss'] / MIB:.2f}", f"{at['pss'] / MIB:.2f}") for at in found["growth"]]
    yield from _table(("samples delivered", "RSS MiB", "PSS MiB"), rows)
    yield ""


def _scaling(found):
    yield "## What it costs to watch a larger machine"
    yield ""
    yield (
        "Trees of /proc and /sys made by `bench/Agent.Bench` from the documented formats, read back to back with `--procfs` "
        "and `--sysfs`; the floor reads the same files. These are plain files: the kernel's own work, which grows with the "
        "machine too, is not in here."
    )
    yield ""
    for kind, name in (("cpus", "CPUs (1 disk)"), ("disks", "disks with two partitions each (2 CPUs)")):
        rows = [
            (size, f"{cost['agent_us']:.0f}", f"{cost['floor_us']:.0f}", f"{cost['allocated'] / 1024:.1f}")
            for size, cost in found["scaling"][kind].items()
        ]
        yield from _table((name, "agent, µs per sample", "floor, µs", "allocated, KiB per sample"), rows)
        yield ""
    yield (
        "Once a second with everything that is read beside the sampling at its own pace (clocks of CPUs, sensors, facts, "
        "GPUs by the NVML stub):"
    )
    yield ""
    rows = [
        (name, f"{cost['cpu_ms']:.2f}", f"{cost['rss'] / MIB:.1f}") for name, cost in found["scaling_once_a_second"].items()
    ]
    yield from _table(("machine", "CPU ms a second", "RSS MiB"), rows)
    yield ""


PEERS_PACKAGES = {
    "collectd": ["collectd-core", "libcurl3-gnutls", "libyajl2"],
    "node_exporter": ["prometheus-node-exporter"],
    "the Python agent": [
        "python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "python3-psutil", "python3-requests",
        "python3-urllib3", "python3-certifi", "python3-chardet", "python3-idna",
    ],
}


def _sizes(found):
    """The agent's file, and what dpkg says that the peers' packages occupy, without those every machine has."""
    yield "agent, one file", f"{found['binary_bytes'] / MIB:.2f}"
    for name, packages in PEERS_PACKAGES.items():
        command = ["dpkg-query", "--show", "--showformat=${Installed-Size}\n", *packages]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        if told.returncode == 0:
            yield f"{name}: {', '.join(packages)}", f"{sum(map(int, told.stdout.split())) / 1024:.1f}"


def render(found, notes):
    """The whole page; the notes, which are written by hand, stand at its end."""
    lines = [
        "# Results",
        "",
        f"Written by `{found['command']}` on {found['date']} in {found['minutes']:.0f} minutes; README.md beside this page "
        "says how. "
        + (
            "**A quick run**, to see that everything works: its figures are not to be relied on."
            if found["quick"]
            else f"Medians of {found['repeats']}, in alternating order; ratios are within this run."
        ),
        "",
        *[f"- {line}" for line in found["machine"]],
        "",
        "## The bars",
        "",
        "All with `--cpu-sample-interval 0`, as every peer measures; the last column with the default of 0.2.",
        "",
        *_table(("what", "bar", "this run", "", "with window 0.2"), _bars(found)),
        "",
    ]
    if "back_to_back" in found:
        lines += _cpu(found)
    if "steady" in found:
        lines += _memory(found)
    lines += ["## Size on disk", "", *_table(("what", "MiB"), list(_sizes(found))), ""]
    if "scaling" in found:
        lines += _scaling(found)
    return "\n".join([*lines, notes])
