"""What runs inside the process of a `ConfinedSegmenter`: one network, and nothing that belongs to anybody."""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from segtriton_server.observability.logs import configure_logging
from segtriton_server.process_memory import keep_freed_blocks
from segtriton_server.vision.errors import VisionError
from segtriton_server.vision.networks import create_segmenter
from segtriton_server.vision.segmenter import Segmenter
from segtriton_server.workers.confined_segmenter import MAX_REASON_BYTES, READY
from segtriton_server.workers.confinement import confine
from segtriton_server.workers.landlock import restrict_files
from segtriton_server.workers.router_messages import read_settings

_LOG = logging.getLogger(__name__)
_FAILED = b""


class NetworkProcess:
    """Answers requests with masks until the other side has closed."""

    def __init__(self, pipe: Connection, segmenter: Segmenter) -> None:
        self._pipe = pipe
        self._segmenter = segmenter
        self._state: Any = None
        self._requests: queue.SimpleQueue[tuple[bytes, bytes]] = queue.SimpleQueue()

    def run(self) -> None:
        """Take requests; returns when there can be no more, even while the network is busy."""
        threading.Thread(target=self._answer, daemon=True).start()
        while True:
            try:
                self._requests.put((self._pipe.recv_bytes(), self._pipe.recv_bytes()))
            except (EOFError, OSError):
                return

    def _answer(self) -> None:
        while True:
            header, pictures = self._requests.get()
            try:
                answer = self._segment(json.loads(header), pictures)
            except Exception:  # noqa: BLE001 - the other side is told, and decides
                _LOG.exception("the network failed")
                answer = _FAILED
            self._pipe.send_bytes(answer)

    def _segment(self, header: dict[str, Any], pictures: bytes) -> bytes:
        if not header["goes_on"]:
            self._state = self._segmenter.start()
        inputs, at = [], 0
        for height, width, channels in header["shapes"]:
            size = height * width * channels
            inputs.append(np.frombuffer(pictures, np.uint8, size, at).reshape(height, width, channels))
            at += size
        classes = [frozenset(wanted) for wanted in header["classes"]]
        masks = self._segmenter.segment(inputs, classes, states=[self._state] * len(inputs))
        return b"".join(mask.tobytes() for mask in masks)


def main() -> None:
    """Load the network of the settings in confinement, and serve the pipe that the arguments name."""
    pipe, settings = Connection(int(sys.argv[1])), read_settings(sys.argv[2])
    configure_logging(settings)
    keep_freed_blocks()
    restrict_files(settings)
    confine(settings)
    try:
        segmenter = create_segmenter(settings.network, settings.networks, settings.network_threads, settings.batch_size)
    except (VisionError, MemoryError) as error:
        pipe.send_bytes(str(error).encode()[:MAX_REASON_BYTES])
        return
    pipe.send_bytes(READY)
    NetworkProcess(pipe, segmenter).run()
    os._exit(0)  # the network may be busy with what nobody waits for any more


if __name__ == "__main__":
    main()
