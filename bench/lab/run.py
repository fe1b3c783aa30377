"""One run of a setup: everything started, steps counted, everything ended by its process id."""

import contextlib
import dataclasses
import fcntl
import itertools
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import time

import gpu

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import nvml_stub  # noqa: E402  pylint: disable=wrong-import-position

MIB = 1 << 20
HERE = os.path.dirname(os.path.abspath(__file__))
INSIDE, OUTSIDE = "10.213.77.2", "10.213.77.1"
TICKS = os.sysconf("SC_CLK_TCK")
POWER_LIMIT_MW = 700_000

GPU = """gpu 00000000:{bus:02X}:00.0
name NVIDIA H100 80GB HBM3
uuid GPU-{index:08d}-0000-4000-8000-000000000000
play {play}
utilization_gpu 0
utilization_memory 0
memory_total 85520809984
memory_used 500000000
memory_reserved 500000000
temperature {temperature}
memory_temperature 60
power_mw 0
enforced_limit_mw {limit}
management_limit_mw {limit}
throttle {throttle}
clock_sm {clock}
clock_sm_max 1980
clock_memory 2619
pcie_rx_kib 0
pcie_tx_kib 0
pcie_link_gen 5
pcie_link_width 16
ecc_corrected 0
ecc_uncorrected 0
remapped_pending 0
encoder 0
decoder 0
nvlink_rx_kib 0
nvlink_tx_kib 0
gpm_sm 0
gpm_tensor 0
gpm_dram 0
mig_mode 0
"""


class Place:
    """What all runs share: the work directory, data files, the stub, a network of its own."""

    def __init__(self, root, is_real=False):
        self.root = root
        # Real GPUs in place of scripted ones.
        self.is_real = is_real
        self.work = os.path.join(root, "artifacts", "lab")
        self.lock = open(self.work + ".lock", "w", encoding="ascii")  # Held as long as the lab runs.
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit("lab: another one runs here") from None
        with open("/proc/self/mounts", encoding="utf-8") as mounts:
            for path in [line.split()[1] for line in mounts if line.split()[1].startswith(self.work)]:
                subprocess.run(["umount", "-l", path], check=False)  # Of a lab that was killed.
        shutil.rmtree(self.work, ignore_errors=True)
        os.makedirs(self.work)
        self.data = self._file("data", 1024)
        self.cached = self._file("cached", 100)
        self.namespace = ""
        self.numbers = itertools.count(1)
        self.stub = os.path.join(self.work, "libnvidia-ml.so.1")
        if is_real:
            return
        nvml_stub.build(self.stub)

    def _file(self, name, mebibytes):
        path = os.path.join(self.work, name)
        block = os.urandom(MIB)
        with open(path, "wb") as file:
            for _ in range(mebibytes):
                file.write(block)
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return path

    def missing(self, setup):
        """Why this machine cannot run a setup; empty when it can."""
        if self.is_real and not _runs_on_a_gpu(setup):
            return "needs scripted GPUs"
        if os.geteuid() and not self.is_real:
            return "needs root, for users, control groups and name spaces"
        if any(job.quota or job.cores or job.memory_limit for job in setup.jobs) and not all(
            os.path.exists(f"/sys/fs/cgroup/{name}/cgroup.procs") for name in ("cpu", "cpuset", "memory")
        ):
            return "needs control groups of version 1"
        if any(job.mount_count for job in setup.jobs) and not os.path.exists("/dev/fuse"):
            return "needs /dev/fuse"
        return self._network() if any(job.fetch_count for job in setup.jobs) else ""

    def _network(self):
        if self.namespace:
            return ""
        name = f"lab{os.getpid()}"
        for command in (
            f"ip netns add {name}",
            f"ip link add lab0 type veth peer name eth0 netns {name}",
            f"ip addr add {OUTSIDE}/30 dev lab0",
            "ip link set lab0 up",
            f"ip -n {name} addr add {INSIDE}/30 dev eth0",
            f"ip -n {name} link set eth0 up",
            f"ip -n {name} link set lo up",
        ):
            done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
            self.namespace = name
            if done.returncode:
                self.close()
                return f"needs a network name space: {done.stderr.strip()}"
        return ""

    def close(self):
        """Gives back the network and the disk space."""
        if self.namespace:
            subprocess.run(["ip", "netns", "del", self.namespace], capture_output=True, check=False)
            self.namespace = ""
        for path in (self.data, self.cached):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    @property
    def options(self):
        """What the agent is told of this machine's network."""
        return ["--interfaces", "lab0"] if self.namespace and not self.is_real else []


def _runs_on_a_gpu(setup):
    """Whether one real GPU can be what the setup needs, for a user who is not root, too."""
    return not (setup.gpus > 1 or setup.gpu_lines or setup.fault or setup.memory_text) and not any(
        job.ranks > 1 or job.fault not in ("", "idle") or job.quota or job.cores or job.memory_limit or job.mount_count or job.fetch_count for job in setup.jobs
    )


