"""What a scenario is made of, and how each of its resources is doubled."""

import copy
import dataclasses

MIB = 1 << 20


@dataclasses.dataclass
class Job:
    """One training job. Times are CPU or GPU time; what is 0 or empty is not there."""

    gpus: list = dataclasses.field(default_factory=lambda: [0])
    # Processes, each with the GPU of its number; one rank drives all GPUs.
    ranks: int = 1
    # Loader workers of each rank, items that each has ahead, items of a step.
    workers: int = 1
    prefetch: int = 2
    items: int = 1
    loader_ms: float = 3.0
    # Reads of an item: past the page cache, through it, from the network mount, from the object store.
    read_bytes: int = 65536
    read_count: int = 1
    cached_bytes: int = 16384
    cached_count: int = 0
    mount_bytes: int = 131072
    mount_count: int = 0
    fetch_bytes: int = 0
    fetch_count: int = 0
    # The main thread's own work of a step, and whether the GPU works on the step before meanwhile.
    main_ms: float = 3.0
    overlap: bool = True
    spin: bool = False
    gpu_ms: float = 10.0
    # GPU work takes so many times as long, at a lower clock and less power.
    slowed: float = 1.0
    communication_ms: float = 0.0
    checkpoint_bytes: int = 0
    checkpoint_steps: int = 1
    # Ranks that differ, and how; steps of a turn that differ, and how.
    slow_ranks: list = dataclasses.field(default_factory=list)
    slow: dict = dataclasses.field(default_factory=dict)
    phase_steps: int = 1
    phases: list = dataclasses.field(default_factory=list)
    uid: int = 20001
    # Control groups: cores by quota and by cpuset, bytes of memory.
    quota: float = 0.0
    cores: int = 0
    memory_limit: int = 0
    # What happens after a while: "end", "hang" or "idle"; and the ranks to which it does not.
    fault: str = ""
    spared_ranks: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Setup:
    """Jobs and what is around them."""

    jobs: list
    gpus: int = 1
    # Shares of a core that others burn.
    burners: list = dataclasses.field(default_factory=list)
    # Others read from the disk all the time.
    disk_noise: bool = False
    # Bytes a second and round trip of the object store, and of the network mount.
    store_rate: float = 40 * MIB
    store_ms: float = 2.0
    mount_rate: float = 40 * MIB
    mount_ms: float = 2.0
    # Lines of machine.txt for single GPUs.
    gpu_lines: dict = dataclasses.field(default_factory=dict)
    # What becomes of the machine after a while: "lost N" or "driver".
    fault: str = ""
    # Replaced texts of /proc: "zfs" or "hugepages".
    memory_text: str = ""


def _job(change, when):
    """A doubling that is one of the job's."""

    def apply(setup, number):
        job = setup.jobs[number]
        if not when(job):
            return False
        change(job)
        return True

    return apply


def _around(change, when):
    """A doubling that is one of its surroundings, where the job uses them."""

    def apply(setup, number):
        if not when(setup, setup.jobs[number]):
            return False
        change(setup)
        return True

    return apply


def _scale(*names, by=0.5):
    def change(thing):
        for name in names:
            value = getattr(thing, name)
            setattr(thing, name, type(value)(value * by))
        for part in [getattr(thing, "slow", {}), *getattr(thing, "phases", [])]:
            for name in names:
                if name in part:
                    part[name] *= by

    return change


def _fewer_reads(job):
    job.read_count, job.read_bytes = (job.read_count // 2, job.read_bytes) if job.read_count > 1 else (1, job.read_bytes // 2)


def _no_fault(setup, number):
    if not (setup.fault or setup.jobs[number].fault):
        return False
    setup.fault = ""
    for job in setup.jobs:
        job.fault = ""
    return True


def _even_ranks(job):
    job.slow_ranks = []


def _full_clock(job):
    job.slowed = 1.0


def _no_neighbours(setup):
    setup.burners = []


# By name: applies the doubling to job `number` of a setup; False where there is nothing to double.
DOUBLINGS = {
    "GPU": _job(_scale("gpu_ms"), lambda job: job.gpu_ms),
    "workers": _job(_scale("workers", by=2), lambda job: job.workers),
    "loader": _job(_scale("loader_ms"), lambda job: job.workers and job.loader_ms),
    "main thread": _job(_scale("main_ms"), lambda job: job.main_ms),
    "disk reads": _job(_fewer_reads, lambda job: job.read_count),
    "disk writes": _job(_scale("checkpoint_bytes"), lambda job: job.checkpoint_bytes),
    "network": _around(lambda setup: (_scale("store_rate", by=2)(setup), _scale("store_ms")(setup)), lambda _, job: job.fetch_count),
    "network mount": _around(lambda setup: (_scale("mount_rate", by=2)(setup), _scale("mount_ms")(setup)), lambda _, job: job.mount_count),
    "communication": _job(_scale("communication_ms"), lambda job: job.communication_ms),
    "CPU quota": _job(_scale("quota", by=2), lambda job: job.quota),
    "cores allowed": _job(_scale("cores", by=2), lambda job: job.cores),
    "memory limit": _job(_scale("memory_limit", by=2), lambda job: job.memory_limit),
    "no others on the CPUs": _around(_no_neighbours, lambda setup, _: setup.burners),
    "GPU's full clock": _job(_full_clock, lambda job: job.slowed > 1),
    "even ranks": _job(_even_ranks, lambda job: job.slow_ranks),
    "no fault": _no_fault,
}


def doublings_of(setup, number):
    """The setups in which one resource of the job is doubled, by the resource's name."""
    found = {}
    for name, apply in DOUBLINGS.items():
        other = copy.deepcopy(setup)
        if apply(other, number):
            found[name] = other
    return found
