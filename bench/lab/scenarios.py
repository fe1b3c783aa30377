"""The scenarios. What limits each is measured (truth.py), and stands nowhere here; the names say what was meant."""

import dataclasses

from setup import MIB, Job, Setup


@dataclasses.dataclass
class Scenario:
    """A setup with its name."""

    name: str
    setup: Setup
    # Whether it leaves the CPUs and the disk so free that three short runs at once do not disturb each other.
    is_light: bool = False
    # Those of one group are at work at the same time.
    group: str = ""
    # Part of the short selection.
    is_quick: bool = False
    # Whether a turn of it takes so long that short runs have to be longer.
    measure: float = 2.6
    # How much faster the agent's clock runs, for what takes minutes.
    scale: int = 1


def one(name, is_light=False, group="", is_quick=False, measure=2.6, scale=1, around=None, **job):
    """A scenario with one job."""
    made = Job(**job)
    return Scenario(name, Setup([made], **{"gpus": max(1, len(made.gpus)), **(around or {})}), is_light, group, is_quick, measure, scale)


FOUR = [0, 1, 2, 3]
RANKS = {"gpus": FOUR, "ranks": 4}

# One loader worker that takes a whole core; a main thread that does; a store of 15 MB/s; GPU work of nearly all the time.
LOADER = {"workers": 1, "loader_ms": 60, "main_ms": 2, "gpu_ms": 12}
MAIN = {"main_ms": 60, "gpu_ms": 14, "loader_ms": 3}
REMOTE = {"workers": 4, "fetch_count": 1, "fetch_bytes": MIB, "gpu_ms": 10, "main_ms": 2}
STORE = {"store_rate": 12 * MIB, "store_ms": 5}
COMPUTE = {"gpu_ms": 90, "main_ms": 5, "loader_ms": 10}
COLLECTIVE = {**RANKS, "gpu_ms": 20, "communication_ms": 90, "main_ms": 2, "loader_ms": 3}
SLOW_CLOCK = {"throttle": "0x40", "clock": 930, "temperature": 91}
POWER_BRAKE = {"throttle": "0x80", "clock": 840, "temperature": 58}

