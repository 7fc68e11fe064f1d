"""H.264 by the GPU's own encoder, through PyNvVideoCodec."""

from __future__ import annotations

import functools
import importlib
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any, NamedTuple, cast

import torch

from segtriton_protocol import ColorTags, OutputSpec
from segtriton_server.device.pictures import DeviceMasks, DevicePictures, nv12_planes, record_event
from segtriton_server.encoders.encoder import Canvas, EncodedFrame, EncoderSetup, FrameTag
from segtriton_server.encoders.gpu.canvases import nv12_canvas

_KEYFRAME_SECONDS = 2
_IDR = 3  # NV_ENC_PIC_TYPE_IDR
_MAX_QP = 51
# x264 codes intra pictures about this much finer than the quality asked for.
_INTRA_QP_GAIN = 3
_PRESETS = {"ultrafast": "P1", "superfast": "P2", "veryfast": "P3", "faster": "P4", "fast": "P5", "medium": "P6"}
_SLOWEST_PRESET = "P7"
_PROBE_SIZE_HW = (256, 256)
_PROBE_FRAMES = 2

_log = logging.getLogger(__name__)


class NvencUnavailableError(RuntimeError):
    """This GPU, driver or installation does not encode such pictures."""


class _Waiting(NamedTuple):
    tag: FrameTag
    memory: torch.Tensor  # NVENC may still read it


