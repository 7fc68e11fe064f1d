"""The client's own copy of the pictures whose packets it has sent."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import av
import av.error
from av.video.codeccontext import VideoCodecContext

from segtriton_client.errors import IntegrityError
from segtriton_client.pictures import PictureReader, RgbPicture
from segtriton_protocol import Packet, VideoFormat

_DECODERS = {"av1": "libdav1d"}  # FFmpeg's own only drives hardware


class LocalFrames:
    """Decodes packets when their pictures are asked for; what waits is bounded by the session's credit.

    Packets are added by the sender and pictures taken by the receiver, in different threads.
    """

    def __init__(self, video: VideoFormat, *, deinterlace: bool) -> None:
        self._pictures = PictureReader(video, deinterlace=deinterlace)
        self._context = cast(VideoCodecContext, av.CodecContext.create(_DECODERS.get(video.codec, video.codec), "r"))
        self._context.extradata = video.extradata or None
        self._context.reorder_depth = video.reorder_frames or 0
        self._packets: deque[Packet] = deque()
        self._lock = threading.Lock()
        self._ready: dict[int, av.VideoFrame] = {}

    def add(self, packets: Sequence[Packet]) -> None:
        """Keep packets that are about to be sent."""
        with self._lock:
            self._packets.extend(packets)

    def take(self, seq: int) -> RgbPicture:
        """Return the picture of a packet, UINT8 [height, width, 3], and forget those before it; IntegrityError."""
        while seq not in self._ready:
            self._decode_next(seq)
        frame = self._ready.pop(seq)
        for passed in [ready for ready in self._ready if ready < seq - _MOST_REORDERED]:
            del self._ready[passed]
        return self._pictures.to_rgb(frame)

    def _decode_next(self, seq: int) -> None:
        with self._lock:
            packet = self._packets.popleft() if self._packets else None
        try:
            self._keep(self._context.decode(_to_av(packet) if packet else None))
        except av.error.EOFError:
            raise IntegrityError(f"The service sent a mask for frame {seq}, which does not decode here.") from None
        except av.error.FFmpegError:
            return  # the service tells of damage
        if packet is None:
            self._ready |= {cast(int, frame.pts): frame for frame in self._pictures.flush()}

    def _keep(self, frames: list[av.VideoFrame]) -> None:
        for frame in frames:
            if frame.pts is not None:
                self._ready |= {cast(int, whole.pts): whole for whole in self._pictures.make_whole(frame)}


# No decoder gives a picture so many packets after the one that it was coded in.
_MOST_REORDERED = 64


def _to_av(packet: Packet) -> av.Packet[Any]:
    av_packet: av.Packet[Any] = av.Packet(packet.payload)
    av_packet.pts = packet.seq
    av_packet.is_keyframe = packet.is_keyframe
    return av_packet
