"""A worker in which one call never returns, fails or turns hostile, for clips of one width.

Run in place of Python (setting `python`), FOLDER being where secrets lie:

hanging_worker.py STAGE HOW FOLDER -m segtriton_server.workers.worker_process ARGUMENTS...
"""

from __future__ import annotations

import ctypes
import json
import math
import mmap
import os
import struct
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "fakes"))

import break_in

from segtriton_protocol import VideoFormat
from segtriton_server.encoders.libav_encoder import X264Encoder
from segtriton_server.media.libav_decoder import LibavDecoder
from segtriton_server.vision.compositor import LayerCompositor
from segtriton_server.vision.networks.selfie import SelfieSegmenter
from segtriton_server.workers import channel, worker_process
from segtriton_server.workers.channel import ChannelMessage
from segtriton_server.workers.worker_process import WorkerProcess

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
    "hostile": lambda: _be_hostile(),
}


def _fail() -> None:
    raise RuntimeError("/root/secret.py, line 1: /dev/shm/triton_python_backend_shm_region_1")


# ---------------------------------------------------------------- a decoder that was taken over

BREAK_IN_REPORT = "what was refused: "
SECRET = "planted-secret"
SECRET_FILE = "key.pem"
_FOLDER = "."
_CHUNK = 64 << 20
_attempted: list[bool] = []


def _break_in() -> None:
    """Try all acts once, and report in the log those that were refused, and what secrets were handed over."""
    if _attempted:
        return
    _attempted.append(True)
    acts = {
        **break_in.SYSTEM_CALLS,
        **break_in.KERNEL,
        **break_in.FILES_TO_READ,
        "a key": lambda: os.open(f"{_FOLDER}/{SECRET_FILE}", os.O_RDONLY),
    }
    told = [text for text in (*os.environ.values(), *sys.argv) if SECRET in text]
    report = {"refused": break_in.refused(acts), "told": told}
    sys.stderr.write(BREAK_IN_REPORT + json.dumps(report) + "\n")


def _write(kind: str, body: dict[str, Any], *, of_session: bool = False) -> None:
    session_id = next(iter(_worker()._pipelines)) if of_session else ""
    _worker()._outbox.put(ChannelMessage(kind, session_id, body).pack())


_RESULTS_HEAD = "=B32s4I"
_NO_STAGES = bytes(12 * len(channel.STAGES))


def _write_results(
    drops: int = 0, skipped: int = 0, damaged: int = 0, *, stages: bytes = _NO_STAGES, rest: bytes = b""
) -> None:
    """Results of no coded frame, with so many drops and skipped numbers, which `rest` holds."""
    session_id = next(iter(_worker()._pipelines)).encode()
    content = struct.pack(_RESULTS_HEAD, 2, session_id, 0, drops, skipped, damaged) + stages + rest
    _worker()._outbox.put(struct.pack("=I", len(content)) + content)


def _write_raw(content: bytes) -> None:
    os.write(_worker()._channel.fileno(), content)


def _write_without_end() -> None:
    for _ in range(200_000):
        _write_results()


def _start_threads() -> None:
    threading.stack_size(64 << 10)
    for _ in range(4000):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


def _hide_memory() -> None:
    """Write to memory and make it read-only then: RLIMIT_DATA counts it no more."""
    for _ in range(24):
        memory = mmap.mmap(-1, _CHUNK, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.write(b"x" * _CHUNK)
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        ctypes.CDLL(None).mprotect(ctypes.c_size_t(address), ctypes.c_size_t(_CHUNK), mmap.PROT_READ)
        _hidden.append(memory)


_hidden: list[mmap.mmap] = []
_started: list[WorkerProcess] = []
_victims: list[VideoFormat] = []


def _worker() -> WorkerProcess:
    return _started[0]


HOSTILE: dict[str, Callable[[], object]] = {
    "a text for a number": lambda: _write("beat", {"busy_seconds": "x", "batches": []}),
    "no time that there is": lambda: _write("beat", {"busy_seconds": math.nan, "batches": []}),
    "a kind that there is not": lambda: _write("migrate", {}),
    "a stage that took for ever": lambda: _write_results(stages=struct.pack("=Id", 1, math.inf) + _NO_STAGES[12:]),
    "endless damage": lambda: _write_results(damaged=2**32 - 1),
    "a number beyond all packets": lambda: _write_results(skipped=1, rest=struct.pack("=q", -1)),
    "a reason that there is not": lambda: _write_results(drops=1, rest=struct.pack("=qB", 0, 255)),
    "an error that there is not": lambda: _write("failed", {"code": "INVENTED", "message": ""}, of_session=True),
    "a line of the log": lambda: _write("opened", {"network": "x\nERROR forged"}, of_session=True),
    "what cannot be read": lambda: _write_raw(struct.pack("=IBIII", 13, 2, 1 << 31, 1 << 31, 0)),
    "a message without end": lambda: _write_raw(struct.pack("=I", 1 << 30)),
    "messages without end": _write_without_end,
    "threads without end": _start_threads,
    "memory that is not counted": _hide_memory,
}
"""What ends the worker that does it, and nothing else. It does no harm by itself, and goes on as if nothing were."""


def frame_rate_of(act: str) -> Fraction:
    """The frame rate of a victim for which a worker does this act."""
    return Fraction(1 + list(HOSTILE).index(act))


def _be_hostile() -> None:
    (act,) = (act for act in HOSTILE if frame_rate_of(act) == _victims[0].frame_rate)
    HOSTILE[act]()
    time.sleep(3600)


def make_python(folder: Path, stage: str, how: str) -> Path:
    """Return what takes the place of the workers' Python; it tries to read what lies in the folder."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "{stage}" "{how}" "{folder}" "$@"\n')
    python.chmod(0o755)
    return python


def hang_in(stage: str, how: str) -> None:
    """Let the stage hang once a victim's session is there."""
    open_decoder = LibavDecoder.__init__

    def notice(self: Any, video: Any, *arguments: Any, **options: Any) -> None:
        if video.width == VICTIMS_WIDTH:
            _victims.append(video)
        open_decoder(self, video, *arguments, **options)

    LibavDecoder.__init__ = notice  # type: ignore[method-assign]
    owner, name = STAGES[stage]
    call = getattr(owner, name)

    def hanging(self: Any, *arguments: Any, **options: Any) -> Any:
        if _victims or (arguments and getattr(arguments[0], "width", 0) == VICTIMS_WIDTH):
            HOW[how]()
        return call(self, *arguments, **options)

    setattr(owner, name, hanging)
    run = WorkerProcess.run

    def run_noticed(self: WorkerProcess) -> None:
        _started.append(self)
        run(self)

    WorkerProcess.run = run_noticed  # type: ignore[method-assign]


if __name__ == "__main__":
    _FOLDER = sys.argv[3]
    hang_in(sys.argv[1], sys.argv[2])
    sys.argv = sys.argv[5:]
    worker_process.main()
