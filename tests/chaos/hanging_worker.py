"""A worker in which one call never returns, fails or turns hostile, for clips of one width.

Run in place of Python (setting `python`):

hanging_worker.py STAGE HOW -m segtriton_server.workers.worker_process ARGUMENTS...
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from segtriton_server.encoders.libav_encoder import X264Encoder
from segtriton_server.media.libav_decoder import LibavDecoder
from segtriton_server.vision.compositor import LayerCompositor
from segtriton_server.vision.networks.selfie import SelfieSegmenter
from segtriton_server.workers import worker_process

VICTIMS_WIDTH = 176
STAGES: dict[str, tuple[type, str]] = {
    "opening": (LibavDecoder, "__init__"),
    "decode": (LibavDecoder, "decode"),
    "the decoder's end": (LibavDecoder, "flush"),
    "preprocess": (SelfieSegmenter, "preprocess"),
    "network": (SelfieSegmenter, "segment"),
    "compose": (LayerCompositor, "compose"),
    "encode": (X264Encoder, "encode"),
    "the encoder's end": (X264Encoder, "flush"),
}
HOW: dict[str, Callable[[], object]] = {
    "sleeping": lambda: time.sleep(3600),
    # As a library does that is called without letting other threads of the interpreter run.
    "holding the interpreter": lambda: ctypes.PyDLL(None).sleep(3600),
    "failing": lambda: _fail(),
    "breaking in": lambda: _break_in(),
}


def _fail() -> None:
    raise RuntimeError("/root/secret.py, line 1: /dev/shm/triton_python_backend_shm_region_1")


def _break_in() -> None:
    """Ends the process where anything succeeds."""
    acts: tuple[Callable[[], object], ...] = (
        lambda: Path(os.environ["SECRET_FILE"]).read_bytes(),
        lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY),
        lambda: list(Path("/dev/shm").iterdir()),
        lambda: Path("/tmp/segtriton-break-in").write_bytes(b""),
        lambda: socket.socket(),
        lambda: os.kill(os.getppid(), signal.SIGCONT),
        lambda: os.fork(),
    )
    for act in acts:
        try:
            act()
        except PermissionError:
            continue
        os._exit(1)


def hang_in(stage: str, how: str) -> None:
    """Let the stage hang once a victim's session is there."""
    has_victim: list[bool] = []
    open_decoder = LibavDecoder.__init__

    def notice(self: Any, video: Any, *arguments: Any, **options: Any) -> None:
        if video.width == VICTIMS_WIDTH:
            has_victim.append(True)
        open_decoder(self, video, *arguments, **options)

    LibavDecoder.__init__ = notice  # type: ignore[method-assign]
    owner, name = STAGES[stage]
    call = getattr(owner, name)

    def hanging(self: Any, *arguments: Any, **options: Any) -> Any:
        if has_victim or (arguments and getattr(arguments[0], "width", 0) == VICTIMS_WIDTH):
            HOW[how]()
        return call(self, *arguments, **options)

    setattr(owner, name, hanging)


if __name__ == "__main__":
    hang_in(sys.argv[1], sys.argv[2])
    sys.argv = sys.argv[4:]
    worker_process.main()
