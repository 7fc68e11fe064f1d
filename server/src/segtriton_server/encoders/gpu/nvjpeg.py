"""nvJPEG's encoder through ctypes, as far as motion JPEG needs it; prototypes and numbers are those of CUDA 13.

nvJPEG brings its own CUDA runtime, which works in the context that torch made; streams and addresses are plain numbers.
Calls let other Python threads run. The handle may be shared between threads, parameters and states may not.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import threading
import weakref
from collections.abc import Iterator
from ctypes import POINTER, byref, c_int, c_size_t, c_void_p
from enum import IntEnum
from pathlib import Path

_CHROMA_420 = 2  # NVJPEG_CSS_420
_INPUT_RGBI = 5  # NVJPEG_INPUT_RGBI: interleaved
_SONAMES = ("libnvjpeg.so.13", "libnvjpeg.so.12")
_TOOLKIT = Path("/usr/local/cuda/lib64")

_log = logging.getLogger(__name__)


class NvjpegStatus(IntEnum):
    """What the library's functions return."""

    SUCCESS = 0
    NOT_INITIALIZED = 1
    INVALID_PARAMETER = 2
    BAD_JPEG = 3
    JPEG_NOT_SUPPORTED = 4
    ALLOCATOR_FAILURE = 5
    EXECUTION_FAILED = 6
    ARCH_MISMATCH = 7
    INTERNAL_ERROR = 8
    IMPLEMENTATION_NOT_SUPPORTED = 9
    INCOMPLETE_BITSTREAM = 10


class NvjpegError(RuntimeError):
    """A call failed with `status`, or there is no library (`status` is None)."""

    def __init__(self, message: str, status: int | None = None) -> None:
        """Take a sentence and what the library returned."""
        super().__init__(message)
        self.status = status


class NvjpegMemoryError(NvjpegError, MemoryError):
    """The GPU, or page-locked memory, is full."""


class _Image(ctypes.Structure):
    """`nvjpegImage_t`: addresses of planes on the device, and their rows' distances in bytes."""

    _fields_ = (("channel", c_void_p * 4), ("pitch", c_size_t * 4))


_PROTOTYPES = {
    "nvjpegCreateSimple": (POINTER(c_void_p),),
    "nvjpegEncoderStateCreate": (c_void_p, POINTER(c_void_p), c_void_p),
    "nvjpegEncoderStateDestroy": (c_void_p,),
    "nvjpegEncoderParamsCreate": (c_void_p, POINTER(c_void_p), c_void_p),
    "nvjpegEncoderParamsDestroy": (c_void_p,),
    "nvjpegEncoderParamsSetQuality": (c_void_p, c_int, c_void_p),
    "nvjpegEncoderParamsSetOptimizedHuffman": (c_void_p, c_int, c_void_p),
    "nvjpegEncoderParamsSetSamplingFactors": (c_void_p, c_int, c_void_p),
    "nvjpegEncodeYUV": (c_void_p, c_void_p, c_void_p, POINTER(_Image), c_int, c_int, c_int, c_void_p),
    "nvjpegEncodeImage": (c_void_p, c_void_p, c_void_p, POINTER(_Image), c_int, c_int, c_int, c_void_p),
    "nvjpegEncodeRetrieveBitstream": (c_void_p, c_void_p, c_void_p, POINTER(c_size_t), c_void_p),
}


class Nvjpeg:
    """The library and a handle of it, which lives as long as the process."""

    def __init__(self, library: ctypes.CDLL) -> None:
        """Make the handle; raises NvjpegError where the library lacks a function or finds no device."""
        self._library = library
        try:
            for name, argument_types in _PROTOTYPES.items():
                function = getattr(library, name)
                function.argtypes, function.restype = argument_types, c_int
        except AttributeError as error:
            raise NvjpegError(f"this nvJPEG is too old: {error}") from error
        self.handle = c_void_p()
        self.call("nvjpegCreateSimple", byref(self.handle))

    def call(self, name: str, *arguments: object) -> None:
        """Call a function by name.

        Raises:
            NvjpegMemoryError: there was no memory left.
            NvjpegError: it failed in another way.
        """
        status: int = getattr(self._library, name)(*arguments)
        if status == NvjpegStatus.SUCCESS:
            return
        known = NvjpegStatus(status).name if status in list(NvjpegStatus) else "unknown status"
        if status == NvjpegStatus.ALLOCATOR_FAILURE:
            raise NvjpegMemoryError(f"{name} failed: out of memory", status)
        raise NvjpegError(f"{name} failed: {known} ({status})", status)


_opening = threading.Lock()
_opened: list[Nvjpeg] = []


def open_nvjpeg() -> Nvjpeg:
    """Return the process's library and handle; the first call finds and opens them, raises NvjpegError if it cannot."""
    with _opening:
        if not _opened:
            _opened.append(Nvjpeg(_load_library()))
        return _opened[0]


