#!/usr/bin/env python3
"""A rehearsal of a fleet on one machine: so many real agents, a process each, post to a receiver on the loopback; in the middle it is away for a
while, and everybody comes back. Says what was lost, how long the return took, the memory of the receiver and how long a stranger waited for an answer.

    bench/rehearsal.py --agents 1000                                  # against ai-dashboard
    bench/rehearsal.py --agents 1000 --victoria victoria-metrics      # against VictoriaMetrics, by remote-write

It starts what it measures itself and ends it by its process id, also after Ctrl-C. An agent takes 14 MiB. All agents read this machine, so what differs
between them is their names.
"""

import argparse
import http.client
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PUBLISHED = os.path.join(ROOT, "artifacts", "publish", "linux-x64")
WORK = os.path.join(ROOT, "artifacts", "rehearsal")


def say(text):
    """A line for whoever waits."""
    print(time.strftime("%H:%M:%S"), text, flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def status(pid, name):
    """A figure of /proc/PID/status, in KiB."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1])
    raise KeyError(name)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(port, method, path, body=None, headers=None, patience=30):
    """The status and the text of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


class Receiver:
    """What the agents send to, on one port for its whole life."""

    def __init__(self, words):
        self.port = free_port()
        self.words = [word.replace("PORT", str(self.port)) for word in words]
        self.process = None
        self.highest = 0
        self.cpu = 0.0

    def start(self):
        log = open(os.path.join(WORK, "receiver.log"), "ab")
        self.process = subprocess.Popen(self.words, cwd=WORK, stdout=log, stderr=log)
        until = time.monotonic() + 60
        while True:
            try:
                if ask(self.port, "GET", self.health, patience=2)[0] == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > until or self.process.poll() is not None:
                raise SystemExit(f"{self.words[0]} does not serve; see {WORK}/receiver.log")
            time.sleep(0.1)

    def note(self):
        self.highest = max(self.highest, status(self.process.pid, "VmHWM"))

    def stop(self):
        if self.process and self.process.poll() is None:
            self.note()
            self.cpu += cpu_seconds(self.process.pid)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)


class Dashboard(Receiver):
    """ai-dashboard on a database of its own."""

    health = "/healthz"
    name = "ai-dashboard"

    def __init__(self, program, agents):
        self.database = os.path.join(WORK, "fleet.db")
        tokens = os.path.join(WORK, "tokens")
        added = subprocess.run([program, "tokens", "add", "rehearsal", "--role", "admin", "--tokens-file", tokens], capture_output=True, text=True, check=True)
        self.token = re.search(r"TOKEN=(\S+)", added.stdout).group(1)
        password = os.path.join(WORK, "password")
        with open(os.open(password, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write("a password that nobody uses\n")
        super().__init__(
            [program, "serve", "--viewer-password-file", password, "--listen", "http://127.0.0.1:PORT", "--database", self.database, "--tokens-file", tokens,
             "--address-connections", str(min(4096, agents + 100))])

    def register(self, slug):
        code, text = ask(self.port, "POST", "/api/servers/", json.dumps({"name": slug}), {"Content-Type": "application/json", "Authorization": "Bearer " + self.token})
        if code not in (200, 201):
            raise SystemExit(f"{slug} cannot be registered: {code} {text}")
        return json.loads(text)["token"]

    def options(self, slug):
        return ["--host", f"http://127.0.0.1:{self.port}", "--server-slug", slug], {"AI_DASHBOARD_TOKEN": self.register(slug)}

    def times(self):
        """When the samples of each agent that are kept were taken, in seconds, in their order."""
        found = {}
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
            slugs = dict(database.execute("SELECT id, slug FROM server").fetchall())
            # Of a key the upper bits are the server, the lower ones microseconds since 2000.
            for (key,) in database.execute("SELECT key FROM sample ORDER BY key"):
                found.setdefault(slugs[key >> 51], []).append(946684800 + (key & ((1 << 51) - 1)) / 1e6)
        return found

    def probe(self, token):
        """Seconds until a sample of a machine that is not among the agents is acknowledged; none where it is not."""
        now = time.time()
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1e6) % 1000000:06d}+00:00"
        body = json.dumps({"sample": {"collected_at": at, "cpu_usage_percent": 1}})
        begin = time.monotonic()
        try:
            code, _ = ask(self.port, "POST", "/api/ingest/servers/stranger/metrics/", body, {"Authorization": "Bearer " + token, "Content-Type": "application/json"}, 10)
        except OSError:
            return None
        return time.monotonic() - begin if code == 200 else None


