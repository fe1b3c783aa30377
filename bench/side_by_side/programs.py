"""What is measured: the agent in its ways of running, its peers, and the floor."""

import contextlib
import http.client
import os
import threading
import time

from processes import Program

COLLECTD = "/usr/sbin/collectd"
NODE_EXPORTER = "/usr/bin/prometheus-node-exporter"

# One value a second of each of these, as the agent reads them; write_http posts JSON when its buffer is full.
COLLECTD_CONF = """
Hostname "bench"
FQDNLookup false
BaseDir "{directory}"
PIDFile "{directory}/collectd.pid"
PluginDir "/usr/lib/collectd"
TypesDB "/usr/share/collectd/types.db"
Interval 1
LoadPlugin cpu
LoadPlugin memory
LoadPlugin swap
LoadPlugin disk
LoadPlugin interface
LoadPlugin load
LoadPlugin write_http
<Plugin write_http>
  <Node "bench">
    URL "{url}"
    Format "JSON"
    BufferSize {buffer}
  </Node>
</Plugin>
"""

# The collectors of what the agent reads for a sample.
COLLECTORS = ("cpu", "diskstats", "filesystem", "loadavg", "meminfo", "netdev", "pressure", "stat", "uname")
# And those of what it reads when it is scraped.
SCRAPED_COLLECTORS = (
    *("arp", "bonding", "conntrack", "cpufreq", "edac", "entropy", "filefd", "hwmon", "infiniband", "mdadm", "netclass", "netstat"),
    *("nfs", "schedstat", "sockstat", "softnet", "timex", "udp_queues", "vmstat"),
)


def agent(bench, name, receiver=None, window="0", interval="1", scale=None, binary=None, extra=()):
    """The published agent: posting to the receiver, or without one printing to /dev/null."""
    command = [binary or bench.agent, "--quiet", "--interval", interval, "--cpu-sample-interval", window, *extra]
    if receiver is None:
        command.append("--dry-run")
    else:
        command += ["--host", receiver.base, "--server-slug", "bench", "--token", "bench"]
    env = {"AI_DASHBOARD_TEST_TIME_SCALE": str(scale)} if scale else None
    return Program(bench, name, command, env=env)


def python_agent(bench, name, receiver, window="0", once=False):
    """The agent in Python."""
    command = [bench.python, bench.source("python_agent.py"), "--url", receiver.url, "--cpu-sample-interval", window]
    return Program(bench, name, command + (["--once"] if once else []))


def collectd(bench, name, receiver, buffer):
    """collectd in the foreground; a buffer of `buffer` bytes decides how many requests it makes."""
    directory = bench.directory(name)
    path = os.path.join(directory, "collectd.conf")
    with open(path, "w", encoding="ascii") as file:
        file.write(COLLECTD_CONF.format(directory=directory, url=receiver.url, buffer=buffer))
    return Program(bench, name, [COLLECTD, "-f", "-C", path])


def exporter(bench, name, port):
    """The published agent with nothing but its metrics, as it serves them by default."""
    command = [bench.agent, "--quiet", "--interval", "1", "--cpu-sample-interval", "0", "--listen", f"127.0.0.1:{port}"]
    return Program(bench, name, command)


def node_exporter(bench, name, port, collectors=COLLECTORS):
    """node_exporter with those collectors."""
    flags = [f"--collector.{collector}" for collector in collectors]
    command = [NODE_EXPORTER, f"--web.listen-address=127.0.0.1:{port}", "--collector.disable-defaults", *flags]
    return Program(bench, name, command)


def floor(bench, name, samples, interval_ms, files):
    """The C program that only reads."""
    return Program(bench, name, [bench.floor, str(samples), str(interval_ms), *files])


class Scraper:
    """Asks for /metrics once a second over one kept connection; not measured itself."""

    def __init__(self, port, path="/metrics"):
        self.port = port
        self.path = path
        self.answers = 0
        self.first_ns = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        due = time.monotonic()
        while not self.stopping.is_set():
            try:
                connection.request("GET", self.path)
                answer = connection.getresponse()
                if answer.read() and answer.status == 200:
                    self.first_ns = self.first_ns or time.monotonic_ns()
                    self.answers += 1
            except OSError:
                connection.close()  # Not listening yet: again in 5 ms.
                due = time.monotonic() - 0.995
            due += 1
            self.stopping.wait(max(0.0, due - time.monotonic()))
        with contextlib.suppress(OSError):
            connection.close()

    def stop(self):
        """Ends the scraping."""
        self.stopping.set()
        self.thread.join(6)
