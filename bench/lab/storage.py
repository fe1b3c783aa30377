"""A file system that behaves as NFS does, by FUSE: one file whose bytes come at a rate, each request after a round trip.

Readers wait in the kernel as they wait for NFS. What an NFS client would count of it is written as a mountstats text,
twice a second, which the agent then has for its own.

Run as a program: DIRECTORY MOUNTSTATS BYTES_PER_SECOND ROUND_TRIP_MS
"""

import ctypes
import errno
import os
import stat
import struct
import sys
import threading
import time

NAME, NODE, SIZE = b"data", 2, 1 << 36
HEAD = struct.Struct("<IIQQIIII")  # length, operation, unique, node, uid, gid, pid, padding
ANSWER = struct.Struct("<IiQ")
LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT, OPENDIR, RELEASEDIR, INTERRUPT = 1, 2, 3, 14, 15, 18, 25, 26, 27, 29, 36

TEXT = """device lab:/export mounted on {mount} with fstype nfs4 statvers=1.1
\topts:\trw,vers=4.2,rsize=131072,wsize=131072,namlen=255,hard,proto=tcp,timeo=600,retrans=2,sec=sys,local_lock=none
\tage:\t{age:.0f}
\tcaps:\tcaps=0x3ffbffff,wtmult=512,dtsize=131072,bsize=0,namlen=255
\tnfsv4:\tbm0=0xfdffbfff,bm1=0xf9be3e,bm2=0x68800,acl=0x3,sessions,pnfs=not configured,lease_time=90,lease_expired=0
\tsec:\tflavor=1,pseudoflavor=1
\tevents:\t1 1 0 0 1 1 {pages} 0 0 {pages} 0 0 0 {reads} 0 0 0 0 0 0 0 0 0 0 0 0 0
\tbytes:\t{bytes} 0 0 0 {bytes} 0 {pages} 0
\tRPC iostats version: 1.1  p/v: 100003/4 (nfs)
\txprt:\ttcp 837 1 1 0 0 {reads} {reads} 0 {waiting} 0 64 0 {waiting}
\tper-op statistics
\t        NULL: 1 1 0 44 24 0 0 0 0
\t        READ: {reads} {reads} 0 {sent} {bytes} {queue} {rtt} {execute} 0
\t       WRITE: 0 0 0 0 0 0 0 0 0
\t     GETATTR: 1 1 0 172 240 0 0 0 0

"""


class Bucket:
    """So many bytes a second, for all who take from it."""

    def __init__(self, rate):
        self.rate = rate
        self.lock = threading.Lock()
        self.free_at = 0.0

    def take(self, size):
        """Waits until these bytes may pass."""
        with self.lock:
            self.free_at = max(self.free_at, time.monotonic() - 0.02) + size / self.rate
            until = self.free_at
        if (rest := until - time.monotonic()) > 0:
            time.sleep(rest)


class Export:
    """The mounted directory."""

    def __init__(self, directory, stats, rate, round_trip):
        self.directory, self.stats = directory, stats
        self.bucket, self.round_trip = Bucket(rate), round_trip / 1000
        self.lock = threading.Lock()
        self.reads = self.bytes = 0
        self.seconds = 0.0
        self.begun = time.monotonic()
        self.device = os.open("/dev/fuse", os.O_RDWR)
        options = f"fd={self.device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"lab", directory.encode(), b"fuse.lab", 6, options):
            raise OSError(ctypes.get_errno(), "mount")

    def write_stats(self):
        """The text, in place: it is bound over the agent's own."""
        with self.lock:
            milliseconds = int(self.seconds * 1000)
            text = TEXT.format(
                mount=self.directory, age=time.monotonic() - self.begun, reads=self.reads, bytes=self.bytes,
                pages=self.bytes // 4096, sent=self.reads * 200, queue=milliseconds // 50, rtt=milliseconds,
                execute=milliseconds + milliseconds // 50, waiting=self.reads,
            )  # fmt: skip
        with open(self.stats, "r+b" if os.path.exists(self.stats) else "w+b") as file:
            file.write(text.encode())
            file.truncate()

    def serve(self):
        """Answers requests until the mount goes away."""
        while True:
            try:
                request = os.read(self.device, 1 << 18)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT):
                    continue
                if error.errno == errno.ENODEV:
                    return
                raise
            _, operation, unique, node, *_ = HEAD.unpack_from(request)
            if operation in (FORGET, INTERRUPT):
                continue
            begun = time.monotonic()
            answer = self._answer(operation, node, request[HEAD.size :])
            if operation == READ:
                with self.lock:
                    self.reads += 1
                    self.bytes += len(answer)
                    self.seconds += time.monotonic() - begun
            code = -answer if isinstance(answer, int) else 0
            body = b"" if isinstance(answer, int) else answer
            try:
                os.write(self.device, ANSWER.pack(ANSWER.size + len(body), code, unique) + body)
            except OSError:
                pass  # Whoever asked has gone.

    def _answer(self, operation, node, body):
        if operation == INIT:
            return struct.pack("<IIIIHHIIHHI28x", 7, 31, 131072, 1, 64, 48, 131072, 1, 0, 0, 0)
        if operation == LOOKUP:
            return struct.pack("<QQQQII", NODE, 0, 600, 600, 0, 0) + _attributes(NODE) if body.rstrip(b"\0") == NAME else errno.ENOENT
        if operation == GETATTR:
            return struct.pack("<QII", 600, 0, 0) + _attributes(node)
        if operation in (OPEN, OPENDIR):
            return struct.pack("<QII", 0, 0, 0)
        if operation == READ:
            size = struct.unpack_from("<QQI", body)[2]
            time.sleep(self.round_trip)
            self.bucket.take(size)
            return bytes(size)
        if operation in (RELEASE, RELEASEDIR, FLUSH):
            return b""
        return errno.ENOSYS


def _attributes(node):
    mode = stat.S_IFDIR | 0o755 if node == 1 else stat.S_IFREG | 0o644
    return struct.pack("<QQQQQQIIIIIIIIII", node, SIZE if node > 1 else 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def main():
    """Serves until it is ended; the mount goes with it."""
    directory, stats, rate, round_trip = sys.argv[1:5]
    export = Export(directory, stats, float(rate), float(round_trip))
    export.write_stats()
    for _ in range(16):
        threading.Thread(target=export.serve, daemon=True).start()
    while True:
        time.sleep(0.5)
        export.write_stats()


if __name__ == "__main__":
    main()
