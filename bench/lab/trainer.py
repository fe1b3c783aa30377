"""A trainer as PyTorch's are built: loader workers, a main thread that launches GPU work, ranks, checkpoints.

Everything it does is real but for the GPU (gpu.py). It takes one argument, the JSON of its configuration, and writes the
instant of each finished step, by the monotonic clock, to a file of doubles.
"""

import ctypes
import encodings.idna  # noqa: F401  For connecting, once this user may no longer read where Python lies.
import json
import mmap
import os
import random
import signal
import socket
import struct
import sys
import time
import traceback

from cuda import CudaGpu
from gpu import Gpu

MIB = 1 << 20


def compute(milliseconds):
    """So much CPU time of this thread, in pure Python."""
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        for _ in range(150):
            pass


class Worker:
    """A process that prepares items: reads them, fetches them, works on them."""

    def __init__(self, job, files, number):
        self.job = job
        self.files = files
        self.number = number
        wanted, self.asking = os.pipe()
        self.answering, ready = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.close(self.asking)
                os.close(self.answering)
                self._work(wanted, ready)
            except BaseException:  # The process ends here, whatever it was.
                traceback.print_exc()
            finally:
                os._exit(0)
        os.close(wanted)
        os.close(ready)

    def ask(self):
        """Asks for an item."""
        os.write(self.asking, b"x")

    def take(self):
        """Waits for the item that was asked for first."""
        if not os.read(self.answering, 1):
            raise EOFError("a worker ended")

    def _work(self, wanted, ready):
        job = self.job
        random.seed(os.getpid())
        store = None
        item = self.number
        while os.read(wanted, 1):
            if job["read_count"]:
                self._read("data", job["read_bytes"], job["read_count"], direct=True)
            if job["cached_count"]:
                self._read("cached", job["cached_bytes"], job["cached_count"], direct=False)
            if job["mount_count"]:
                self._read("mount", job["mount_bytes"], job["mount_count"], direct=False, drop=True)
            for _ in range(job["fetch_count"]):
                store = store or socket.create_connection(tuple(job["store"]))
                _fetch(store, job["fetch_bytes"])
            compute(milliseconds_of(job, "loader_ms", None, item // job["items"]))
            item += job["workers"]
            os.write(ready, b"x")

    def _read(self, name, size, count, direct, drop=False):
        file = self.files[name]
        end = os.fstat(file).st_size
        buffer = mmap.mmap(-1, size) if direct else None
        for _ in range(count):
            at = random.randrange(max(1, (end - size) // 4096)) * 4096
            if direct:
                os.preadv(file, [buffer], at)
            else:
                os.pread(file, size, at)
                if drop:
                    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def _fetch(store, size):
    store.sendall(struct.pack("<I", size))
    while size:
        if not (piece := store.recv(min(size, MIB))):
            raise EOFError("the store went away")
        size -= len(piece)


class Loader:
    """Workers in turn, each with some items ahead, as PyTorch's DataLoader has them."""

    def __init__(self, job, files):
        self.workers = [Worker(job, files, number) for number in range(job["workers"])]
        self.turn = 0
        for _ in range(job["prefetch"]):
            for worker in self.workers:
                worker.ask()

    def next(self):
        """Waits for the next item."""
        worker = self.workers[self.turn % len(self.workers)]
        self.turn += 1
        worker.take()
        worker.ask()

    def end(self):
        """Ends the workers."""
        for worker in self.workers:
            os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)


class Meeting:
    """The ranks' collective operation: each says when it is ready, and learns when the last one is."""

    def __init__(self, ranks):
        self.pairs = [socket.socketpair() for _ in range(ranks - 1)]

    def meet(self, rank, ready):
        """The instant at which all are ready."""
        if rank:
            mine = self.pairs[rank - 1][1]
            mine.sendall(struct.pack("<Q", ready))
            return struct.unpack("<Q", _whole(mine))[0]
        for here, _ in self.pairs:
            ready = max(ready, struct.unpack("<Q", _whole(here))[0])
        for here, _ in self.pairs:
            here.sendall(struct.pack("<Q", ready))
        return ready


def _whole(connection):
    data = connection.recv(8, socket.MSG_WAITALL)
    if len(data) < 8:
        raise EOFError("a rank ended")
    return data


def milliseconds_of(job, name, rank, step):
    """A cost of this rank at this step: slowed ranks and phases differ."""
    value = job[name]
    if rank in job["slow_ranks"]:
        value = job["slow"].get(name, value)
    for phase in job["phases"]:
        if step % job["phase_steps"] in range(*phase["steps"]):
            value = phase.get(name, value)
    return value


def train(job, rank, meeting, files, gpus, steps):
    """One rank, until it is ended."""
    loader = Loader(job, files) if job["workers"] else None
    for gpu in gpus:
        gpu.spins = job["spin"]
        gpu.attach()
    kind = "slowed" if job["slowed"] > 1 or (rank in job["slow_ranks"] and job["slow"].get("slowed")) else "compute"
    step = 0
    while True:
        for _ in range(job["items"]):
            if loader:
                loader.next()
        compute(milliseconds_of(job, "main_ms", rank, step))
        if job["overlap"]:
            for gpu in gpus:
                gpu.wait(job["spin"])
        if job["fault"] and rank not in job["spared_ranks"] and os.path.exists(job["stop_file"]):
            _stand_still(job, gpus, loader)
        for gpu in gpus:
            gpu.launch(kind, milliseconds_of(job, "gpu_ms", rank, step) / 1000)
        if meeting or job["communication_ms"]:
            ready = gpus[0].free_at
            for gpu in gpus:
                gpu.begin("waiting")
            ready = meeting.meet(rank, ready) if meeting else ready
            for gpu in gpus:
                gpu.end(max(ready, gpu.free_at))
                gpu.launch("communication", job["communication_ms"] / 1000)
        if not job["overlap"]:
            for gpu in gpus:
                gpu.wait(job["spin"])
        step += 1
        if rank == 0 and job["checkpoint_bytes"] and step % job["checkpoint_steps"] == 0:
            for gpu in gpus:
                gpu.wait(job["spin"])
            _checkpoint(files["checkpoint"], job["checkpoint_bytes"])
        if rank == 0:
            steps.add()


def _checkpoint(file, size):
    block = os.urandom(MIB)
    os.lseek(file, 0, os.SEEK_SET)
    os.ftruncate(file, 0)
    for _ in range(max(1, size // MIB)):
        os.write(file, block)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)


def _stand_still(job, gpus, loader):
    """What a fault does to a trainer: it ends, or it waits for ever; one that is done with training has no workers any more."""
    if job["fault"] == "end":
        raise SystemExit("the GPU is lost")
    if job["fault"] == "hang":
        for gpu in gpus:
            gpu.begin("hung")
    elif loader:
        loader.end()
    while True:
        time.sleep(3600)


class Steps:
    """The instants of finished steps, as doubles; the first says how many there are."""

    def __init__(self, path):
        with open(path, "w+b") as file:
            file.truncate(8 * 1_000_000)
            self.memory = mmap.mmap(file.fileno(), 0)
        self.count = 0

    def add(self):
        """One more, now."""
        self.count += 1
        struct.pack_into("<d", self.memory, 8 * self.count, time.monotonic())
        struct.pack_into("<d", self.memory, 0, self.count)


def main():
    """Opens files and joins control groups, gives up root, starts the ranks."""
    with open(sys.argv[1], encoding="ascii") as file:
        job = json.load(file)
    for group in job["cgroups"]:
        with open(group, "w", encoding="ascii") as file:
            file.write(str(os.getpid()))
    files = {}
    for name, (path, flags) in job["files"].items():
        files[name] = os.open(path, flags)
        if name == "cached":
            os.posix_fadvise(files[name], 0, 0, os.POSIX_FADV_RANDOM)
    gpus = [CudaGpu(ordinal, job["gpu_memory"]) for ordinal in job.get("ordinals", [])]
    gpus = gpus or [Gpu(path, job["slot"], job["gpu_memory"]) for path in job["gpus"]]
    steps = Steps(job["steps"])
    if job["uid"]:
        os.setgroups([])
        os.setgid(job["uid"])
        os.setuid(job["uid"])
        # As a program that its user started; else its /proc would belong to root.
        ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
    # The workers read pipes and end with their trainer.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

    if job["ranks"] == 1:
        train(job, 0, None, files, gpus, steps)
        return

    meeting = Meeting(job["ranks"])
    for rank in range(job["ranks"]):
        if os.fork() == 0:
            try:
                train(job, rank, meeting, files, [gpus[rank % len(gpus)]], steps)
            finally:
                os._exit(1)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


if __name__ == "__main__":
    main()