class Run:
    """A setup at work."""

    def __init__(self, place, setup, name):
        self.place = place
        self.setup = setup
        self.number = next(place.numbers)
        self.directory = os.path.join(place.work, f"{self.number:03d}-{name}")
        os.makedirs(self.directory)
        self.library = os.path.join(self.directory, "libnvidia-ml.so.1")
        if not place.is_real:
            shutil.copy2(place.stub, self.library)
        self.plays = [os.path.join(self.directory, f"gpu{index}") for index in range(setup.gpus)]
        for path in self.plays:
            gpu.make_file(path)
        self.stop_file = os.path.join(self.directory, "stop")
        self.mountstats = os.path.join(self.directory, "mountstats") if any(job.mount_count for job in setup.jobs) else ""
        self.mount = os.path.join(self.directory, "mount")
        # What fails has to be there for the kernel: a GPU that it does not list either was taken out.
        self.sysfs = self._sysfs() if setup.fault else ""
        self.store = None
        self.processes = []
        self.groups = []
        self.steps = [os.path.join(self.directory, f"steps{number}") for number in range(len(setup.jobs))]
        self.trainers = []
        self.begun = 0.0
        self._machine("")

    def _sysfs(self):
        """A /sys of links to the real one, whose PCI devices are the run's GPUs."""
        directory = os.path.join(self.directory, "sys")
        os.makedirs(directory)
        for name in os.listdir("/sys"):
            if name != "bus":
                os.symlink(f"/sys/{name}", os.path.join(directory, name))
        for index in range(self.setup.gpus):
            device = os.path.join(directory, "bus", "pci", "devices", f"0000:{index + 1:02x}:00.0")
            os.makedirs(device)
            _write(os.path.join(device, "vendor"), "0x10de\n")
            _write(os.path.join(device, "class"), "0x030200\n")
        return directory

    def _machine(self, fault):
        """machine.txt, replaced in one step."""
        text = "driver 570.86.15\n"
        if fault == "driver":
            text += "init 9\ngeneration 1\n"
        for index in range(self.setup.gpus):
            lines = {"throttle": "0", "clock": 1980, "temperature": 62, **self.setup.gpu_lines.get(index, {})}
            text += GPU.format(index=index, bus=index + 1, play=self.plays[index], limit=POWER_LIMIT_MW, **lines)
            if fault == f"lost {index}":
                text += "lost 1\n"
        path = os.path.join(self.directory, "machine.txt")
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def start_around(self):
        """Starts what is around the trainers."""
        setup = self.setup
        # What a run before has left in the page cache would be charged to nobody.
        with open(self.place.cached, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        for share in setup.burners:
            self._program("neighbour.py", "cpu", str(share))
        if setup.disk_noise:
            self._program("neighbour.py", "disk", self.place.data)
        if any(job.fetch_count for job in setup.jobs):
            wrapper = ["ip", "netns", "exec", self.place.namespace]
            server = self._program("store.py", INSIDE, str(setup.store_rate), str(setup.store_ms), wrapper=wrapper, stdout=subprocess.PIPE)
            self.store = [INSIDE, int(server.stdout.readline())]
        if self.mountstats:
            os.makedirs(self.mount)
            self._program("storage.py", self.mount, self.mountstats, str(setup.mount_rate), str(setup.mount_ms))
            _until(lambda: os.path.exists(self.mountstats))

    def start(self):
        """Starts the trainers."""
        self.begun = time.monotonic()
        for number, job in enumerate(self.setup.jobs):
            self.trainers.append(self._trainer(number, job))

    def _trainer(self, number, job):
        checkpoint = os.path.join(self.directory, f"checkpoint{number}")
        files = {"data": (self.place.data, os.O_RDONLY | os.O_DIRECT), "checkpoint": (checkpoint, os.O_RDWR | os.O_CREAT)}
        if job.cached_count:
            files["cached"] = (self.place.cached, os.O_RDONLY)
        if job.mount_count:
            files["mount"] = (os.path.join(self.mount, "data"), os.O_RDONLY)
        group = Group(f"lab-{os.getpid()}-{self.number}-{number}", job)
        self.groups.append(group)
        config = dataclasses.asdict(job) | {
            "gpus": [self.plays[index] for index in job.gpus],
            "ordinals": job.gpus if self.place.is_real else [],
            "uid": 0 if os.geteuid() else job.uid,
            "slot": number,
            "gpu_memory": 1 << 30 if self.place.is_real else 40_000_000_000,
            "steps": self.steps[number],
            "stop_file": self.stop_file,
            "store": self.store,
            "files": files,
            "cgroups": group.files,
            "gpu_ms": job.gpu_ms * job.slowed,
        }
        path = os.path.join(self.directory, f"job{number}.json")
        with open(path, "w", encoding="ascii") as file:
            json.dump(config, file)
        return self._program("trainer.py", path)

    def _program(self, script, *words, wrapper=(), stdout=None):
        with open(os.path.join(self.directory, f"{script}.log"), "ab") as errors:
            process = subprocess.Popen(
                [*wrapper, sys.executable, os.path.join(HERE, script), *words],
                stdin=subprocess.DEVNULL, stdout=stdout or errors, stderr=errors, start_new_session=True,
            )  # fmt: skip
        prefer(process.pid)
        self.processes.append(process)
        return process

    def go_wrong(self):
        """What is to go wrong does."""
        if self.setup.fault:
            self._machine(self.setup.fault)
        with open(self.stop_file, "w", encoding="ascii"):
            pass

    def cpu(self):
        """CPU seconds that the machine has spent, and those of this run's processes, which include its neighbours."""
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq, steal = (int(word) for word in file.readline().split()[1:9])
        sessions = {process.pid for process in self.processes}
        own = 0
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError, ValueError):
                if name.isdigit():
                    fields = _read(f"/proc/{name}/stat").rpartition(")")[2].split()
                    own += (int(fields[11]) + int(fields[12])) * (int(fields[3]) in sessions)
        return (user + nice + system + irq + softirq + steal) / TICKS, own / TICKS

    def rate(self, number, begin, end):
        """Steps a second of one job between two instants of the monotonic clock, as its trainer counted them."""
        if not os.path.exists(self.steps[number]):
            raise RuntimeError(f"the trainer did not start: {self.complaint()}")
        with open(self.steps[number], "rb") as file:
            count = int(struct.unpack("<d", file.read(8))[0])
            instants = [at for at in struct.unpack(f"<{count}d", file.read(8 * count)) if begin <= at <= end]
        # Whole turns of what alternates, so that it does not matter where the stretch begins.
        job = self.setup.jobs[number]
        turn = max(job.phase_steps, job.checkpoint_steps)
        if turns := (len(instants) - 1) // turn:
            instants = instants[: turns * turn + 1]
        return (len(instants) - 1) / (instants[-1] - instants[0]) if len(instants) > 2 else len(instants) / (end - begin)

    def complaint(self):
        """The end of what the trainers said, if one has ended."""
        with contextlib.suppress(FileNotFoundError):
            with open(os.path.join(self.directory, "trainer.py.log"), encoding="utf-8") as file:
                return file.read()[-600:]
        return ""

    def stop(self):
        """Ends all of it, trainers first, and removes what takes space."""
        for process in [*self.trainers, *(p for p in self.processes if p not in self.trainers)]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if process.stdout:
                process.stdout.close()
        if self.mountstats:
            subprocess.run(["umount", "-l", self.mount], capture_output=True, check=False)
        for group in self.groups:
            group.remove()
        for name in os.listdir(self.directory):
            if name.startswith(("checkpoint", "steps", "gpu", "libnvidia")):
                os.unlink(os.path.join(self.directory, name))