class Victoria(Receiver):
    """VictoriaMetrics."""

    health = "/health"
    name = "VictoriaMetrics"

    def __init__(self, program, _):
        super().__init__([program, "-httpListenAddr=127.0.0.1:PORT", "-storageDataPath=" + os.path.join(WORK, "victoria"), "-retentionPeriod=1", "-loggerLevel=ERROR"])

    def register(self, slug):
        return slug

    def options(self, slug):
        return ["--remote-write", f"http://127.0.0.1:{self.port}/api/v1/write", "--hostname", slug], {}

    def times(self):
        """When the samples of each agent that are kept were taken, in seconds, in their order."""
        # What is kept is not searched at once.
        ask(self.port, "GET", "/internal/force_flush")
        _, text = ask(self.port, "GET", "/api/v1/export?match%5B%5D=node_load1")
        found = {}
        for line in text.splitlines():
            series = json.loads(line)
            found.setdefault(series["metric"]["instance"], []).extend(at / 1000 for at in series["timestamps"])
        return {instance: sorted(times) for instance, times in found.items()}

    def probe(self, _):
        begin = time.monotonic()
        try:
            code, _ = ask(self.port, "POST", "/api/v1/import/prometheus", "rehearsal_probe 1\n", {}, 10)
        except OSError:
            return None
        return time.monotonic() - begin if code < 300 else None


class Stranger(threading.Thread):
    """Posts ten times a second and notes how long it waited."""

    def __init__(self, receiver):
        super().__init__(daemon=True)
        self.receiver = receiver
        self.token = receiver.register("stranger")
        self.waits = []
        self.ends = False
        self.start()

    def run(self):
        while not self.ends:
            begin = time.monotonic()
            wait = self.receiver.probe(self.token)
            self.waits.append((begin, wait))
            time.sleep(max(0.0, 0.1 - (time.monotonic() - begin)))

    def between(self, first, last):
        waits = sorted(wait for at, wait in self.waits if first <= at < last and wait is not None)
        if not waits:
            return "no answer"
        return f"middle {1000 * waits[len(waits) // 2]:.0f} ms, 99 % {1000 * waits[int(0.99 * (len(waits) - 1))]:.0f} ms, longest {1000 * waits[-1]:.0f} ms"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--interval", type=float, default=10)
    parser.add_argument("--start", type=float, default=60, help="seconds over which they start")
    parser.add_argument("--before", type=float, default=60, help="seconds before the outage")
    parser.add_argument("--outage", type=float, default=60, help="seconds of it")
    parser.add_argument("--after", type=float, default=60, help="seconds after everybody came back")
    parser.add_argument("--agent", default=os.path.join(PUBLISHED, "ai-dashboard-agent"))
    parser.add_argument("--dashboard", default=os.path.join(PUBLISHED, "ai-dashboard", "ai-dashboard"))
    parser.add_argument("--victoria", help="program of VictoriaMetrics; then it is the receiver")
    chosen = parser.parse_args()

    shutil.rmtree(WORK, ignore_errors=True)
    logs = os.path.join(WORK, "agents")
    os.makedirs(logs)
    receiver = Victoria(chosen.victoria, chosen.agents) if chosen.victoria else Dashboard(chosen.dashboard, chosen.agents)
    slugs = [f"box-{number:04d}" for number in range(1, chosen.agents + 1)]
    agents = []

    try:
        receiver.start()
        say(f"{receiver.name} serves; {chosen.agents} agents start")
        stranger = Stranger(receiver)
        began = time.monotonic()
        for number, slug in enumerate(slugs):
            words, variables = receiver.options(slug)
            log = open(os.path.join(logs, slug), "wb")
            agents.append(subprocess.Popen(
                [chosen.agent, *words, "--interval", str(chosen.interval), "--quiet"],
                stdout=log, stderr=log, env={"PATH": "/usr/bin:/bin", **variables}))
            log.close()
            # Not all in one instant: that would measure how fast this machine starts programs.
            due = began + number * chosen.start / chosen.agents
            time.sleep(max(0.0, due - time.monotonic()))
        started = time.monotonic()
        say(f"all started after {started - began:.0f} s")
        time.sleep(chosen.before)
        receiver.note()
        before = (receiver.highest, stranger.between(started + 5, time.monotonic()))
        spent = cpu_seconds(receiver.process.pid)
        say(f"before: {before[0] / 1024:.0f} MiB; a stranger waits {before[1]}; {spent:.1f} s of CPU time so far")

        receiver.stop()
        say("the receiver is away")
        time.sleep(chosen.outage)
        receiver.start()
        back = time.monotonic()
        say("the receiver is back")
        until = back + 180
        while time.monotonic() < until:
            time.sleep(2)
            receiver.note()
            if is_level(receiver, slugs, chosen):
                break
        say(f"everybody is back after at most {time.monotonic() - back:.0f} s")
        returned = (status(receiver.process.pid, "VmHWM"), stranger.between(back, time.monotonic()))
        level = time.monotonic()
        time.sleep(chosen.after)
        receiver.note()
        after = stranger.between(level, time.monotonic())
        memory = [status(agent.pid, "VmRSS") for agent in agents if agent.poll() is None]
        say(f"agents alive: {len(memory)}; their memory: highest {max(memory) / 1024:.1f} MiB, mean {sum(memory) / len(memory) / 1024:.1f} MiB")

        for agent in agents:
            agent.send_signal(signal.SIGTERM)
        for agent in agents:
            agent.wait(60)
        stranger.ends = True
        stranger.join(15)
        report(receiver, chosen, slugs, logs, before, returned, after)
    finally:
        for agent in agents:
            if agent.poll() is None:
                agent.kill()
        receiver.stop()


