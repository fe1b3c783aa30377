"""CPU time: back to back, once a second, and from exec to the first accepted sample."""

import contextlib
import json
import os
import time

import programs
from processes import Measured, Program, Receiver

# What runs before the figures of a row are taken: the start, the first samples (after the second one the agent gives its
# start's memory back, and reads some of it in again), and half an interval, so that the figures begin and end between two samples.
WARM_UP_SECONDS = 4.5
BACK_TO_BACK = 10_000
COLLECTD_DEFAULT_BUFFER = 4096
# What one second brings on a small machine, so that there is about one request a second, as the agent makes.
COLLECTD_BUFFER = 10_240


def measure_back_to_back(bench, name, samples, extra=()):
    """What the agent itself tells of so many samples taken without a pause and without a network."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(bench.directory(name), "output.log"))
    program = Program(
        bench,
        name,
        [bench.agent, "--dry-run", "--cpu-sample-interval", "0", *extra],
        env={"AI_DASHBOARD_TEST_BACK_TO_BACK": str(samples)},
        keep_output=True,
    )
    whole = program.wait(120)
    with open(program.output, encoding="utf-8") as file:
        told = json.load(file)
    if told["samples"] != samples:
        raise Measured(f"{name}: {told['samples']} samples were taken, not {samples}")
    if not told["cpu_us"] / 1e6 <= whole <= told["cpu_us"] / 1e6 + 1:
        raise Measured(f"{name} tells of {told['cpu_us']} us of CPU, the kernel of {whole * 1e6:.0f}")
    return told


def kernel_files(bench):
    """The files that the agent holds open on this machine, and /proc, whose link count it asks for."""
    program = programs.agent(bench, "files")
    time.sleep(2)
    program.check()
    files = program.open_kernel_files()
    program.stop()
    if "/proc/stat" not in files:
        raise Measured(f"the agent holds no /proc/stat open, but {files}")
    return [*files, "/proc"]


def back_to_back(bench, files, say):
    """The floor and the agent in turns."""
    found = {"floor": [], "agent": [], "agent_told": []}
    for repeat in range(bench.repeats):
        for who in ("floor", "agent") if repeat % 2 == 0 else ("agent", "floor"):
            if who == "floor":
                cpu = programs.floor(bench, "floor", BACK_TO_BACK, 0, files).wait(120)
                found["floor"].append(cpu / BACK_TO_BACK * 1e6)
            else:
                told = measure_back_to_back(bench, "agent", BACK_TO_BACK)
                found["agent"].append(told["cpu_us"] / BACK_TO_BACK)
                found["agent_told"].append(told)
        say(f"back to back {repeat + 1}: floor {found['floor'][-1]:.1f} us, agent {found['agent'][-1]:.1f} us")
    return found


class Row:
    """One way of running something once a second."""

    def __init__(self, key, start, receiver=None, scraped=None):
        self.key = key
        self.start = start
        self.receiver = receiver
        self.scraped = scraped

    def measure(self, bench):
        """CPU milliseconds for each sample, RSS, PSS, threads, what was delivered a second, and when the first was."""
        receiver = None
        if self.receiver:
            receiver = Receiver(bench, f"receiver-{self.key}", bench.certificate if self.receiver == "https" else None)
        program = self.start(receiver)
        scraper = programs.Scraper(self.scraped) if self.scraped else None
        try:
            begun = program.exec_ns / 1e9 + WARM_UP_SECONDS
            time.sleep(max(0.0, begun - time.monotonic()))
            cpu, counts = program.cpu(), self._counts(receiver, scraper)
            time.sleep(bench.seconds)
            used, arrived = program.cpu() - cpu, self._counts(receiver, scraper)
            rss, pss = program.memory()
            delivered = [(after - before) / bench.seconds for before, after in zip(counts, arrived)]
            if counts and not (arrived[0] > counts[0] and delivered[0] > 0.5 / max(1, bench.seconds)):
                raise Measured(f"{self.key} delivered nothing: {program.complaint()}")
            return {
                "cpu_ms": used / bench.seconds * 1e3,
                "rss": rss,
                "pss": pss,
                "threads": program.threads(),
                "delivered": delivered,
                "first_ms": (self._first_ns(receiver, scraper) - program.exec_ns) / 1e6 if counts else None,
            }
        finally:
            if scraper:
                scraper.stop()
            program.stop()
            if receiver:
                receiver.stop()

    @staticmethod
    def _counts(receiver, scraper):
        if receiver:
            return list(receiver.counts()[:2])
        return [scraper.answers] if scraper else []

    @staticmethod
    def _first_ns(receiver, scraper):
        return receiver.counts()[2] if receiver else scraper.first_ns


def rows(bench, files):
    """Everything that is measured once a second."""
    spool = bench.directory("spool")
    every = (*programs.COLLECTORS, *programs.SCRAPED_COLLECTORS)

    def agent(key, window="0", extra=()):
        return lambda receiver: programs.agent(bench, key, receiver, window, extra=extra)

    found = [
        Row("floor", lambda _: programs.floor(bench, "floor-1s", 0, 1000, files)),
        Row("agent-dry", agent("agent-dry")),
        Row("agent-dry-0.2", agent("agent-dry-0.2", "0.2")),
        Row("agent-http", agent("agent-http"), "http"),
        Row("agent-http-0.2", agent("agent-http-0.2", "0.2"), "http"),
        Row("agent-spool", agent("agent-spool", extra=("--spool", spool)), "http"),
        Row("agent-https", agent("agent-https", extra=("--ca-file", bench.certificate)), "https"),
        Row("collectd", lambda r: programs.collectd(bench, "collectd", r, COLLECTD_BUFFER), "http"),
        Row("collectd-default", lambda r: programs.collectd(bench, "collectd", r, COLLECTD_DEFAULT_BUFFER), "http"),
        Row("python", lambda r: programs.python_agent(bench, "python", r), "http"),
        Row("python-0.2", lambda r: programs.python_agent(bench, "python-0.2", r, "0.2"), "http"),
        Row("node-exporter", lambda _: programs.node_exporter(bench, "node-exporter", bench.ports[0]), scraped=bench.ports[0]),
        Row("node-exporter-all", lambda _: programs.node_exporter(bench, "node-exporter-all", bench.ports[0], every), scraped=bench.ports[0]),
    ]
    if bench.has_gpus:
        found.append(Row("agent-nvml", agent("agent-nvml", extra=bench.gpus(8)), "http"))
    if bench.agent_knows("--listen"):
        address = f"127.0.0.1:{bench.ports[1]}"
        found.append(Row("agent-exporter", lambda _: programs.exporter(bench, "agent-exporter", bench.ports[1]), scraped=bench.ports[1]))
        found.append(Row("agent-listen", agent("agent-listen", extra=("--listen", address)), "http", bench.ports[1]))
    return found


def once_a_second(bench, files, say):
    """Each row in turn, forwards and backwards in alternation."""
    found = {}
    for repeat in range(bench.repeats):
        in_turn = rows(bench, files)
        for row in in_turn if repeat % 2 == 0 else reversed(in_turn):
            result = row.measure(bench)
            found.setdefault(row.key, []).append(result)
            say(f"once a second {repeat + 1}: {row.key} {result['cpu_ms']:.3f} ms, RSS {result['rss'] / 1048576:.1f} MiB")
    return found


def first_sample(bench, say):
    """Milliseconds from exec to the first accepted sample, the programs in turns."""
    found = {"agent": [], "agent-0.2": [], "python": []}
    receiver = Receiver(bench, "receiver-first")
    try:
        for repeat in range(3 if bench.quick else 2 * bench.repeats + 1):
            for who in ("agent", "python", "agent-0.2") if repeat % 2 == 0 else ("agent-0.2", "python", "agent"):
                before = receiver.counts()[0]
                if who == "python":
                    program = programs.python_agent(bench, "first-python", receiver, once=True)
                else:
                    window = "0.2" if who == "agent-0.2" else "0"
                    program = programs.agent(bench, "first-agent", receiver, window, extra=("--once",))
                program.wait(30)
                count, _, _, last = receiver.counts()
                if count != before + 1:
                    raise Measured(f"{who} delivered {count - before} samples with --once")
                found[who].append((last - program.exec_ns) / 1e6)
            say(f"first sample {repeat + 1}: agent {found['agent'][-1]:.1f} ms, Python {found['python'][-1]:.1f} ms")
    finally:
        receiver.stop()
    return found
