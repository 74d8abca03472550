"""A TCP proxy that tests put before a server, to cut the network between the two without a word."""

import contextlib
import socket
import threading


class Proxy:
    """Listens on `port` and passes on to *target*; while `silent`, it accepts connections and bytes and passes none on.

    A connection that lost bytes is never whole again, as after a firewall forgot it: neither side hears of its end.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self.silent = False
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in (self._server, *self._sockets):
            each.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        swallowed = False
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                swallowed = swallowed or self.silent
                if not swallowed:
                    sink.sendall(data)
        if not swallowed and not self.silent:
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_RDWR)
