"""The places and programs of one run of the benchmarks."""

import os
import shutil
import socket
import subprocess
import sys

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import nvml_stub  # noqa: E402  pylint: disable=wrong-import-position

# A busy GPU that tells everything, as the script of a machine that the stub of NVML plays.
GPU = """gpu 00000000:{bus:02X}:00.0
name NVIDIA H100 80GB HBM3
uuid GPU-{index:08d}-0000-4000-8000-000000000000
utilization_gpu 97
utilization_memory 41
memory_total 85520809984
memory_used 72000000000
memory_reserved 500000000
temperature 61
memory_temperature 72
power_mw 433780
enforced_limit_mw 700000
management_limit_mw 700000
throttle 0x4
clock_sm 1755
clock_memory 2619
pcie_rx_kib 1200000
pcie_tx_kib 900000
pcie_link_gen 5
pcie_link_width 16
ecc_corrected 0
ecc_uncorrected 0
remapped_pending 0
energy_mj 98765432100
encoder 0
decoder 0
nvlink_rx_kib 123456789
nvlink_tx_kib 123456789
mig_mode 0
process {pid} 70000000000 python3
"""


class Bench:
    """Where things lie, and how much is measured."""

    def __init__(self, root, agent, trees, quick, repeats, seconds):
        self.root = root
        self.agent = agent
        self.trees = trees
        self.quick = quick
        self.repeats = repeats
        self.seconds = seconds
        self.here = os.path.join(root, "bench", "side_by_side")
        self.work = os.path.join(root, "artifacts", "bench")
        # Debian's own, because psutil and requests are Debian's too.
        self.python = "/usr/bin/python3"
        self.exec_at = os.path.join(self.work, "exec_at")
        self.floor = os.path.join(self.work, "floor")
        self.certificate = os.path.join(self.work, "certificate.pem")
        # What the programs write. Emptied, so that each run starts from nothing.
        self.runs = os.path.join(self.work, "runs")
        shutil.rmtree(self.runs, ignore_errors=True)
        os.makedirs(self.runs)
        self.ports = _free_ports(3)
        told = subprocess.run([agent, "--help"], capture_output=True, text=True, check=True)
        self._options = told.stdout
        self._stub = self._build_stub()

    def directory(self, name):
        """A directory for one program of the run."""
        path = os.path.join(self.runs, name)
        os.makedirs(path, exist_ok=True)
        return path

    def source(self, name):
        """A file beside this one."""
        return os.path.join(self.here, name)

    def agent_knows(self, option):
        """True when this build of the agent has the option."""
        return option in self._options

    @property
    def has_gpus(self):
        """True when GPUs can be played."""
        return self._stub is not None

    def gpus(self, count):
        """Options that give the agent so many GPUs."""
        if count == 0:
            return ("--gpu-source", "none")
        directory = self.directory(f"gpus-{count}")
        library = os.path.join(directory, "libnvidia-ml.so.1")
        shutil.copy2(self._stub, library)
        return play(library, count, os.getpid())

    def _build_stub(self):
        if not (os.path.exists(nvml_stub.SOURCE) and self.agent_knows("--nvml-library")):
            return None
        library = os.path.join(self.work, "libnvidia-ml.so.1")
        nvml_stub.build(library)
        return library


def play(library, count, pid):
    """Writes beside the stub what it plays: so many GPUs, on which that process computes. The options that give the agent them."""
    with open(os.path.join(os.path.dirname(library), "machine.txt"), "w", encoding="ascii") as file:
        # The real library sleeps until an event comes; the stub would look for one fifty times a second, at the agent's cost.
        file.write("driver 570.86.15\nnvml_event_poll_ms 1000\n")
        for index in range(count):
            file.write(GPU.format(index=index, bus=index + 1, pid=pid))
    return ("--gpu-source", "nvml", "--nvml-library", library)


def _free_ports(count):
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports
