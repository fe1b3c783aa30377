#!/usr/bin/env python3
"""The lab: runs trainers whose limit is known because it can be removed, with the agent beside them, and holds its verdict
against the truth. README.md beside this file says how; --help lists the options.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import report
from agent import Agent, Rule, gpu_options
from judge import judge, said_of
from run import Place, Run, prefer
from scenarios import EXTRA, SCENARIOS
from setup import doublings_of
from truth import rule_is_right, truth_of

FAULT_AT = 15.0
WARM_UP = 1.1
DOUBTFUL = (1.15, 1.5)
# Cores that others may use during a short run.
QUIET = 0.3


class Lab:
    """One session of it."""

    def __init__(self, options):
        self.options = options
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        self.place = Place(root, options.gpu)
        self.disturbed = 0.0
        self.rule = None if options.truth_only else Rule(options.dashboard, self.place.work)

    def close(self):
        """Ends what all scenarios share."""
        if self.rule:
            self.rule.stop()
        self.place.close()

    def long_run(self, scenario):
        """The setup as it is, with the agent: its jobs' rates, the bodies and the rule's words, the instant that counts as 0."""
        run = Run(self.place, scenario.setup, scenario.name)
        agent = None
        try:
            run.start_around()
            if self.rule:
                agent = Agent(self.options.agent, run, self.place, scenario.scale, self.options.as_root)
            run.start()
            origin = run.begun
            if _fault(scenario):
                time.sleep(FAULT_AT)
                run.go_wrong()
                origin = time.monotonic()
            time.sleep(self.options.seconds)
            end = time.monotonic()
            rates = [run.rate(number, origin + 2, end) for number in range(len(scenario.setup.jobs))]
            bodies = agent.stop() if agent else []
            agent = None
            words = self.rule.words(scenario.name, bodies) if self.rule else []
            return rates, bodies, words, origin
        finally:
            run.stop()
            if agent:
                agent.stop()

    def short_run(self, scenario, setup, name):
        """The jobs' rates in a setup, without the agent."""
        run = Run(self.place, setup, f"{scenario.name}-{name.replace(' ', '-')}")
        try:
            run.start_around()
            run.start()
            time.sleep(WARM_UP)
            before, begin = run.cpu(), time.monotonic()
            time.sleep(self.options.measure or scenario.measure)
            after, end = run.cpu(), time.monotonic()
            rates = [run.rate(number, begin, end) for number in range(len(setup.jobs))]
            if not any(rates):
                print(f"    {name}: no step; {run.complaint().strip()[-300:]}", file=sys.stderr)
            return rates, (after[0] - before[0] - after[1] + before[1]) / (end - begin)
        finally:
            run.stop()

    def quiet_run(self, scenario, setup, name):
        """A short run during which nobody but the lab used the machine, or of two the less disturbed."""
        best = None
        for _ in range(2):
            rates, others = self.short_run(scenario, setup, name)
            if best is None or others < best[1]:
                best = rates, others
            # By priority the lab's processes hardly notice others.
            if others < QUIET or self.options.nice < 0:
                break
        self.disturbed = max(self.disturbed, best[1])
        return best[0]

    def short_runs(self, scenario, setups):
        """The rates of several setups by name; three at once where they do not disturb each other."""
        if not scenario.is_light:
            return {name: self.quiet_run(scenario, setup, name) for name, setup in setups.items()}
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            runs = {name: pool.submit(self.short_run, scenario, setup, name) for name, setup in setups.items()}
            return {name: run.result()[0] for name, run in runs.items()}

    def gains(self, scenario, number, base):
        """How much faster a job is with each of its resources doubled."""
        setups = doublings_of(scenario.setup, number)
        if _fault(scenario):
            # Nothing that is doubled brings it back; what it does without the fault says that it was the fault.
            rates = self.short_runs(scenario, {"no fault": setups["no fault"]})
            return {"no fault": _ratio(rates["no fault"][number], base[number])}
        # First and last as it is; the faster one counts, as what others do only slows.
        rates = self.short_runs(scenario, {"base": scenario.setup, **setups, "base again": scenario.setup})
        base = max(rates["base"][number], rates["base again"][number])
        gains = {name: _ratio(rates[name][number], base) for name in setups}
        doubtful = [name for name, gain in gains.items() if DOUBTFUL[0] <= gain <= DOUBTFUL[1]]
        if doubtful and (truth_of(scenario.setup, scenario.setup.jobs[number], gains)[0] in [None, *doubtful]):
            again = self.short_runs(scenario, {"base": scenario.setup, **{name: setups[name] for name in doubtful}})
            base = max(base, again["base"][number])
            rates |= {name: [max(pair) for pair in zip(rates[name], again[name])] for name in doubtful}
            gains = {name: _ratio(rates[name][number], base) for name in setups}
        return gains

    def run(self, group):
        """Scenarios whose long runs are at the same time: a row for each of their jobs."""
        missing = {scenario.name: self.place.missing(scenario.setup) for scenario in group}
        with concurrent.futures.ThreadPoolExecutor(len(group)) as pool:
            runs = {scenario.name: pool.submit(self.long_run, scenario) for scenario in group if not missing[scenario.name]}
        for scenario in group:
            if missing[scenario.name]:
                yield report.Row(scenario.name, skipped=missing[scenario.name])
                continue
            try:
                yield from self.rows(scenario, *runs[scenario.name].result())
            except (OSError, RuntimeError, KeyError, ValueError, subprocess.SubprocessError) as error:
                # What goes wrong with one scenario costs no other.
                yield report.Row(scenario.name, skipped=f"did not work: {type(error).__name__}: {error}")

    def rows(self, scenario, base, bodies, words, origin):
        """A row for each of a scenario's jobs, after its long run."""
        setup = scenario.setup
        for number, job in enumerate(setup.jobs):
            self.disturbed = 0.0
            gains = self.gains(scenario, number, base)
            resource, labels = truth_of(setup, job, gains)
            # A fault of the machine's is told for the machine: the job may have ended of it.
            said = said_of(bodies, words, job, origin, of_machine=bool(setup.fault))
            yield report.Row(
                scenario.name if len(setup.jobs) == 1 else f"{scenario.name} ({number + 1})",
                gains=gains,
                rate=base[number],
                disturbed=self.disturbed,
                resource=resource,
                labels=labels,
                judgement=judge(said, labels, job.uid),
                rule_share=sum(rule_is_right(labels, look.rule) for look in said) / max(1, len(said)),
                said=[dataclasses.astuple(look) for look in said],
            )


