"""The CPU decoder: libavcodec through PyAV."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import cast

import av
import numpy as np
from av.codec.context import ThreadType
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane
from av.video.reformatter import ColorRange as AvColorRange
from av.video.stream import VideoStream

from segtriton_protocol import PLAIN_PIXEL_FORMAT, ErrorCode, Framing, Packet, SegtritonError, VideoFormat
from segtriton_server.frames import SAMPLE_TYPES, ColorMatrix, ColorRange, Picture, Plane
from segtriton_server.media.color_tags import COLORSPACES, picture_color
from segtriton_server.media.decoder import Decoded, FrameGroup
from segtriton_server.media.deinterlacer import Deinterlacer
from segtriton_server.media.pixel_formats import is_same_format, num_bits
from segtriton_server.media.room import check_room

CODECS = ("h264", "hevc", "vp8", "vp9", "av1", "mpeg2video", "mpeg4", "mjpeg")

# FFmpeg's own av1 decoder only drives hardware.
_DECODERS = {"av1": "libdav1d"}
_FULL_RANGE = 2  # AVCOL_RANGE_JPEG
_CAPTION_MARK = b"GA94"  # what closed captions (CEA-608/708) begin with in a bitstream (ATSC A/53, 6.2.3)


class LibavDecoder:
    """Decodes on the CPU, each picture a group of its own, all of one pixel format and of the size that OPEN said."""

    def __init__(
        self,
        video: VideoFormat,
        num_threads: int,
        max_pixels: int,
        pixel_format: str = PLAIN_PIXEL_FORMAT,
        *,
        low_delay: bool,
        deinterlace: bool = True,
    ) -> None:
        """Open the decoder; `pixel_format` is FFmpeg's name of a planar format.

        Raises:
            SegtritonError: UNSUPPORTED_FORMAT or LIMIT_EXCEEDED, before anything is decoded.
            MemoryError: there is no room for its pictures.
        """
        if video.codec not in CODECS:
            raise SegtritonError(
                ErrorCode.UNSUPPORTED_FORMAT,
                f"The codec {video.codec!r:.40} is not one of {', '.join(CODECS)}.",
            )
        if video.width * video.height > max_pixels:
            raise SegtritonError(
                ErrorCode.LIMIT_EXCEEDED,
                f"{video.width}x{video.height} is more than {max_pixels} pixels.",
            )
        if video.framing is Framing.LENGTH_PREFIXED and not video.extradata:
            raise SegtritonError(ErrorCode.UNSUPPORTED_FORMAT, "Length-prefixed packets need extradata.")
        self._video = video
        self._pixel_format = pixel_format
        self._deinterlaces = deinterlace
        self._deinterlacer: Deinterlacer | None = None
        self._is_captioned = False
        self._notes: dict[str, None] = {}
        self._context = cast(VideoCodecContext, av.CodecContext.create(_DECODERS.get(video.codec, video.codec), "r"))
        self._context.extradata = video.extradata or None
        self._context.thread_count = num_threads
        # Frame threads hold back one picture each, which a live session must not wait for.
        self._context.thread_type = ThreadType.SLICE if low_delay else ThreadType.FRAME
        self._context.options = {"max_pixels": str(max_pixels)}
        # H.264 need not state it, and a decoder that begins with less drops what comes out of order.
        if video.reorder_frames is not None:
            self._context.reorder_depth = video.reorder_frames
        elif video.codec == "h264" and not low_delay:
            self._context.options |= {"strict": "strict"}  # as much as the level allows
        self.name = f"libavcodec {self._context.codec.name}"
        try:
            self._context.open(strict=False)
        except (av.FFmpegError, ValueError):
            check_room((video.height, video.width), pixel_format)
            raise SegtritonError(
                ErrorCode.UNSUPPORTED_FORMAT, f"The {video.codec} decoder refused the stream's header."
            ) from None

    @property
    def is_open(self) -> bool:
        """Whether it is not closed yet."""
        return hasattr(self, "_context")

    @property
    def num_threads(self) -> int:
        """How many threads decode."""
        return self._context.thread_count

    @property
    def notes(self) -> tuple[str, ...]:
        """See `Decoder`."""
        return tuple(self._notes)

    def decode(self, packets: Sequence[Packet]) -> Decoded:
        """Return the pictures that are ready; a packet that libavcodec refuses does not keep the next from it."""
        decoded = Decoded()
        for packet in packets:
            # Looking at a frame's side data would tell, but makes a cycle of references of each (PyAV before 19).
            self._is_captioned = self._is_captioned or _CAPTION_MARK in packet.payload
            self._run(_copy_packet(packet), decoded)
        return decoded

    def flush(self) -> Decoded:
        """Return the pictures that are left at the end."""
        decoded = Decoded()
        self._run(None, decoded)
        if self._deinterlacer is not None:
            decoded.groups += [self._group(frame) for frame in self._deinterlacer.flush()]
        return decoded

    def close(self) -> None:
        """Release the decoder: PyAV frees it with the last reference."""
        with contextlib.suppress(AttributeError):
            del self._context

    def _run(self, av_packet: av.Packet[VideoStream] | None, decoded: Decoded) -> None:
        try:
            frames: list[VideoFrame] = self._context.decode(av_packet)
        except av.FFmpegError:
            check_room((self._video.height, self._video.width), self._pixel_format)
            decoded.damaged += 1
            return
        for frame in frames:
            if frame.pts is None:  # the decoder made it up, to conceal damage: it belongs to no packet
                frame.pts = -1
            decoded.groups += [self._group(whole) for whole in self._make_whole(frame)]

    def _make_whole(self, frame: VideoFrame) -> list[VideoFrame]:
        if self._deinterlacer is None:
            if not (frame.interlaced_frame and self._deinterlaces):
                return [frame]
            self._notes["The pictures are interlaced; they were deinterlaced."] = None
            self._deinterlacer = Deinterlacer()
        return self._deinterlacer.filter(frame)

    def _group(self, frame: VideoFrame) -> FrameGroup:
        seq = cast(int, frame.pts)
        is_full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
        matrix, color_range = picture_color(
            self._video.color, self._video.height, frame.colorspace, frame_is_full_range=is_full
        )
        owner = self._fit(frame, matrix, color_range)
        damaged = frozenset((seq,)) if frame.is_corrupt else frozenset[int]()
        captioned = owner if self._is_captioned else None
        return FrameGroup((seq,), Picture(plane_views(owner), matrix, color_range, captioned), owner, damaged)

    def _fit(self, frame: VideoFrame, matrix: ColorMatrix, color_range: ColorRange) -> VideoFrame:
        """Bring a picture to the one kind and size that the other stages know; its colours stay what they are."""
        width, height = self._video.width, self._video.height
        has_size = (frame.width, frame.height) == (width, height)
        has_kind = is_same_format(frame.format.name, self._pixel_format)
        if has_size and has_kind:
            return frame
        if not has_size:
            self._notes[f"The pictures change to {frame.width}x{frame.height}; scaled to {width}x{height}."] = None
        if not has_kind:
            made = f"{self._pixel_format}, {num_bits(self._pixel_format)} bits"
            self._notes[f"The pictures are {frame.format.name}; converted to {made}."] = None
        levels = AvColorRange.JPEG if color_range is ColorRange.FULL else AvColorRange.MPEG
        return frame.reformat(
            width,
            height,
            self._pixel_format,
            src_colorspace=COLORSPACES[matrix],
            dst_colorspace=COLORSPACES[matrix],
            src_color_range=levels,
            dst_color_range=levels,
        )


def _copy_packet(packet: Packet) -> av.Packet[VideoStream]:
    # The decoder's threads free packets; a Python object in one, as `av.Packet(bytes)` or `opaque` would put there,
    # makes them wait for the GIL, which PyAV holds while it waits for them. So the bytes are copied into FFmpeg's
    # own memory, and the packet's number travels as its pts, which libavcodec hands through untouched.
    av_packet = cast("av.Packet[VideoStream]", av.Packet(len(packet.payload)))
    av_packet.update(packet.payload)
    av_packet.pts = packet.seq
    av_packet.is_keyframe = packet.is_keyframe
    return av_packet


def plane_views(frame: VideoFrame) -> tuple[Plane, ...]:
    """The planes of a planar frame as arrays [h, w], uint8 or in 10 bits uint16, sharing its memory."""
    sample_type = SAMPLE_TYPES[num_bits(frame.format.name)]
    return tuple(_plane_view(plane, sample_type) for plane in frame.planes)


def _plane_view(plane: VideoPlane, sample_type: np.dtype[np.uint8 | np.uint16]) -> Plane:
    rows: Plane = np.frombuffer(memoryview(plane), sample_type).reshape(-1, plane.line_size // sample_type.itemsize)
    return rows[: plane.height, : plane.width]
