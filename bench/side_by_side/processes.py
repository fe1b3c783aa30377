"""Processes that are measured: started, looked at from outside, and ended by their ids."""

import contextlib
import os
import re
import signal
import struct
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")

# Nothing of the caller's environment: no proxy, no AI_DASHBOARD_ variable, no locale decides what is measured.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C", "HOME": "/nonexistent"}

_running = []


class Measured(RuntimeError):
    """A program that did not do what is to be measured."""


class Program:
    """One started process, in a session of its own, with its instant of exec."""

    def __init__(self, bench, name, command, env=None, keep_output=False):
        self.name = name
        self.directory = bench.directory(name)
        self.output = os.path.join(self.directory, "output.log") if keep_output else os.devnull
        self.errors = os.path.join(self.directory, "errors.log")
        at = os.path.join(self.directory, "exec-at")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(at)
        with open(self.output, "ab") as output, open(self.errors, "ab") as errors:
            self.process = subprocess.Popen(
                [bench.exec_at, at, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={**ENVIRONMENT, **(env or {})},
                cwd=self.directory,
                start_new_session=True,
            )
        _running.append(self)
        self.pid = self.process.pid
        until = time.monotonic() + 10
        while not (os.path.exists(at) and (text := _text(at)).endswith("\n")):
            if time.monotonic() > until:
                raise Measured(f"{name} did not start")
            time.sleep(0.001)
        self.exec_ns = int(text)

    def wait(self, limit):
        """Waits for the end; the CPU seconds of the process and of children it has waited for."""
        until = time.monotonic() + limit
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > until:
                raise Measured(f"{self.name} did not end within {limit} s; see {self.errors}")
            time.sleep(0.005)
        self._ended(os.waitstatus_to_exitcode(status))
        if self.process.returncode != 0:
            raise Measured(f"{self.name} ended with {self.process.returncode}: {self.complaint()}")
        return usage.ru_utime + usage.ru_stime

    def check(self):
        """Fails if it has ended."""
        if self.process.poll() is not None:
            raise Measured(f"{self.name} ended by itself with {self.process.returncode}: {self.complaint()}")

    def cpu(self):
        """CPU seconds so far: all threads that are or were, children that were waited for, and living ones."""
        self.check()
        return _cpu_of_tree(self.pid)

    def memory(self):
        """RSS and PSS in bytes, of the process and its living children."""
        rss = pss = 0
        for pid in [self.pid, *_descendants(self.pid)]:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                text = _text(f"/proc/{pid}/smaps_rollup")
                rss += int(re.search(r"^Rss: +(\d+) kB", text, re.MULTILINE).group(1)) * 1024
                pss += int(re.search(r"^Pss: +(\d+) kB", text, re.MULTILINE).group(1)) * 1024
        return rss, pss

    def open_kernel_files(self):
        """The files below /proc and /sys that it holds open."""
        names = set()
        for entry in os.listdir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                names.add(os.readlink(f"/proc/{self.pid}/fd/{entry}"))
        return sorted(
            re.sub(r"^/proc/\d+/net/", "/proc/net/", name) for name in names if name.startswith(("/proc/", "/sys/"))
        )

    def threads(self):
        """How many threads it has."""
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def complaint(self):
        """The end of what it wrote to standard error."""
        return _text(self.errors).strip()[-400:] or "it said nothing"

    def stop(self):
        """Ends it in good order, and by force if that takes longer than five seconds."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._ended(self.process.returncode)

    def _ended(self, code):
        self.process.returncode = code
        with contextlib.suppress(ValueError):
            _running.remove(self)


def stop_all():
    """Ends whatever was started and still runs."""
    for program in list(_running):
        program.stop()


def _text(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _descendants(pid):
    found = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in _text(f"/proc/{pid}/task/{task}/children").split():
                found += [int(child), *_descendants(int(child))]
    return found


def _cpu_of_tree(pid):
    # The CPU clock of a process counts, in nanoseconds, what /proc/PID/task/*/schedstat say together, and the threads
    # that have ended besides. Its id is made of the process id as clock_getcpuclockid(3) does.
    total = time.clock_gettime((~pid << 3) | 2)
    after_name = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    total += (int(after_name[13]) + int(after_name[14])) / TICKS  # Fields 16 and 17: children that were waited for.
    for child in _descendants(pid):
        with contextlib.suppress(OSError):
            total += time.clock_gettime((~child << 3) | 2)
    return total


class Receiver:
    """The loopback receiver of receiver.py, which is not measured itself."""

    _stats = struct.Struct("<4Q")

    def __init__(self, bench, name, certificate=None):
        self.directory = bench.directory(name)
        self.port_file = os.path.join(self.directory, "port")
        self.stats_file = os.path.join(self.directory, "stats")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.port_file)
        command = [bench.python, bench.source("receiver.py"), "--stats", self.stats_file, "--port-file", self.port_file]
        self.program = Program(bench, name, command + (["--certificate", certificate] if certificate else []))
        until = time.monotonic() + 10
        while not os.path.exists(self.port_file):
            if time.monotonic() > until:
                raise Measured(f"the receiver did not start: {self.program.complaint()}")
            time.sleep(0.002)
        scheme = "https" if certificate else "http"
        self.base = f"{scheme}://127.0.0.1:{_text(self.port_file)}"
        self.url = f"{self.base}/api/ingest/servers/bench/metrics/"

    def counts(self):
        """Requests, body bytes, first and last answer (monotonic nanoseconds) so far."""
        with open(self.stats_file, "rb") as file:
            return self._stats.unpack(file.read(self._stats.size))

    def wait_for(self, count, limit, sender):
        """Waits until the sender has had so many requests answered."""
        until = time.monotonic() + limit
        while self.counts()[0] < count:
            sender.check()
            if time.monotonic() > until:
                raise Measured(f"{count} requests did not arrive within {limit} s, but {self.counts()[0]}")
            time.sleep(0.002)

    def stop(self):
        """Ends the receiver."""
        self.program.stop()