class NvencEncoder:
    """H.264 in Annex B without B-frames; the parameter sets are in `extradata` and in the first packet.

    NVENC holds a few frames back; packets are matched with their frames by timestamp.
    """

    name = "h264_nvenc"
    codec = "h264"
    pixel_format = "yuv420p"
    takes_mask = False

    def __init__(self, setup: EncoderSetup, stream: torch.cuda.Stream) -> None:
        """Open an encoder for a session whose pictures are drawn on `stream`.

        Raises:
            NvencUnavailableError: there is no NVENC, or not for this size, or not for one more session.
        """
        self.size_hw = setup.size_hw
        self._stream = stream
        self._waiting: dict[int, _Waiting] = {}
        self._count = 0
        self._library = _load_library()
        height, width = setup.size_hw
        try:
            self._encoder = self._library.CreateEncoder(width, height, "NV12", False, **_options(setup, stream))
            self.extradata = bytes(self._encoder.GetSequenceParams())
        except _errors(self._library) as error:
            raise NvencUnavailableError(_first_line(error)) from error

    def canvas(self, like: DevicePictures) -> Canvas:
        """Return NV12 pictures to draw on; raises TypeError where `like` is RGB."""
        return nv12_canvas(like, self.size_hw, self._stream)

    def encode(self, canvas: Canvas, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        """Take the drawn pictures, one tag each; return what is ready."""
        cast(DevicePictures, canvas.pictures).wait(self._stream)
        # NVENC is no part of the GPU's cores: what it reads must be there.
        record_event(self._stream).synchronize()
        encoded: list[EncodedFrame] = []
        for picture, tag in zip(cast(torch.Tensor, canvas.owner), tags, strict=True):
            encoded += self._encode_picture(picture, tag)
        return encoded

    def encode_masks(self, masks: DeviceMasks, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        """Refuse: this encoder codes pictures."""
        raise TypeError("a picture encoder takes no bare mask")

    def flush(self) -> list[EncodedFrame]:
        """Return what is left at the end; no picture may follow."""
        return self._take(self._encoder.EndEncode()) if self._waiting else []

    def close(self) -> None:
        """Release the encoder, and with it one of the few sessions that consumer GPUs allow."""
        self._encoder = None
        self._waiting.clear()

    def _encode_picture(self, picture: torch.Tensor, tag: FrameTag) -> list[EncodedFrame]:
        parameters = self._library.NV_ENC_PIC_PARAMS()
        # The session's own timestamps may be absent or repeat.
        parameters.inputTimeStamp = self._count
        self._waiting[self._count] = _Waiting(tag, picture)
        self._count += 1
        return self._take(self._encoder.Encode(_Nv12Surface(picture, *self.size_hw), parameters))

    def _take(self, packets: Sequence[Mapping[str, Any]]) -> list[EncodedFrame]:
        encoded = []
        for packet in packets:
            number = int(packet["timestamp"])
            waiting = self._waiting.pop(number, None)
            if waiting is None:
                raise RuntimeError(f"NVENC returned a packet for picture {number}, which does not wait for one")
            encoded.append(EncodedFrame(waiting.tag, bytes(packet["data"]), int(packet["picture_type"]) == _IDR))
        return encoded


class _Nv12Surface:
    """A picture [3 * H / 2, W] in the form that PyNvVideoCodec takes: `cuda()` gives the two planes."""

    def __init__(self, picture: torch.Tensor, height: int, width: int) -> None:
        planes = nv12_planes(picture.unsqueeze(0), height, width)
        self._planes = [_PlaneInterface(plane[0]) for plane in planes]

    def cuda(self) -> list[_PlaneInterface]:
        return self._planes


class _PlaneInterface:
    """A packed plane [rows, columns, bytes] as a CUDA array; PyNvVideoCodec insists on strides that say so."""

    def __init__(self, plane: torch.Tensor) -> None:
        rows, columns, channels = plane.shape
        self.__cuda_array_interface__ = {
            "shape": (rows, columns, channels),
            "strides": (columns * channels, channels, 1),
            "data": (plane.data_ptr(), False),
            "typestr": "|u1",
            "version": 3,
        }


@functools.cache
def probe_nvenc() -> str | None:
    """Encode two small pictures, once a process; return None where that works, else the reason in one line."""
    # Where it fails, PyNvVideoCodec leaves another CUDA context behind as the current one of the thread.
    with ThreadPoolExecutor(max_workers=1) as apart:
        reason = apart.submit(_try_nvenc).result()
    if reason is not None:
        _log.info("NVENC does not work: %s", reason)
    return reason


def _try_nvenc() -> str | None:
    try:
        count = _encode_probe()
    except NvencUnavailableError as error:
        return str(error)
    return None if count == _PROBE_FRAMES else f"NVENC returned {count} of {_PROBE_FRAMES} pictures"


def _encode_probe() -> int:
    setup = EncoderSetup(
        size_hw=_PROBE_SIZE_HW,
        mask_hw=_PROBE_SIZE_HW,
        time_base=Fraction(1, 25),
        frame_rate=Fraction(25),
        color=ColorTags(),
        output=OutputSpec(),
        num_threads=1,
        low_delay=True,
    )
    stream = torch.cuda.Stream()
    encoder = NvencEncoder(setup, stream)
    try:
        height, width = _PROBE_SIZE_HW
        with torch.cuda.stream(stream):
            buffer = torch.zeros((_PROBE_FRAMES, 3 * height // 2, width), dtype=torch.uint8, device="cuda")
        canvas = Canvas(DevicePictures(nv12_planes(buffer, height, width)), buffer)
        tags = [FrameTag(number, number, 1) for number in range(_PROBE_FRAMES)]
        encoded = encoder.encode(canvas, tags) + encoder.flush()
    except _errors(_load_library()) as error:
        raise NvencUnavailableError(_first_line(error)) from error
    finally:
        encoder.close()
    return sum(1 for frame in encoded if frame.payload)


def _options(setup: EncoderSetup, stream: torch.cuda.Stream) -> dict[str, Any]:
    """What `CreateEncoder` takes; it ignores names that it does not know."""
    frame_rate = setup.frame_rate or Fraction(25)
    qp = min(_MAX_QP, setup.output.crf)
    return {
        "codec": "h264",
        "preset": _PRESETS.get(setup.output.preset, _SLOWEST_PRESET),
        "tuning_info": "low_latency",
        "bf": 0,
        # The mode with a target quality ("cq") lets the driver cap the bit rate as it likes.
        "rc": "constqp",
        "constqp": f"{qp},{qp},{max(0, qp - _INTRA_QP_GAIN)}",  # P, B, I
        "fps": f"{float(frame_rate):.2f}",
        "gop": max(1, round(_KEYFRAME_SECONDS * frame_rate)),
        "repeatspspps": 0,
        "gpu_id": stream.device_index,
        "cudastream": stream.cuda_stream,
    }


def _load_library() -> Any:
    try:
        return importlib.import_module("PyNvVideoCodec")
    except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: no driver, or one that is too old
        raise NvencUnavailableError(_first_line(error)) from error


def _errors(library: Any) -> tuple[type[Exception], ...]:
    return library.PyNvVCException, library.PyNvVCExceptionUnsupported, RuntimeError, ValueError


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