def holes(times, interval):
    """How many samples are missing between the first and the last: agents take them on a grid."""
    return sum(max(0, round((later - earlier) / interval) - 1) for earlier, later in zip(times, times[1:]))


def is_level(receiver, slugs, chosen):
    """Whether everybody's samples are there, up to those that are on their way."""
    times = receiver.times()
    recent = time.time() - 2.5 * chosen.interval
    return all(slug in times and times[slug][-1] >= recent and holes(times[slug], chosen.interval) == 0 for slug in slugs)


def report(receiver, chosen, slugs, logs, before, returned, after):
    times = receiver.times()
    absent = [slug for slug in slugs if slug not in times]
    lost = {slug: holes(times[slug], chosen.interval) for slug in slugs if slug in times}
    lost = {slug: count for slug, count in lost.items() if count > 0}
    kept = sum(len(times.get(slug, [])) for slug in slugs)
    twice = sum(len(times[slug]) - len(set(times[slug])) for slug in slugs if slug in times)
    print()
    print(f"| {chosen.agents} agents, a sample every {chosen.interval:g} s, {chosen.outage:g} s without a receiver | {receiver.name} |")
    print("|---|---|")
    print(f"| samples kept | {kept} |")
    print(f"| missing, of how many agents | {sum(lost.values())}, {len(lost)} |")
    print(f"| kept twice | {twice} |")
    print(f"| agents of which nothing is kept | {len(absent)} |")
    print(f"| memory of the receiver before the outage, highest after it | {before[0] / 1024:.0f} MiB, {returned[0] / 1024:.0f} MiB |")
    print(f"| a stranger's sample before | {before[1]} |")
    print(f"| while everybody came back | {returned[1]} |")
    print(f"| afterwards | {after} |")
    for slug in [*lost, *absent][:5]:
        with open(os.path.join(logs, slug), encoding="utf-8") as file:
            print(f"{slug}: {lost.get(slug, 'all')} missing; it says: {file.read()[-600:]}")
    sys.exit(1 if lost or absent or twice else 0)


if __name__ == "__main__":
    main()
