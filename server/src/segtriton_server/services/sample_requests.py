"""Reads the requests of the CV-CUDA Triton sample's streamed contract.

The request id is `videoid_packetnumber`. The first packet brings META0 (batch, width, height,
fps, total frames, pixel format, codec, colour space, colour range); each packet brings META1
(key, pts, dts) and META2 (position, stream length, duration). Packets are Annex B.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from segtriton_protocol import ColorTags, ErrorCode, Framing, Open, OutputSpec, Packet, SegtritonError, VideoFormat
from segtriton_protocol import tensors as specs
from segtriton_protocol.formats import MAX_DIMENSION, MAX_FRAME_RATE
from segtriton_protocol.packets import MAX_TIME, NO_TIMESTAMP, check_packet_numbers
from segtriton_protocol.tensors import Tensors

# cudaVideoCodec
_CODECS = {1: "mpeg2video", 2: "mpeg4", 4: "h264", 5: "mjpeg", 8: "hevc", 9: "vp8", 10: "vp9", 11: "av1"}
_MATRICES = {0: 6, 1: 1}  # BT.601, BT.709 as H.273 code points
_UNSPECIFIED = 2
_FULL_RANGE = 1
# The contract has no time base; its pts come back unchanged whatever is taken.
_TIME_BASE = Fraction(1, 90_000)
# As many digits as any packet number that is taken can have.
_REQUEST_ID = re.compile(r"(.+)_([0-9]{1,18})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """One request: the client's name of the video, OPEN with the first packet, a packet, the mark of the end."""

    video_id: str
    open: Open | None
    packet: Packet | None
    is_last: bool


def read_sample_request(request_id: str, tensors: Tensors) -> SampleRequest:
    """Return what a request of the sample's contract says.

    Raises:
        SegtritonError: INVALID_MESSAGE, INVALID_PACKET or UNSUPPORTED_FORMAT.
    """
    matched = _REQUEST_ID.fullmatch(request_id)
    if matched is None:
        raise SegtritonError(
            ErrorCode.INVALID_MESSAGE,
            f"The request id must be videoid_packetnumber, not {request_id!r:.80}, "
            f"or the request must carry the parameter {specs.PARAMETER_PROTOCOL}.",
        )
    for spec in specs.STREAMING.inputs:
        if spec.name in tensors:
            spec.check(tensors[spec.name])
    number = int(matched[2])
    payload = tensors[specs.PACKET_IN.name].tobytes() if specs.PACKET_IN.name in tensors else b""
    return SampleRequest(
        video_id=matched[1],
        open=_open(number, tensors) if _flag(tensors, specs.FIRST_PACKET) else None,
        packet=_packet(number, payload, tensors) if payload else None,
        is_last=_flag(tensors, specs.LAST_PACKET),
    )


def _open(number: int, tensors: Tensors) -> Open:
    meta = tensors.get(specs.META0.name)
    if meta is None:
        raise SegtritonError(ErrorCode.INVALID_MESSAGE, "The first packet must bring META0.")
    _, width, height, fps, _, _, codec, matrix, color_range = map(int, meta)
    if codec not in _CODECS or not 0 < min(width, height) <= max(width, height) <= MAX_DIMENSION:
        raise SegtritonError(ErrorCode.UNSUPPORTED_FORMAT, f"META0 names codec {codec} and the size {width}x{height}.")
    if fps > MAX_FRAME_RATE:
        raise SegtritonError(
            ErrorCode.INVALID_MESSAGE, f"META0 names {fps} frames a second; at most {MAX_FRAME_RATE} are taken."
        )
    return Open(
        video=VideoFormat(
            codec=_CODECS[codec],
            width=width,
            height=height,
            time_base=_TIME_BASE,
            framing=Framing.ANNEX_B,
            frame_rate=Fraction(fps) if fps > 0 else None,
            color=ColorTags(matrix=_MATRICES.get(matrix, _UNSPECIFIED), full_range=color_range == _FULL_RANGE),
        ),
        output=OutputSpec(encoder="h264"),
        first_seq=number,
    )


def _packet(number: int, payload: bytes, tensors: Tensors) -> Packet:
    is_key, *timestamps = map(int, tensors.get(specs.META1.name, np.array([number == 0, number, number])))
    pts, dts = (None if time == NO_TIMESTAMP else time for time in timestamps)
    meta2 = tensors.get(specs.META2.name)
    duration = 0 if meta2 is None else int(meta2[2])
    if duration > MAX_TIME:  # a negative one, as the contract's numbers have no sign
        duration = 0
    check_packet_numbers(number, duration, *(time for time in (pts, dts) if time is not None))
    return Packet(number, pts, dts, duration, bool(is_key) or number == 0, payload)


def _flag(tensors: Tensors, spec: specs.TensorSpec) -> bool:
    tensor = tensors.get(spec.name)
    return tensor is not None and bool(tensor.any())
