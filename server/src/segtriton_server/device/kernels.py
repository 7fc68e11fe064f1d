"""Kernels of our own, compiled for the device at start."""

from __future__ import annotations

import ctypes
import hashlib
import threading
from pathlib import Path

import torch
from cuda.core import Device, Kernel, LaunchConfig, ObjectCode, Program, ProgramOptions, Stream, launch

from segtriton_server.device.compile_cache import write_whole

_BLOCK = (32, 8, 1)
_NVRTC_OPTIONS = ("c++17", "lineinfo")


class KernelModule:
    """The kernels of one CUDA source file; a thread makes one cell of an output [n, rows, columns].

    The compiled form is kept in a folder, so that the other workers and the next start need no compiler's time.
    """

    def __init__(self, source: Path, compile_cache: Path | None) -> None:
        """Compile, or load what was compiled before for this source and device."""
        self._code = _load(source.read_text(encoding="utf-8"), compile_cache)
        self._kernels: dict[str, Kernel] = {}
        self._local = threading.local()

    def launch(
        self, name: str, cells: tuple[int, int, int], *arguments: torch.Tensor | ctypes.c_int | ctypes.c_float | int
    ) -> None:
        """Run a kernel on the current stream, one thread for each of `cells` (n, rows, columns).

        Args:
            name: the kernel's name in the source.
            cells: the outermost is the picture.
            arguments: tensors are passed by address, integers as 64 bits, the rest by its own type.
        """
        kernel = self._kernels.get(name)
        if kernel is None:
            kernel = self._kernels[name] = self._code.get_kernel(name)
        count, rows, columns = cells
        grid = -(-columns // _BLOCK[0]), -(-rows // _BLOCK[1]), count
        values = [argument.data_ptr() if isinstance(argument, torch.Tensor) else argument for argument in arguments]
        launch(self._stream(), LaunchConfig(grid=grid, block=_BLOCK), kernel, *values)

    def _stream(self) -> Stream:
        handle = torch.cuda.current_stream().cuda_stream
        streams: dict[int, Stream] | None = getattr(self._local, "streams", None)
        if streams is None:
            # A thread's first launch: torch makes the device's context current only when it needs it itself.
            Device(torch.cuda.current_device()).set_current()
            streams = self._local.streams = {}
        if handle not in streams:
            streams[handle] = Stream.from_handle(handle)
        return streams[handle]


def _load(source: str, compile_cache: Path | None) -> ObjectCode:
    major, minor = torch.cuda.get_device_capability()
    arch = f"sm_{major}{minor}"
    key = hashlib.sha256(f"{torch.version.cuda} {arch} {_NVRTC_OPTIONS} {source}".encode()).hexdigest()[:24]
    kept = compile_cache / f"kernels-{key}.cubin" if compile_cache else None
    if kept is not None and kept.is_file():
        return ObjectCode.from_cubin(kept.read_bytes())
    code = Program(source, "c++", ProgramOptions(arch=arch, std="c++17", lineinfo=True)).compile("cubin")
    if kept is not None:
        write_whole(kept, bytes(code.code))
    return code
