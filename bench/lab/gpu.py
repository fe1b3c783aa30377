"""A scripted GPU as a trainer drives it: work is queued, runs one piece after the other, and is waited for.

What it does is written to a file that the stub of NVML plays (tests/nvml-stub/play.h): no number that the agent reads is
typed in, all come of when the trainer's work began and ended.
"""

import mmap
import os
import struct
import time

SLOTS, PIECES, HEADER = 8, 1024, 32
PIECE = struct.Struct("<QQHHHHII")
SIZE = SLOTS * (HEADER + PIECES * PIECE.size)

# Power, multiprocessors, tensor cores and memory in thousandths; KiB a second by PCIe and NVLink.
KINDS = {
    "compute": (900, 820, 500, 450, 300_000, 0),
    "slowed": (520, 800, 480, 430, 150_000, 0),
    "communication": (250, 90, 0, 110, 60_000, 40_000_000),
    "waiting": (240, 80, 0, 20, 0, 0),
    "hung": (150, 10, 0, 0, 0, 0),
}


def make_file(path):
    """A GPU at which nobody works."""
    with open(path, "wb") as file:
        file.truncate(SIZE)


class Gpu:
    """One process's share in one GPU."""

    def __init__(self, path, slot, memory):
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), SIZE)
        self.at = slot * (HEADER + PIECES * PIECE.size)
        self.held = memory
        self.written = 0
        self.free_at = 0
        self.nvlink_kib = 0

    def attach(self):
        """The process takes its device memory; the driver lists it from now on."""
        struct.pack_into("<IIQQQ", self.memory, self.at, os.getpid(), 0, self.held, 0, 0)

    def launch(self, kind, seconds):
        """Queues work that takes so long, and returns at once."""
        begin = max(self.free_at, time.monotonic_ns())
        self.free_at = begin + int(seconds * 1e9)
        self._write(kind, begin, self.free_at)
        self.nvlink_kib += int(KINDS[kind][5] * seconds)
        struct.pack_into("<Q", self.memory, self.at + 24, self.nvlink_kib)

    def begin(self, kind):
        """Queues work whose end is not known yet; `end` ends it."""
        begin = max(self.free_at, time.monotonic_ns())
        self._write(kind, begin, 0)
        return begin

    def end(self, at):
        """Ends what `begin` began, at an instant of the monotonic clock."""
        struct.pack_into("<Q", self.memory, self._place(self.written - 1) + 8, at)
        self.free_at = at

    def wait(self, spin=False):
        """Waits until all that was queued is done; CUDA spins by default where there are cores enough."""
        if spin:
            while time.monotonic_ns() < self.free_at:
                pass
        elif (rest := self.free_at - time.monotonic_ns()) > 0:
            time.sleep(rest / 1e9)

    def _place(self, number):
        return self.at + HEADER + number % PIECES * PIECE.size

    def _write(self, kind, begin, end):
        PIECE.pack_into(self.memory, self._place(self.written), begin, end, *KINDS[kind])
        self.written += 1
        struct.pack_into("<Q", self.memory, self.at + 16, self.written)
