"""x264 and MJPEG on the CPU, through PyAV."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import cast

import av
from av.codec.context import Flags, ThreadType
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange as AvColorRange
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from segtriton_server.encoders.encoder import Canvas, EncodedFrame, EncoderSetup, FrameTag
from segtriton_server.frames import ColorRange, Picture, Plane
from segtriton_server.media.color_tags import COLORSPACES
from segtriton_server.media.frame_copier import FrameCopier
from segtriton_server.media.libav_decoder import plane_views
from segtriton_server.media.pixel_formats import coded_format

_KEYFRAME_SECONDS = 2
_UNSPECIFIED = 2  # ITU-T H.273 code point


class _LibavEncoder:
    """What both encoders share: the canvas and the pairing of packets with frames, which come one by one."""

    name: str
    codec: str
    pixel_format: str
    takes_mask = False

    def __init__(self, context: VideoCodecContext, setup: EncoderSetup) -> None:
        self.size_hw = setup.size_hw
        self._canvas_format = setup.pixel_format
        self._context = context
        # FFmpeg wants rising timestamps, the session's may be absent or repeat: frames are numbered
        # here, and the session's own timestamps wait in line (no encoder here reorders).
        self._tags: deque[FrameTag] = deque()
        self._count = 0
        context.height, context.width = setup.size_hw
        context.time_base = setup.time_base
        context.thread_count = setup.num_threads
        context.color_primaries = setup.color.primaries
        context.color_trc = setup.color.transfer
        context.colorspace = setup.color.matrix or _UNSPECIFIED  # 0 is RGB, which the pictures are no longer
        context.sample_aspect_ratio = setup.sample_aspect or Fraction(0, 1)
        context.color_range = AvColorRange.JPEG if setup.color.full_range else AvColorRange.MPEG

    @property
    def extradata(self) -> bytes:
        return bytes(self._context.extradata or b"")

    def canvas(self, like: Picture) -> Canvas:
        frame = self._new_frame(like)
        return Canvas(Picture(plane_views(frame), like.matrix, like.color_range), frame)

    def encode(self, canvas: Canvas, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        (tag,) = tags
        return self.encode_frame(self._prepare(canvas), tag)

    def encode_frame(self, frame: VideoFrame, tag: FrameTag) -> list[EncodedFrame]:
        """Take one frame in the encoder's own pixel format; return what is ready."""
        frame.pts, frame.time_base = self._count, self._context.time_base
        self._tags.append(tag)
        self._count += 1
        return self._take(self._context.encode(frame))

    def encode_masks(self, masks: Plane, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        raise TypeError("a picture encoder takes no bare mask")

    def flush(self) -> list[EncodedFrame]:
        return self._take(self._context.encode(None))

    def close(self) -> None:
        self._tags.clear()
        with contextlib.suppress(AttributeError):
            del self._context  # PyAV frees the encoder and its threads with the last reference

    def _new_frame(self, like: Picture) -> VideoFrame:
        height, width = self.size_hw
        return VideoFrame(width, height, self._canvas_format)

    def _prepare(self, canvas: Canvas) -> VideoFrame:
        return cast(VideoFrame, canvas.owner)

    def _take(self, packets: Iterable[av.Packet[VideoStream]]) -> list[EncodedFrame]:
        return [EncodedFrame(self._tags.popleft(), bytes(packet), packet.is_keyframe) for packet in packets]


class X264Encoder(_LibavEncoder):
    """H.264 in Annex B, parameter sets in `extradata`, no B-frames: pts = dts = the frame's own."""

    name = "libx264"
    codec = "h264"

    def __init__(self, setup: EncoderSetup, pix_fmt: str | None = None) -> None:
        """Open the encoder for frames of the setup's or another format; raises av.FFmpegError without libx264."""
        context = av.CodecContext.create("libx264", "w")
        super().__init__(context, setup)
        frame_rate = setup.frame_rate or Fraction(25)
        self.pixel_format = coded_format(setup.pixel_format, full_range=setup.color.full_range)
        context.pix_fmt = pix_fmt or setup.pixel_format
        context.time_base = 1 / frame_rate
        context.framerate = frame_rate
        context.gop_size = max(1, round(_KEYFRAME_SECONDS * frame_rate))
        context.max_b_frames = 0
        context.flags |= Flags.global_header
        # PyAV's own choice is slices: x264 then codes one picture after the other, and most cores wait.
        context.thread_type = ThreadType.SLICE
        context.options = {"preset": setup.output.preset, "crf": str(setup.output.crf)}
        if setup.hdr:
            context.options |= {"x264-params": setup.hdr.x264_params()}
        if setup.low_delay:
            context.options |= {"tune": "zerolatency"}
        else:
            # Without macroblock-tree and B-frames the look-ahead only holds frames back.
            context.options |= {"rc-lookahead": "0", "mbtree": "0"}
            if setup.num_frame_threads > 1:
                context.thread_type, context.thread_count = ThreadType.FRAME, setup.num_frame_threads
        context.open(strict=False)
        self._copier = FrameCopier(setup.pixel_format)

    def _new_frame(self, like: Picture) -> VideoFrame:
        if like.captioned is None:
            return super()._new_frame(like)
        return self._copier.copy(cast(VideoFrame, like.captioned))


class MjpegEncoder(_LibavEncoder):
    """One JPEG a frame: full range and BT.601, as JFIF demands; any size, also an odd one."""

    name = "mjpeg"
    codec = "mjpeg"

    def __init__(self, setup: EncoderSetup) -> None:
        """Open the encoder."""
        context = av.CodecContext.create("mjpeg", "w")
        super().__init__(context, setup)
        context.pix_fmt = self.pixel_format = coded_format(setup.pixel_format, full_range=True)
        context.color_range = AvColorRange.JPEG
        context.thread_type = ThreadType.SLICE  # frame threads would hold frames back
        context.time_base = Fraction(1, 25)
        context.flags |= Flags.qscale
        self._quality = round(2 + (100 - setup.output.quality) * 29 / 99)  # FFmpeg's 2 (best) to 31
        context.global_quality = self._quality * 118  # FF_QP2LAMBDA
        context.open(strict=False)

    def _prepare(self, canvas: Canvas) -> VideoFrame:
        full = canvas.pictures.color_range is ColorRange.FULL
        return cast(VideoFrame, canvas.owner).reformat(
            format=self.pixel_format,
            src_colorspace=COLORSPACES[canvas.pictures.matrix],
            dst_colorspace=Colorspace.ITU601,
            src_color_range=AvColorRange.JPEG if full else AvColorRange.MPEG,
            dst_color_range=AvColorRange.JPEG,
        )