SCENARIOS = [
    # Each limit alone.
    one("compute", is_light=True, group="GPUs 1", is_quick=True, **COMPUTE),
    one("compute-spinning", spin=True, **COMPUTE),
    one("throttled-heat", is_light=True, group="GPUs 1", is_quick=True, slowed=2.1, around={"gpu_lines": {0: SLOW_CLOCK}}, gpu_ms=40, main_ms=4),
    one("throttled-power-brake", is_light=True, group="GPUs 1", slowed=2.3, around={"gpu_lines": {0: POWER_BRAKE}}, gpu_ms=40, main_ms=4),
    one("loader-one-worker", is_quick=True, **LOADER),
    one("loader-two-workers", workers=2, loader_ms=90, main_ms=2, gpu_ms=15),
    one("loader-too-many-workers", workers=6, loader_ms=60, main_ms=2, gpu_ms=8),
    one("main-thread", is_quick=True, **MAIN),
    one("main-thread-in-series", overlap=False, main_ms=64, gpu_ms=16, loader_ms=3),
    one("main-thread-half-busy-gpu", main_ms=60, gpu_ms=32, loader_ms=3),
    one("cpu-contended-loader", around={"burners": [1] * 6}, workers=2, loader_ms=20, gpu_ms=10, main_ms=1),
    one("cpu-contended-main", around={"burners": [1] * 6}, main_ms=20, gpu_ms=8, loader_ms=1),
    one("cpu-quota-loader", workers=2, loader_ms=30, main_ms=1, gpu_ms=10, quota=0.5),
    one("cpu-quota-main", main_ms=25, gpu_ms=10, loader_ms=2, quota=0.4),
    one("cpuset-of-one-core", workers=4, loader_ms=50, main_ms=1, gpu_ms=10, cores=1),
    one("disk-read", workers=2, read_bytes=8 * MIB, read_count=16, gpu_ms=12, main_ms=2),
    one("disk-read-small", workers=1, read_bytes=4096, read_count=2000, gpu_ms=12, main_ms=2),
    one("checkpoints", measure=12, checkpoint_bytes=1024 * MIB, checkpoint_steps=20, gpu_ms=12, main_ms=2),
    one("writes-every-step", checkpoint_bytes=96 * MIB, gpu_ms=25, main_ms=2),
    one("network", is_light=True, group="GPUs 1", is_quick=True, around=STORE, **REMOTE),
    one("network-far-store", is_light=True, around={"store_rate": 400 * MIB, "store_ms": 30}, workers=2, fetch_count=8, fetch_bytes=65536, gpu_ms=12),
    one("network-storage", is_light=True, around={"mount_rate": 20 * MIB}, workers=4, mount_count=8, gpu_ms=10, main_ms=2),
    one("memory-limit", workers=2, cached_count=1000, loader_ms=2, gpu_ms=8, memory_limit=70 * MIB),
    # Launcher and ranks, several GPUs.
    one("compute-four-gpus", is_light=True, group="GPUs 2", gpus=FOUR, gpu_ms=90, main_ms=6, loader_ms=8),
    one("compute-four-ranks", is_light=True, group="GPUs 2", **RANKS, gpu_ms=140, main_ms=5, loader_ms=5, communication_ms=15),
    one("communication-four-ranks", is_light=True, group="GPUs 1", is_quick=True, **COLLECTIVE),
    one("loader-four-gpus", gpus=FOUR, **LOADER),
    one("main-thread-four-gpus", gpus=FOUR, **MAIN),
    one("network-four-ranks", is_light=True, around=STORE, **{**REMOTE, **RANKS, "workers": 2, "fetch_bytes": MIB // 2, "communication_ms": 4}),
    one("straggler-slow-gpu", is_light=True, group="GPUs 2", **RANKS, around={"gpu_lines": {2: SLOW_CLOCK}}, gpu_ms=45, main_ms=2, communication_ms=5,
        slow_ranks=[2], slow={"gpu_ms": 100, "slowed": True}),  # fmt: skip
    one("straggler-rank-0", **RANKS, gpu_ms=30, main_ms=3, communication_ms=5, slow_ranks=[0], slow={"main_ms": 90}),
    # Somebody else keeps the machine busy.
    one("compute-beside-others", around={"burners": [0.7, 0.5]}, **COMPUTE),
    one("loader-beside-others", around={"burners": [0.5]}, **LOADER),
    one("network-beside-others", around={"burners": [0.7, 0.5], **STORE}, **REMOTE),
    # A disk that others keep busy, and that is not what limits.
    one("compute-busy-disk", around={"disk_noise": True}, **COMPUTE),
    one("loader-busy-disk", around={"disk_noise": True}, **LOADER),
    one("network-busy-disk", around={"disk_noise": True, **STORE}, **{**REMOTE, "read_count": 0}),
    # A control group whose limit is wide.
    one("main-thread-wide-quota", quota=1.8, **MAIN),
    one("compute-wide-quota", is_light=True, group="GPUs 2", quota=1.5, **COMPUTE),
    # Turns: 3 s at the GPU's limit, 3 s at the loader's.
    one("alternating-loader", measure=8, phase_steps=100, phases=[{"steps": [0, 60], "gpu_ms": 45, "loader_ms": 5},
        {"steps": [60, 100], "loader_ms": 110}], gpu_ms=15, main_ms=2),  # fmt: skip
    one("alternating-compute", measure=8, phase_steps=92, phases=[{"steps": [0, 60], "gpu_ms": 85},
        {"steps": [60, 92], "gpu_ms": 30, "loader_ms": 70}], main_ms=2),  # fmt: skip
    # Two jobs of two users: each has its own verdict.
    Scenario("two-jobs-loader-and-compute", Setup([Job(**LOADER), Job(gpus=[1], uid=20002, **COMPUTE)], gpus=2)),
    Scenario("two-jobs-network-and-main", Setup([Job(**REMOTE), Job(gpus=[1], uid=20002, **{**MAIN, "read_count": 0})], gpus=2, **STORE)),
    Scenario("two-jobs-one-gpu", Setup([Job(**LOADER), Job(uid=20002, **MAIN)])),
    # Memory that is in use only by its looks.
    one("loader-zfs-cache", around={"memory_text": "zfs"}, **LOADER),
    one("network-huge-pages", is_light=True, around={"memory_text": "hugepages", **STORE}, **REMOTE),
    # Faults, after fifteen seconds of work.
    one("lost-gpu", is_light=True, group="faults", around={"fault": "lost 0"}, fault="end", gpu_ms=40),
    one("lost-gpu-of-four", is_light=True, group="faults", **COLLECTIVE | {"gpu_ms": 60, "communication_ms": 10}, around={"fault": "lost 3"}, fault="end",
        spared_ranks=[0, 1, 2]),  # fmt: skip
    one("driver-gone", is_light=True, group="faults", around={"fault": "driver"}, fault="end", gpu_ms=40),
    one("hang", is_light=True, group="faults 2", scale=10, **COLLECTIVE | {"gpu_ms": 60, "communication_ms": 10}, fault="hang"),
    one("held-idle", is_light=True, group="faults 2", scale=10, fault="idle", gpu_ms=40),
]

# Near relatives of others, which only --all runs: without them the lab takes three quarters of an hour.
EXTRA = {
    "loader-two-workers",
    "main-thread-half-busy-gpu",
    "cpu-contended-main",
    "writes-every-step",
    "loader-four-gpus",
    "network-beside-others",
    "compute-busy-disk",
    "main-thread-wide-quota",
    "two-jobs-one-gpu",
}
