"""A monitoring agent as one writes it in Python with psutil and requests: the same fields, one POST a sample.

It is written to be cheap: one session, so the connection is kept; facts that do not change are read once.
"""

import argparse
import os
import platform
import socket
import time
from datetime import datetime, timezone

import psutil
import requests


def disks():
    """Counters of the whole disks."""
    return [
        {
            "device": name,
            "read_bytes_total": io.read_bytes,
            "write_bytes_total": io.write_bytes,
            "read_count_total": io.read_count,
            "write_count_total": io.write_count,
            "busy_time_ms_total": getattr(io, "busy_time", 0),
        }
        for name, io in psutil.disk_io_counters(perdisk=True).items()
        if name.startswith(("sd", "vd", "xvd", "hd", "nvme"))
    ]


def temperature():
    """The hottest sensor, or None."""
    readings = [entry.current for entries in psutil.sensors_temperatures().values() for entry in entries]
    return max(readings, default=None)


def fans():
    """Fans with a speed."""
    return [
        {"label": entry.label or chip, "speed_rpm": int(entry.current)}
        for chip, entries in psutil.sensors_fans().items()
        for entry in entries
    ]


def sample(window, physical):
    """The machine at this instant."""
    usage = psutil.cpu_percent(interval=window or None)
    times = psutil.cpu_times_percent()
    load = os.getloadavg()
    frequency = psutil.cpu_freq()
    memory = psutil.virtual_memory()
    swap = psutil.swap_memory()
    network = psutil.net_io_counters()
    return {
        "collected_at": datetime.now(timezone.utc).isoformat(),
        "cpu_usage_percent": usage,
        "cpu_user_percent": times.user,
        "cpu_system_percent": times.system,
        "cpu_iowait_percent": times.iowait,
        "cpu_load_1": load[0],
        "cpu_load_5": load[1],
        "cpu_load_15": load[2],
        "cpu_frequency_mhz": frequency.current if frequency else None,
        "cpu_temperature_c": temperature(),
        "cpu_count_logical": psutil.cpu_count(),
        "cpu_count_physical": physical,
        "memory_total_bytes": memory.total,
        "memory_used_bytes": memory.total - memory.available,
        "memory_available_bytes": memory.available,
        "memory_percent": memory.percent,
        "swap_total_bytes": swap.total,
        "swap_used_bytes": swap.used,
        "swap_percent": swap.percent,
        "network_rx_bytes_total": network.bytes_recv,
        "network_tx_bytes_total": network.bytes_sent,
        "process_count": len(psutil.pids()),
        "disks": disks(),
        "gpus": [],
        "fans": fans(),
    }


def facts():
    """What hardly ever changes."""
    return {
        "os_name": platform.system(),
        "os_release": platform.release(),
        "machine": platform.machine(),
        "hostname": socket.gethostname(),
        "boot_time": datetime.fromtimestamp(psutil.boot_time(), timezone.utc).isoformat(),
        "partitions": [
            {"device": part.device, "mountpoint": part.mountpoint, "fstype": part.fstype}
            for part in psutil.disk_partitions()
        ],
        "interfaces": [{"name": name} for name in psutil.net_if_addrs()],
    }


def main():
    """Samples on a grid until it is killed, or once."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--url", required=True)
    options.add_argument("--interval", type=float, default=1.0)
    options.add_argument("--cpu-sample-interval", type=float, default=0.0)
    options.add_argument("--once", action="store_true")
    given = options.parse_args()

    session = requests.Session()
    session.headers["X-Monitoring-Token"] = "bench"
    agent = {"version": "1", "hostname": socket.gethostname(), "pid": os.getpid(), "system_info": facts()}
    physical = psutil.cpu_count(logical=False)
    due = time.monotonic()

    while True:
        body = {"sample": sample(given.cpu_sample_interval, physical), "agent": agent}
        session.post(given.url, json=body, timeout=5).raise_for_status()
        if given.once:
            return
        due += given.interval
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
