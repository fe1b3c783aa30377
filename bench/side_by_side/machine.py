"""What machine this is, for the head of the results."""

import os
import re
import subprocess


def _first(path, pattern):
    with open(path, encoding="utf-8", errors="replace") as file:
        found = re.search(pattern, file.read(), re.MULTILINE)
    return found.group(1).strip() if found else "?"


def _version(command):
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "?"
    return (told.stdout + told.stderr).strip()


def _package(name):
    return _version(["dpkg-query", "--show", "--showformat=${Version}", name])


def describe(bench):
    """Lines about the machine and the versions of what was measured."""
    virtual = _version(["systemd-detect-virt"]) or "?"
    disks = sorted(name for name in os.listdir("/sys/block") if re.match(r"(nvme|sd|vd|xvd|hd)", name))
    interfaces = sorted(name for name in os.listdir("/sys/class/net") if name != "lo")
    processes = sum(name.isdigit() for name in os.listdir("/proc"))
    commit = _version(["git", "-C", bench.root, "rev-parse", "--short", "HEAD"])
    changed = _version(["git", "-C", bench.root, "status", "--porcelain", "--untracked-files=no"])
    return [
        f"{_first('/proc/cpuinfo', r'^model name[^:]*:(.*)$')}, {os.cpu_count()} CPUs, "
        f"{int(_first('/proc/meminfo', r'^MemTotal: *([0-9]+)')) // 1048576} GiB of memory, "
        f"{len(disks)} disk(s), {len(interfaces)} interface(s), {processes} processes; virtualization: {virtual}",
        f"{os.uname().sysname} {os.uname().release}, {_first('/etc/os-release', r'^PRETTY_NAME=.(.*).$')}; "
        f"{len(os.listdir('/etc/ssl/certs')) if os.path.isdir('/etc/ssl/certs') else 0} entries in /etc/ssl/certs",
        f"load average at the start: {' '.join(format(load, '.2f') for load in os.getloadavg())}",
        # Its version would stand here as well as in CHANGELOG.md; the commit says more.
        f"agent: commit {commit}"
        + (" with changes" if changed else "")
        + f", {os.path.getsize(bench.agent)} bytes",
        f"collectd {_package('collectd-core')}, node_exporter {_package('prometheus-node-exporter')}, "
        f"psutil {_package('python3-psutil')}, requests {_package('python3-requests')}, "
        f"{_version([bench.python, '--version'])}",
    ]