def _fault(scenario):
    return bool(scenario.setup.fault or any(job.fault for job in scenario.setup.jobs))


def _ratio(rate, base):
    return rate / base if base else (99.0 if rate else 0.0)


def chosen(options):
    """The scenarios that were asked for."""
    if options.only:
        unknown = set(options.only) - {scenario.name for scenario in SCENARIOS}
        if unknown:
            raise SystemExit(f"lab: no scenario {', '.join(sorted(unknown))}; --list lists them")
        return [scenario for scenario in SCENARIOS if scenario.name in options.only]
    if options.quick:
        return [scenario for scenario in SCENARIOS if scenario.is_quick]
    return [scenario for scenario in SCENARIOS if options.all or scenario.name not in EXTRA]


def groups_of(scenarios):
    """Those that may be at work at the same time come together, each with an agent and GPUs of its own."""
    groups = {}
    for scenario in scenarios:
        groups.setdefault(scenario.group or scenario.name, []).append(scenario)
    return groups.values()


def parse():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agent", default="artifacts/publish/linux-x64/ai-dashboard-agent", help="the agent under test")
    parser.add_argument("--dashboard", default="artifacts/publish/linux-x64/ai-dashboard/ai-dashboard", help="gives the webapp's rule's word")
    parser.add_argument("--only", action="append", metavar="NAME", help="this scenario; may come more than once")
    parser.add_argument("--quick", action="store_true", help="six scenarios, as CI runs them")
    parser.add_argument("--all", action="store_true", help="also those that are near relatives of others; ten minutes more")
    parser.add_argument("--seconds", type=float, help="how long the agent looks at each (47; with --quick 30)")
    parser.add_argument("--results", help="where the page goes (bench/RESULTS-lab.md; with --only and --quick artifacts/lab/results.md)")
    parser.add_argument("--as-root", action="store_true", help="run the agent as root, and not as a user who may nothing")
    parser.add_argument("--truth-only", action="store_true", help="no agent: whether each scenario has a clear truth")
    parser.add_argument("--gpu", action="store_true", help="a real GPU, number 0, and the scenarios that it can play")
    parser.add_argument("--hold", action="store_true", help="only start the scenario of --only, say how the agent sees it, and end after --seconds")
    parser.add_argument("--nice", type=int, default=0, help="priority of all that is started, -20 to 19; below 0 others hardly disturb it (0)")
    parser.add_argument("--list", action="store_true", help="list the scenarios and end")
    return parser.parse_args()


