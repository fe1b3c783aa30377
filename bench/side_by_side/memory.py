"""Memory at a steady state and after very many samples, in accelerated time: a minute of the agent's is less of ours."""

import os
import shutil
import threading
import time

import programs
from processes import Measured, Receiver

MIB = 1_048_576

# Divides every duration of the agent; its time-out must still be one.
SCALE = 100
STEADY_SAMPLES = 1_200
# One sample every two milliseconds: faster, and a backlog would grow on a small machine, which is memory too.
GROWTH_SCALE = 500
GROWTH_FROM, GROWTH_TO = 1_000, 100_000


class Way:
    """The agent in one way of running, with a copy of the binary of its own: PSS divides what processes share."""

    def __init__(self, bench, key, scale, extra=(), https=False):
        directory = bench.directory(f"memory-{key}")
        binary = os.path.join(directory, "ai-dashboard-agent")
        shutil.copy2(bench.agent, binary)
        spool = os.path.join(directory, "spool")
        shutil.rmtree(spool, ignore_errors=True)
        self.key = key
        self.receiver = Receiver(bench, f"receiver-memory-{key}", bench.certificate if https else None)
        options = ("--spool", spool, "--timeout", "600", *extra)
        self.program = programs.agent(bench, f"memory-{key}", self.receiver, scale=scale, binary=binary, extra=options)

    def after(self, samples, limit):
        """RSS and PSS once so many samples were delivered."""
        self.receiver.wait_for(samples, limit, self.program)
        return self.program.memory()

    def stop(self):
        """Ends it and its receiver."""
        self.program.stop()
        self.receiver.stop()


def _ways(bench):
    found = {
        "spool-http": ((), False),
        "spool-https": (("--ca-file", bench.certificate), True),
    }
    if bench.has_gpus:
        found["spool-http-nvml"] = (bench.gpus(8), False)
    if bench.agent_knows("--listen"):
        found["spool-http-listen"] = (("--listen", f"127.0.0.1:{bench.ports[2]}"), False)
    return found


def steady(bench, say):
    """All ways at once: memory is not disturbed by what else runs, as long as all of them keep up."""
    found = {}
    for repeat in range(bench.repeats):
        running = [Way(bench, key, SCALE, extra, https) for key, (extra, https) in _ways(bench).items()]
        scraper = programs.Scraper(bench.ports[2]) if bench.agent_knows("--listen") else None
        try:
            for way in running:
                rss, pss = way.after(STEADY_SAMPLES, 120)
                found.setdefault(way.key, []).append({"rss": rss, "pss": pss})
                say(f"steady state {repeat + 1}: {way.key} RSS {rss / MIB:.2f} MiB, PSS {pss / MIB:.2f} MiB")
        finally:
            if scraper:
                scraper.stop()
            for way in running:
                way.stop()
    return found


class Growth:
    """RSS after a thousand and after a hundred thousand samples, and at steps between; runs beside the other ways."""

    def __init__(self, bench, say):
        self.goal = GROWTH_TO // 10 if bench.quick else GROWTH_TO
        self.say = say
        self.found = []
        self.problem = None
        # Here and not on the thread: a program does not outlive the thread that started it.
        self.way = Way(bench, "growth", GROWTH_SCALE)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        begun = time.monotonic()
        try:
            for samples in sorted({GROWTH_FROM, self.goal // 10, self.goal // 4, self.goal // 2, self.goal}):
                rss, pss = self.way.after(samples, 600)
                count = self.way.receiver.counts()[0]
                self.found.append({"samples": count, "rss": rss, "pss": pss})
                self.say(f"not growing: after {count} samples RSS {rss / MIB:.2f} MiB ({time.monotonic() - begun:.0f} s)")
        except Measured as problem:
            self.problem = problem

    def result(self):
        """Waits for the end."""
        self.thread.join()
        self.way.stop()
        if self.problem:
            raise self.problem
        return self.found


def measure(bench, say):
    """The steady state of all ways, and the growth of one."""
    growing = Growth(bench, say)
    found = {"steady": steady(bench, say)}
    found["growth"] = growing.result()
    return found
