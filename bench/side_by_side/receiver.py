"""A receiver on the loopback that answers every POST as the webapp does, over connections that are kept.

What came in is counted in a file of four little-endian 64-bit numbers, so that whoever measures reads it without a
request of their own: requests answered, body bytes, and the monotonic clock in nanoseconds at the first and the last
answer.
"""

import argparse
import mmap
import os
import re
import socket
import ssl
import struct
import threading
import time

STATS = struct.Struct("<4Q")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
COLLECTED_AT = re.compile(rb'"collected_at": ?"([^"]+)"')


def answer(number, body):
    """The webapp's answer to one sample, whole."""
    found = COLLECTED_AT.search(body)
    at = found.group(1) if found else b"2026-01-01T00:00:00.000000+00:00"
    text = (
        b'{"ok": true, "server": {"slug": "bench"}, "snapshot": {"id": %d, "collected_at": "%s", "bottleneck": "idle", '
        b'"cpu_usage_percent": 12.5, "top_gpu_util_percent": null, "disk_util_percent": 3}}' % (number, at)
    )
    return (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
        % (len(text), text)
    )


class Counters:
    """The counted requests, shared with the file's readers."""

    def __init__(self, path):
        with open(path, "w+b") as file:
            file.truncate(STATS.size)
            self.memory = mmap.mmap(file.fileno(), STATS.size)
        self.lock = threading.Lock()
        self.values = (0, 0, 0, 0)

    def add(self, length, send):
        """Counts one request and answers it; the answer's instant is taken before it is sent."""
        with self.lock:
            count, total, first, _ = self.values
            now = time.monotonic_ns()
            self.values = (count + 1, total + length, first or now, now)
            self.memory[:] = STATS.pack(*self.values)
        send(count + 1)


def serve(connection, counters):
    """Answers the requests of one connection until it is closed."""
    held = b""
    try:
        while True:
            while (end := held.find(b"\r\n\r\n")) < 0:
                if not (more := connection.recv(65536)):
                    return
                held += more
            found = LENGTH.search(held, 0, end + 2)
            size = end + 4 + (int(found.group(1)) if found else 0)
            while len(held) < size:
                if not (more := connection.recv(65536)):
                    return
                held += more
            body, held = held[end + 4 : size], held[size:]
            counters.add(len(body), lambda number: connection.sendall(answer(number, body)))
    except OSError:
        pass  # The client went away.
    finally:
        connection.close()


def accept(listener, context, counters):
    """Serves each connection on a thread of its own."""
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def run(connection=connection):
            try:
                wrapped = context.wrap_socket(connection, server_side=True) if context else connection
            except (OSError, ssl.SSLError):
                connection.close()
                return
            serve(wrapped, counters)

        threading.Thread(target=run, daemon=True).start()


def main():
    """Listens on a free port and writes it, and nothing else, to the port file."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--stats", required=True)
    options.add_argument("--port-file", required=True)
    options.add_argument("--certificate", help="PEM certificate and key: HTTPS")
    given = options.parse_args()

    context = None
    if given.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.certificate)

    counters = Counters(given.stats)
    listener = socket.create_server(("127.0.0.1", 0), backlog=16)
    with open(given.port_file + ".new", "w", encoding="ascii") as file:
        file.write(str(listener.getsockname()[1]))
    os.rename(given.port_file + ".new", given.port_file)
    accept(listener, context, counters)


if __name__ == "__main__":
    main()