class Group:
    """A job's control groups, of version 1, named as a unit of systemd's."""

    def __init__(self, name, job):
        self.directories = []
        if job.quota:
            self._make("cpu", name, {"cpu.cfs_period_us": 100_000, "cpu.cfs_quota_us": int(job.quota * 100_000)})
        if job.cores:
            self._make("cpuset", name, {"cpuset.mems": 0, "cpuset.cpus": f"0-{job.cores - 1}"})
        if job.memory_limit:
            self._make("memory", name, {"memory.limit_in_bytes": job.memory_limit})

    def _make(self, controller, name, values):
        parent = f"/sys/fs/cgroup/{controller}/lab.slice"
        os.makedirs(parent, exist_ok=True)
        if controller == "cpuset":
            for key in ("cpuset.cpus", "cpuset.mems"):
                _write(f"{parent}/{key}", _read(f"/sys/fs/cgroup/cpuset/{key}"))
        if controller == "cpu":
            _write(f"{parent}/cpu.shares", "262144")  # The quota alone is to limit it, and not who else is there.
        directory = f"{parent}/{name}.service"
        os.makedirs(directory)
        self.directories.append(directory)
        for key, value in values.items():
            _write(f"{directory}/{key}", str(value))

    @property
    def files(self):
        """Where a process writes its number to join."""
        return [f"{directory}/cgroup.procs" for directory in self.directories]

    def remove(self):
        """Once its processes have ended; the kernel may take a moment."""
        for directory in self.directories:
            for _ in range(50):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)
                    break
                time.sleep(0.02)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(directory))


def prefer(pid):
    """The priority of this process for the session of another, where the kernel shares CPUs between sessions first."""
    path = f"/proc/{pid}/autogroup"
    if os.nice(0) < 0 and os.path.exists(path):
        with contextlib.suppress(OSError):
            _write(path, str(os.nice(0)))


def _write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def _read(path):
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def _until(condition, limit=5):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("something that the lab started is not ready")
        time.sleep(0.01)
