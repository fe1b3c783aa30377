"""An object store: sends as many bytes as it is asked for, at a rate, each answer after a round trip.

Run as a program: ADDRESS BYTES_PER_SECOND ROUND_TRIP_MS
"""

import socket
import struct
import sys
import threading
import time

from storage import Bucket

PIECE = bytes(32768)


def serve(connection, bucket, round_trip):
    """Answers one client."""
    try:
        while len(asked := connection.recv(4, socket.MSG_WAITALL)) == 4:
            size = struct.unpack("<I", asked)[0]
            time.sleep(round_trip)
            while size:
                piece = min(size, len(PIECE))
                bucket.take(piece)
                connection.sendall(PIECE[:piece])
                size -= piece
    except OSError:
        pass  # The client went away.


def main():
    """Listens on a free port, tells it, and serves until it is ended."""
    address, rate, round_trip = sys.argv[1:4]
    bucket = Bucket(float(rate))
    listener = socket.create_server((address, 0), backlog=64)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, bucket, float(round_trip) / 1000), daemon=True).start()


if __name__ == "__main__":
    main()
