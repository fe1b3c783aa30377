"""What the truth of a scenario is, and which words say it."""

# The words of our verdict that name each resource.
LABELS = {
    "GPU": ("compute",),
    "GPU's full clock": ("throttled",),
    "workers": ("loader-cpu",),
    "loader": ("loader-cpu",),
    "main thread": ("main-thread",),
    "disk reads": ("disk-read",),
    "disk writes": ("disk-write",),
    "network": ("network",),
    "network mount": ("network-storage",),
    "communication": ("communication",),
    "CPU quota": ("cpu-quota",),
    "cores allowed": ("cpu-quota",),
    "memory limit": ("memory",),
    "no others on the CPUs": ("cpu-contended",),
    "even ranks": ("imbalance",),
    # What the fault was decides which one: see label_of_fault.
    "no fault": (),
}

# The words of the webapp's rule that name the cause. It has none for the main thread (`cpu-bound` on a machine of two cores is
# counted for it), none for what others do, for remote data, for communication, for ranks and for faults.
RULE = {
    "compute": ("gpu-bound", "mixed-cpu-gpu", "mixed-io-gpu"),
    "loader-cpu": ("cpu-bound", "mixed-cpu-gpu"),
    "main-thread": ("cpu-bound", "mixed-cpu-gpu"),
    "cpu-contended": ("cpu-bound", "mixed-cpu-gpu"),
    "cpu-quota": ("cpu-bound",),
    "disk-read": ("io-bound", "mixed-io-gpu"),
    "disk-write": ("io-bound", "mixed-io-gpu"),
    "memory": ("memory-pressure",),
    "held-idle": ("idle",),
}

# What takes something away that should not be there explains what twice of a part hides: a slowed GPU is slow, and a GPU of
# twice the speed hides it. So of gains that are this close, the removal is the truth.
REMOVALS = ("no fault", "even ranks", "GPU's full clock", "no others on the CPUs", "memory limit", "CPU quota", "cores allowed")
CLOSE = 0.85

CLEAR = 1.3


def label_of_fault(setup, job):
    """The word for what went wrong."""
    if setup.fault:
        return "gpu-fault"
    return {"hang": "hang", "idle": "held-idle", "end": "gpu-fault"}[job.fault]


def truth_of(setup, job, gains):
    """The resource that holds the job back and the labels that say so; None where no gain is clear."""
    # More workers help with whatever workers wait for; they name the loader only where its CPU work counts as well.
    if gains.get("loader", 0) < 1.15:
        gains = {name: gain for name, gain in gains.items() if name != "workers"}
    best = max(gains.values(), default=0)
    if best < CLEAR:
        return None, ()
    close = [name for name, gain in gains.items() if gain >= max(CLEAR, CLOSE * best)]
    removals = [name for name in REMOVALS if name in close]
    name = removals[0] if removals else max(close, key=gains.get)
    labels = LABELS[name] or (label_of_fault(setup, job),)
    # More workers do not help though cheaper ones would: the cores are full.
    if name == "loader" and gains.get("workers", 0) < 1.15:
        labels += ("cpu-contended",)
    # A rank that is behind because its GPU is slowed: both say it.
    if name == "even ranks" and job.slow.get("slowed"):
        labels += ("throttled",)
    return name, labels


def rule_is_right(labels, word):
    """Whether the webapp's word names the truth."""
    return any(word in RULE.get(label, ()) for label in labels)
