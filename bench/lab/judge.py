"""What the agent said of a run, second by second, held against the truth."""

import dataclasses
import json

# A verdict has to be right within so many seconds of the start, or of the fault.
DEADLINE = 45.0
# What is said before so many seconds have passed is not held against it, however sure: a change needs ten.
SETTLING = 12.0
SURE = 0.7
NOT_THERE = "not there"
# Labels that claim nothing.
OPEN = (NOT_THERE, "starting", "unknown")


@dataclasses.dataclass
class Said:
    """One look: seconds since the start or the fault, our label and how sure, the rule's word, the machine's label, the job's user."""

    at: float
    label: str
    confidence: float
    rule: str
    machine: str = NOT_THERE
    uid: object = None


def said_of(bodies, words, job, origin, of_machine):
    """What was said of a job, or of the machine."""
    found = []
    for (at, body), word in zip(bodies, words, strict=True):
        sample = json.loads(body)["sample"]
        verdict, uid = sample.get("verdict"), None
        machine = verdict["label"] if verdict else NOT_THERE
        if not of_machine:
            entry = _entry(sample.get("jobs") or [], job)
            verdict, uid = (entry.get("verdict"), entry.get("uid")) if entry else (None, None)
        label, confidence = (verdict["label"], verdict.get("confidence") or 0.0) if verdict else (NOT_THERE, 0.0)
        found.append(Said(at - origin, label, confidence, word, machine, uid))
    return found


def _entry(jobs, job):
    """The entry that has the job's GPUs; where several share one, that of the job's user."""
    found = [entry for entry in jobs if {gpu.get("gpu_index") for gpu in entry.get("gpus") or []} & set(job.gpus)]
    users = [entry for entry in found if entry.get("uid") == job.uid]
    return next(iter((users if len(found) > 1 else []) + found), None)


@dataclasses.dataclass
class Judgement:
    """How the verdict did in one scenario, for one job."""

    label: str
    confidence: float
    is_right: bool
    seconds: object
    changes: int
    wrong_and_sure: str
    is_mixed_up: bool
    rule: str


def judge(said, labels, uid):
    """Right is who names the truth at the deadline; seconds count from the start to the last time it became right."""
    after = [look for look in said if look.at >= 0]
    at_deadline = [look for look in after if look.at <= DEADLINE] or after or [Said(0, NOT_THERE, 0, "")]
    last = at_deadline[-1]
    is_right = last.label in labels
    since = None
    for look in reversed(at_deadline):
        if look.label not in labels:
            break
        since = look.at
    later = [look for look in after if since is not None and look.at >= since]
    wrong = [look for look in after if look.at >= SETTLING and look.confidence > SURE and look.label not in (*labels, *OPEN)]
    worst = max(wrong, key=lambda look: look.confidence, default=None)
    words = [look.rule for look in after if look.at >= SETTLING] or [look.rule for look in after]
    return Judgement(
        last.label,
        last.confidence,
        is_right,
        since if is_right else None,
        sum(before.label != now.label for before, now in zip(later, later[1:])),
        f"{worst.label} {worst.confidence:.2f} at {worst.at:.0f} s" if worst else "",
        any(look.uid not in (None, uid) for look in after),
        shares(words),
    )


def shares(words):
    """The words with their shares, the most frequent first."""
    counts = sorted(((words.count(word), word) for word in set(words)), reverse=True)
    return ", ".join(word if count == len(words) else f"{word} {100 * count // len(words)} %" for count, word in counts[:3])


def most(text):
    """The most frequent of `shares`."""
    return text.split(",")[0].split(" ")[0]