class _Resource:
    """What the library makes by `nvjpegEncoder<kind>Create`; goes with the object at the latest."""

    def __init__(self, nvjpeg: Nvjpeg, kind: str, stream: int) -> None:
        self._nvjpeg = nvjpeg
        self._stream = stream
        self.pointer = c_void_p()
        nvjpeg.call(f"nvjpegEncoder{kind}Create", nvjpeg.handle, byref(self.pointer), stream)
        self._finalizer = weakref.finalize(self, _destroy, nvjpeg, f"nvjpegEncoder{kind}Destroy", self.pointer)
        self._finalizer.atexit = False  # CUDA may be gone by then, and takes everything with it

    def close(self) -> None:
        """Release it; may be called twice."""
        self._finalizer()


class JpegParameters(_Resource):
    """How pictures are coded: 4:2:0, baseline, fixed Huffman tables."""

    def __init__(self, nvjpeg: Nvjpeg, quality: int, stream: int) -> None:
        """Take a quality of 1 to 100 and the CUDA stream of all that uses them; raises NvjpegError."""
        super().__init__(nvjpeg, "Params", stream)
        nvjpeg.call("nvjpegEncoderParamsSetQuality", self.pointer, quality, stream)
        nvjpeg.call("nvjpegEncoderParamsSetSamplingFactors", self.pointer, _CHROMA_420, stream)
        # Tables made for each picture save a few per cent, for a second pass over it.
        nvjpeg.call("nvjpegEncoderParamsSetOptimizedHuffman", self.pointer, 0, stream)


class JpegState(_Resource):
    """Holds one picture while it is coded and until it is fetched: start, measure, fetch.

    Each step only counts as done once the stream was waited for, and the next step needs that.
    All calls raise NvjpegError where they fail.
    """

    def __init__(self, nvjpeg: Nvjpeg, stream: int) -> None:
        """Take the CUDA stream of all steps."""
        super().__init__(nvjpeg, "State", stream)
        self._length = c_size_t()

    @property
    def length(self) -> int:
        """Size of the JPEG in bytes, once measured."""
        return self._length.value

    def start_yuv420(self, parameters: JpegParameters, address: int, height: int, width: int) -> None:
        """Code planes Y, Cb, Cr that lie one after another on the device, full range BT.601; sides are even."""
        luma, chroma = height * width, height * width // 4
        image = _Image()
        image.channel[:3] = address, address + luma, address + luma + chroma
        image.pitch[:3] = width, width // 2, width // 2
        self._start("nvjpegEncodeYUV", parameters, image, _CHROMA_420, height, width)

    def start_rgb(self, parameters: JpegParameters, address: int, height: int, width: int) -> None:
        """Code packed RGB [height, width, 3] that lies on the device; sides may be odd."""
        image = _Image()
        image.channel[0], image.pitch[0] = address, 3 * width
        self._start("nvjpegEncodeImage", parameters, image, _INPUT_RGBI, height, width)

    def measure(self) -> None:
        """Ask for the JPEG's length."""
        self._retrieve(None)

    def fetch(self, address: int) -> None:
        """Copy the JPEG to the host's memory, where `length` bytes are free."""
        self._retrieve(address)

    def _start(
        self, name: str, parameters: JpegParameters, image: _Image, layout: int, height: int, width: int
    ) -> None:
        target = self._nvjpeg.handle, self.pointer, parameters.pointer
        self._nvjpeg.call(name, *target, byref(image), layout, width, height, self._stream)

    def _retrieve(self, address: int | None) -> None:
        target = self._nvjpeg.handle, self.pointer, address
        self._nvjpeg.call("nvjpegEncodeRetrieveBitstream", *target, byref(self._length), self._stream)


def _destroy(nvjpeg: Nvjpeg, name: str, pointer: c_void_p) -> None:
    try:
        nvjpeg.call(name, pointer)
    except NvjpegError as error:  # who closes has nothing left to do about it
        _log.warning("%s", error)


def _load_library() -> ctypes.CDLL:
    for place in _places():
        try:
            return ctypes.CDLL(place)
        except OSError as error:
            _log.debug("no nvJPEG at %s: %s", place, error)
    raise NvjpegError("nvJPEG's library was not found, neither torchvision's nor CUDA's own")


def _places() -> Iterator[str]:
    """Where the library may be; torchvision's first, which fits the CUDA that torch was built for."""
    for folder in _package_folders("torchvision"):
        yield from map(str, sorted((folder.parent / "torchvision.libs").glob("libnvjpeg*.so*")))
    for folder in _package_folders("nvidia"):
        for name in ("cu13", "nvjpeg"):
            yield from (str(folder / name / "lib" / soname) for soname in _SONAMES)
    yield from _SONAMES
    yield from (str(_TOOLKIT / soname) for soname in _SONAMES)


def _package_folders(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    return [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
