"""relay.py - a port of this host whose connections are the guest's: for clients that are programs of others"""
import contextlib
import socket
import threading


class Relay:
    """Each connection to 127.0.0.1:port, or to @server, a socket that listens, is joined with a new open()."""

    def __init__(self, open, server=None):
        self.open = open
        self.server = server or socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = None if server else self.server.getsockname()[1]
        threading.Thread(target=self.loop, daemon=True).start()

    def loop(self):
        while True:
            try:
                s, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(s,), daemon=True).start()

    def one(self, s):
        with s, self.open() as up:
            for each in (s, up):
                each.settimeout(120)
            back = threading.Thread(target=copy, args=(up, s), daemon=True)
            back.start()
            copy(s, up)
            back.join()

    def close(self):
        self.server.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def copy(a, b):
    with contextlib.suppress(OSError):
        while part := a.recv(65536):
            b.sendall(part)
    with contextlib.suppress(OSError):
        b.shutdown(socket.SHUT_WR)
