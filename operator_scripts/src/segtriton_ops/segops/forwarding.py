"""A port of a pod as a port of this machine, as `kubectl port-forward` makes it, for clients that want an address."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Any

from segtriton_ops.segops.kubernetes_api import Cluster, ClusterError

_CHUNK = 1 << 16


class Forwarding:
    """A context manager that gives `127.0.0.1:PORT`; each connection there becomes one to the pod."""

    def __init__(self, cluster: Cluster, pod: str, port: int) -> None:
        self._cluster = cluster
        self._pod = pod
        self._port = port
        self._open: list[Any] = []

    def __enter__(self) -> str:
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, name=f"forward to {self._pod}", daemon=True).start()
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing alone does not wake the thread that accepts.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._open:
            _close(end)

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:
                return
            try:
                there = self._cluster.open_port(self._pod, self._port)
            except ClusterError:
                here.close()  # the client sees a broken connection, as it is
                continue
            self._open += [here, there]
            for ends in ((here, there), (there, here)):
                threading.Thread(target=_pump, args=ends, daemon=True).start()


def _pump(source: Any, sink: Any) -> None:
    """Pass bytes on until one end closes, then close both."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
    for end in (source, sink):
        _close(end)


def _close(end: Any) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        end.close()
