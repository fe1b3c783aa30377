"""Somebody else on the machine: burns a share of a core, or keeps a disk busy without hurry.

Run as a program: cpu SHARE | disk FILE
"""

import mmap
import os
import random
import sys
import time


def burn(share):
    """So much of one core, in turns of 20 ms."""
    while True:
        end = time.thread_time() + 0.02 * share
        while time.thread_time() < end:
            pass
        if share < 1:
            time.sleep(0.02 * (1 - share))


def read(path):
    """One read after the other: the disk is always busy, and never has two requests."""
    file = os.open(path, os.O_RDONLY | os.O_DIRECT)
    blocks = os.fstat(file).st_size // 4096
    buffer = mmap.mmap(-1, 262144)
    while True:
        os.preadv(file, [buffer], random.randrange(blocks - 64) * 4096)


def main():
    """Until it is ended."""
    if sys.argv[1] == "cpu":
        os.setgid(20099)
        os.setuid(20099)
        burn(float(sys.argv[2]))
    else:
        read(sys.argv[2])


if __name__ == "__main__":
    main()
