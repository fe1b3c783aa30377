"""The table, the score and the page."""

import dataclasses
import os
import platform

from judge import Judgement, most
from truth import CLEAR, RULE

RIGHT, UNKNOWN = 0.95, 0.05


@dataclasses.dataclass
class Row:
    """One job of one scenario."""

    name: str
    skipped: str = ""
    gains: dict = dataclasses.field(default_factory=dict)
    rate: float = 0.0
    # Cores that others used during the most disturbed short run.
    disturbed: float = 0.0
    resource: object = None
    labels: tuple = ()
    judgement: Judgement | None = None
    rule_share: float = 0.0
    said: list = dataclasses.field(default_factory=list)

    @property
    def is_clear(self):
        """Whether it counts."""
        return not self.skipped and self.resource is not None

    @property
    def rule_is_right(self):
        """The webapp's rule is right where most of its words are."""
        return self.rule_share > 0.5

    def gains_text(self):
        """The gains, the greatest first; those below 1.1 together."""
        ordered = sorted(self.gains.items(), key=lambda pair: -pair[1])
        told = [f"{name} {'from 0' if gain >= 99 else f'{gain:.2f}'}" for name, gain in ordered if gain >= 1.1]
        rest = len(ordered) - len(told)
        return ", ".join(told + ([f"{rest} others < 1.1"] if rest else []))

    def cells(self):
        """The table's cells."""
        if self.skipped:
            return [self.name, f"skipped: {self.skipped}", "", "", "", "", ""]
        if not self.is_clear:
            return [self.name, self.gains_text() or "none", "unclear, not counted", self.judgement.rule, self.judgement.label, "", ""]
        found = self.judgement
        verdict = found.label + (f" {found.confidence:.2f}" if found.confidence else "")
        if found.wrong_and_sure:
            verdict += f" (sure and wrong: {found.wrong_and_sure})"
        if found.is_mixed_up:
            verdict += " (another user's)"
        return [
            self.name,
            self.gains_text(),
            " or ".join(self.labels),
            ("" if self.rule_is_right else "✗ ") + found.rule,
            ("" if found.is_right else "✗ ") + verdict,
            "" if found.seconds is None else f"{found.seconds:.0f}",
            "" if found.seconds is None else str(found.changes),
        ]

    def line(self):
        """The same in a line."""
        return " | ".join(self.cells()) + (f" (others used {self.disturbed:.1f} cores)" if self.disturbed > 0.3 else "")


class Score:
    """How the rows add up."""

    def __init__(self, rows):
        self.clear = [row for row in rows if row.is_clear]
        self.skipped = sum(bool(row.skipped) for row in rows)
        self.unclear = len(rows) - len(self.clear) - self.skipped
        self.right = sum(row.judgement.is_right and not row.judgement.is_mixed_up for row in self.clear)
        self.rule_right = sum(row.rule_is_right for row in self.clear)
        self.unknown = sum(row.judgement.label in ("unknown", "starting", "not there") for row in self.clear)
        self.sure_and_wrong = [row.name for row in self.clear if row.judgement.wrong_and_sure]
        self.restless = [row.name for row in self.clear if row.judgement.changes > 1]
        self.mixed_up = [row.name for row in self.clear if row.judgement.is_mixed_up]

    @property
    def is_reached(self):
        """Whether all bars are reached."""
        count = len(self.clear)
        return (
            count > 0
            and self.right >= RIGHT * count
            and self.unknown <= UNKNOWN * count
            and not (self.sure_and_wrong or self.restless or self.mixed_up)
        )

    @property
    def is_sound(self):
        """What a short run can ask for beside others on the machine: one miss at most, and nothing wrong that it is sure of."""
        return len(self.clear) > 1 and self.right >= len(self.clear) - 1 and not (self.sure_and_wrong or self.mixed_up)

    def lines(self):
        """In words."""
        count = len(self.clear)

        def share(number):
            return f"{number} of {count}" + (f" ({100 * number / count:.0f} %)" if count else "")

        return [
            f"Clear truth: {count}; unclear: {self.unclear}; skipped: {self.skipped}.",
            f"The verdict is right in {share(self.right)}; the bar is {100 * RIGHT:.0f} %.",
            f"The webapp's rule is right in {share(self.rule_right)}.",
            f"Unknown: {share(self.unknown)}; the bar is {100 * UNKNOWN:.0f} %.",
            f"Wrong with a confidence above 0.7: {', '.join(self.sure_and_wrong) or 'none'}.",
            f"More than one change of label once right: {', '.join(self.restless) or 'none'}.",
            f"Given to another user: {', '.join(self.mixed_up) or 'none'}.",
        ]


def _table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def page(rows, score, seconds, took):
    """The page."""
    head = ["scenario", "× faster with twice of it", "truth", "the webapp's rule", "verdict", "s until right", "changes after"]
    rule = [[label, ", ".join(words)] for label, words in RULE.items()]
    return "\n".join(
        [
            "# The lab: verdicts held against causes",
            "",
            "Written by `dotnet fsi build.fsx -t Lab`; bench/README.md says what is measured and how. Of each scenario every resource "
            "was doubled, or its cost halved, one at a time; the truth is what made the job fastest, "
            f"and where nothing gave {CLEAR} × there is none.",
            "",
            f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}; the agent looked for {seconds:.0f} s at each scenario; "
            f"{took / 60:.0f} minutes in all. ✗ is wrong. The rule's word is the one it gave most often, and it is right where most of its words are.",
            "",
            *[f"- {line}" for line in score.lines()],
            "",
            *_table(head, [row.cells() for row in rows]),
            "",
            "Words of the webapp's rule that count as naming the truth; it has none for the others:",
            "",
            *_table(["truth", "words"], rule),
            "",
        ]
    )


__all__ = ["Row", "Score", "page", "most"]
