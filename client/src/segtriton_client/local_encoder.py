"""Encodes pictures on the client: H.264 with the input's own timestamps and no B-frames."""

from __future__ import annotations

from typing import cast

import av
import av.error
from av.video.stream import VideoStream

from segtriton_client.described_stream import describe_pictures
from segtriton_client.errors import OutputError
from segtriton_client.frame_rate import DEFAULT_RATE
from segtriton_client.muxer import OutputFile
from segtriton_client.picture_metadata import PictureMetadata
from segtriton_client.rising_times import RisingTimes
from segtriton_protocol import HdrMetadata, VideoFormat

FAST = {"preset": "superfast", "crf": "23"}
LOSSLESS = {"preset": "veryfast", "qp": "0"}
_FULL_RANGE = 2
_HDR_ENCODER = "libx264"
_NO_REORDERING = {"libx264": {"bf": "0"}, "libvpx-vp9": {"auto-alt-ref": "0", "lag-in-frames": "0"}}


class LocalEncoder:
    """The video track of an output file, encoded here."""

    def __init__(
        self,
        output: OutputFile,
        video: VideoFormat,
        size: tuple[int, int],
        *,
        codec: str = "libx264",
        pixel_format: str = "yuv420p",
        options: dict[str, str] | None = None,
    ) -> None:
        """Add the track: `video` is the input's, `size` the output's (width, height) in pixels."""
        self._output = output
        self._time_base = video.time_base
        self._durations: dict[int, int] = {}
        rate = video.frame_rate or DEFAULT_RATE
        self._times = RisingTimes(video.time_base, rate)
        try:
            stream = cast(VideoStream, output.container.add_stream(codec, rate=rate))
        except (ValueError, av.error.FFmpegError):
            raise OutputError(
                f"{output.path} cannot hold {codec} video.", "Choose an output that ends in .mp4 or .mkv."
            ) from None
        self._stream = stream
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = pixel_format
        context = self._stream.codec_context
        describe_pictures(stream, video)
        if pixel_format == "gray":
            context.color_range = _FULL_RANGE  # without it players stretch the levels
        context.options = {**(options or FAST), **_NO_REORDERING.get(codec, {})}
        context.time_base = self._stream.time_base = video.time_base
        if codec == _HDR_ENCODER and video.hdr:
            context.options["x264-params"] = video.hdr.x264_params()
        output.add_tracks(stream)
        if pixel_format != "gray":  # a mask shows nothing of the pictures
            output.note_losses(PictureMetadata(hdr=video.hdr if codec == _HDR_ENCODER else HdrMetadata()))

    def encode(self, frame: av.VideoFrame, pts: int | None, duration: int) -> None:
        """Encode one picture; one without a pts, or no later than the last, gets the next free."""
        pts, duration = self._times.place(pts, duration)
        frame.pts, frame.time_base = pts, self._time_base
        self._durations[pts] = duration
        self._mux(self._stream.encode(frame))

    def finish(self) -> None:
        """Encode what is left."""
        self._mux(self._stream.encode(None))
        self._output.notes += self._times.notes

    def _mux(self, packets: list[av.Packet[VideoStream]]) -> None:
        for packet in packets:
            packet.duration = self._durations.pop(packet.pts if packet.pts is not None else 0, 0)
            self._output.mux(packet)
