"""A port for a server that a test starts, ends, and starts again at the same address."""
import os
import socket

candidates = iter(range(os.getpid() * 16, os.getpid() * 16 + 20_000))


def free_port():
    """Free, another one each time, and never given to an outgoing connection, as the system does with those from 32768 on."""
    for number in candidates:
        port = 10_000 + number % 20_000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no free port")