def hold(options, scenario):
    """Starts one scenario, for looking at it by hand."""
    place = Place(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), options.gpu)
    run = Run(place, scenario.setup, scenario.name)
    try:
        if why := place.missing(scenario.setup):
            raise SystemExit(f"lab: {scenario.name} {why}")
        run.start_around()
        run.start()
        print(" ".join(place.options if options.gpu else [*gpu_options(run), *place.options]), flush=True)
        if _fault(scenario):
            time.sleep(5)
            run.go_wrong()
        time.sleep(options.seconds)
        return 0
    finally:
        run.stop()
        place.close()


def main():
    """Runs, prints a line for each, writes the page; 1 below the bar."""
    options = parse()
    if options.list:
        print("\n".join(scenario.name for scenario in SCENARIOS))
        return 0
    options.measure = 2.0 if options.quick else 0.0
    options.seconds = options.seconds or (8 if options.truth_only else 30 if options.quick else 47)
    scenarios = chosen(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.hold:
        return hold(options, scenarios[0])
    for program in [] if options.truth_only else [options.agent, options.dashboard]:
        if not os.access(program, os.X_OK):
            raise SystemExit(f"lab: there is no program at '{program}': run `dotnet fsi build.fsx -t Publish` first")
    options.agent, options.dashboard = os.path.abspath(options.agent), os.path.abspath(options.dashboard)
    with contextlib.suppress(PermissionError):
        os.nice(options.nice)
    prefer(os.getpid())
    lab = Lab(options)
    begun = time.monotonic()
    rows = []
    try:
        for group in groups_of(scenarios):
            for row in lab.run(group):
                rows.append(row)
                print(f"{time.monotonic() - begun:5.0f} s  {row.line()}", flush=True)
            with open(os.path.join(lab.place.work, "results.json"), "w", encoding="ascii") as file:
                json.dump([dataclasses.asdict(row) for row in rows], file, indent=1)
    finally:
        lab.close()
    score = report.Score(rows)
    partial = options.gpu or options.only or options.quick or options.truth_only
    path = options.results or (os.path.join(lab.place.work, "results.md") if partial else os.path.join(lab.place.root, "bench", "RESULTS-lab.md"))
    with open(path, "w", encoding="utf-8") as file:
        file.write(report.page(rows, score, options.seconds, time.monotonic() - begun))
    print("\n".join(["", *score.lines(), f"The page is {os.path.relpath(path)}."]))
    if options.truth_only:
        return 0 if score.unclear == 0 else 1
    return 0 if score.is_reached or (options.quick and score.is_sound) else 1


if __name__ == "__main__":
    sys.exit(main())
