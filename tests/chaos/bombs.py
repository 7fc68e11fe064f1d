"""Streams whose headers name pictures of 16384 x 16384 pixels, while OPEN says that they are small; and large ones."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from raw_client import Clip

from segtriton_protocol import Framing, Packet, VideoFormat

_SIDE = 16384
_SMALL = (64, 48)
_START = b"\0\0\0\1"


@dataclass(frozen=True)
class Bomb:
    name: str
    video: VideoFormat
    packets: tuple[Packet, ...]


def _bomb(name: str, codec: str, framing: Framing, payload: bytes, extradata: bytes = b"") -> Bomb:
    video = VideoFormat(codec, *_SMALL, Fraction(1, 25), framing, extradata)
    return Bomb(name, video, tuple(Packet(seq, seq, seq, 1, True, payload) for seq in range(4)))


class _Bits:
    """Writes the fields of ITU-T H.264, 7.3: u(n) and ue(v)."""

    def __init__(self) -> None:
        self._text = ""

    def u(self, count: int, value: int) -> _Bits:
        self._text += f"{value:0{count}b}"
        return self

    def ue(self, value: int) -> _Bits:
        digits = f"{value + 1:b}"
        self._text += "0" * (len(digits) - 1) + digits
        return self

    def end(self) -> bytes:
        text = self._text + "1"
        text += "0" * (-len(text) % 8)
        content = int(text, 2).to_bytes(len(text) // 8, "big")
        for pattern in (b"\0\0\0", b"\0\0\1", b"\0\0\2"):
            content = content.replace(pattern, b"\0\0\3" + pattern[2:])
        return content


def _h264_headers() -> bytes:
    sps = _Bits().u(8, 66).u(8, 0).u(8, 62).ue(0).ue(0).ue(2).ue(16).u(1, 0)
    sps = sps.ue(_SIDE // 16 - 1).ue(_SIDE // 16 - 1).u(1, 1).u(1, 1).u(1, 0).u(1, 0)
    pps = (
        _Bits().ue(0).ue(0).u(1, 0).u(1, 0).ue(0).ue(0).ue(0).u(1, 0).u(2, 0).ue(0).ue(0).ue(0).u(1, 0).u(1, 0).u(1, 0)
    )
    return _START + b"\x67" + sps.end() + _START + b"\x68" + pps.end()


def _h264_slice() -> bytes:
    # first_mb, slice_type I, pps, frame_num, idr_pic_id, two flags of dec_ref_pic_marking, slice_qp_delta
    return _START + b"\x65" + _Bits().ue(0).ue(7).ue(0).u(4, 0).ue(0).u(2, 0).ue(0).u(32, 0).end() + bytes(64)


def large_clip() -> Clip:
    """What is as large as it says: keyframes of 3840x2160, all grey."""
    size = (3840, 2160)
    payload = _coded("libx264", size)
    video = VideoFormat("h264", *size, Fraction(1, 25), Framing.ANNEX_B)
    return Clip(video, tuple(Packet(seq, seq, seq, 1, True, payload) for seq in range(12)))


def _coded(codec: str, size: tuple[int, int] = _SMALL) -> bytes:
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    encoder.time_base = Fraction(1, 25)
    grey = np.full((size[1] * 3 // 2, size[0]), 128, np.uint8)
    frame = av.VideoFrame.from_ndarray(grey, "yuv420p").reformat(format=encoder.pix_fmt)
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*encoder.encode(frame), *encoder.encode(None)])


def _mjpeg() -> bytes:
    payload = bytearray(_coded("mjpeg"))
    place = payload.index(b"\xff\xc0") + 5
    payload[place : place + 4] = _SIDE.to_bytes(2, "big") * 2
    return bytes(payload)


def _vp8() -> bytes:
    payload = bytearray(_coded("libvpx"))
    place = payload.index(b"\x9d\x01\x2a") + 3
    payload[place : place + 4] = (_SIDE - 1).to_bytes(2, "little") * 2
    return bytes(payload)


BOMBS = (
    _bomb("h264 in the stream", "h264", Framing.ANNEX_B, _h264_headers() + _h264_slice()),
    _bomb("h264 in the header", "h264", Framing.ANNEX_B, _h264_slice(), _h264_headers()),
    _bomb("mjpeg", "mjpeg", Framing.RAW, _mjpeg()),
    _bomb("vp8", "vp8", Framing.RAW, _vp8()),
)
