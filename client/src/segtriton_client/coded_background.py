"""A background as it goes to the server: fitted to the pictures that it stands behind, and coded."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
from av.video.codeccontext import VideoCodecContext

from segtriton_client.background import Background
from segtriton_client.pictures import PictureReader
from segtriton_protocol import (
    BACKGROUND_MEMORY_BYTES,
    MAX_BACKGROUND_BYTES,
    Framing,
    Packet,
    VideoFormat,
)
from segtriton_protocol import Background as CodedBackground
from segtriton_protocol.packets import MAX_PACKETS, PacketBlock

_TIME_BASE = Fraction(1, 90_000)
# It is coded again with the subject before it, so that little may be lost here.
_OPTIONS = {"preset": "veryfast", "crf": "12", "bf": "0"}


def code_background(path: Path, video: VideoFormat) -> CodedBackground | None:
    """Return a picture or video as the server takes it behind a video; None where it is too large for that.

    Raises:
        InputError: it cannot be read.
    """
    size_hw = video.height, video.width
    most_pictures = min(MAX_PACKETS, BACKGROUND_MEMORY_BYTES * 2 // (3 * video.width * video.height))
    encoder = _open_encoder(video)
    pictures = PictureReader(video)
    packets: list[Packet] = []
    ends: list[int] = []
    for rgb, begin, end in Background(path, video).once(size_hw):
        if len(ends) >= most_pictures:
            return None
        frame = pictures.to_yuv(rgb, str(encoder.pix_fmt))
        frame.pts, frame.time_base = int(begin / _TIME_BASE), _TIME_BASE
        ends.append(int((end or begin) / _TIME_BASE))
        packets += _packets(encoder.encode(frame), packets, ends)
    packets += _packets(encoder.encode(None), packets, ends)
    if sum(len(packet.payload) for packet in packets) > MAX_BACKGROUND_BYTES:
        return None
    described = VideoFormat(
        "h264", video.width, video.height, _TIME_BASE, Framing.ANNEX_B, color=video.color, reorder_frames=0
    )
    return CodedBackground(described, PacketBlock.pack(packets))


def _open_encoder(video: VideoFormat) -> VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height = video.width, video.height
    is_even = video.width % 2 == 0 and video.height % 2 == 0
    encoder.pix_fmt = "yuv420p" if is_even else "yuv444p"
    encoder.time_base = _TIME_BASE
    encoder.options = _OPTIONS
    return encoder


def _packets(coded: list[av.Packet[av.VideoStream]], before: list[Packet], ends: list[int]) -> list[Packet]:
    """Number what was coded after other packets; without B-frames, each lasts until the end of its own picture."""
    numbered = []
    for seq, packet in enumerate(coded, len(before)):
        pts = packet.pts or 0
        numbered.append(Packet(seq, pts, pts, ends[seq] - pts, packet.is_keyframe, bytes(packet)))
    return numbered
