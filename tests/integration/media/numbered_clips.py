"""Clips made in code: any container, codec and pixel format, with the features that break video tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from block_code import draw_number

FRAMES = 12
RATE = Fraction(25)
_ENCODERS = {
    "h264": ("libx264", {"preset": "veryfast", "crf": "12", "g": "8", "bf": "2"}),
    "h264rgb": ("libx264rgb", {"preset": "veryfast", "crf": "12"}),
    "hevc": ("libx265", {"preset": "ultrafast", "crf": "12", "x265-params": "log-level=none:keyint=8:pools=1"}),
    "vp8": ("libvpx", {"crf": "4", "b": "4M", "deadline": "realtime", "cpu-used": "8"}),
    "vp9": ("libvpx-vp9", {"crf": "10", "b": "0", "deadline": "realtime", "cpu-used": "8"}),
    "av1": ("libsvtav1", {"preset": "12", "crf": "10", "svtav1-params": "lp=1"}),
    "mpeg2video": ("mpeg2video", {"qmin": "1", "qmax": "3", "g": "8", "bf": "2"}),
    "mpeg4": ("mpeg4", {"qmin": "1", "qmax": "3", "g": "8"}),
    "mjpeg": ("mjpeg", {"qmin": "1", "qmax": "3"}),
}
_LINES = "".join(f"{n + 1}\n00:00:00,{100 * n:03} --> 00:00:00,{100 * n + 80:03}\nline {n}\n\n" for n in range(3))


@dataclass(frozen=True)
class Recipe:
    """How a clip is made; sizes in pixels, `stamps` in `time_base`."""

    codec: str = "h264"
    ending: str = "mp4"
    size: tuple[int, int] = (192, 128)
    pixel_format: str = "yuv420p"
    stamps: Sequence[int] = tuple(range(0, FRAMES * 512, 512))
    time_base: Fraction = Fraction(1, 12800)
    options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)
    sample_aspect: Fraction | None = None
    rotation: int = 0
    color: tuple[int, int, int, int] | None = None
    audio_tracks: int = 0
    subtitles: bool = False
    chapters: bool = False

    def write(self, folder: Path) -> Path:
        """Make the clip in a folder."""
        return self.write_as(folder / f"clip.{self.ending}")

    def write_as(self, path: Path) -> Path:
        """Make the clip; the path's ending says in which container."""
        options = {"movie_timescale": "5644800", **self.container_options}
        with (
            av.open(BytesIO(_LINES.encode()), format="srt") as lines,
            av.open(path, "w", container_options=options) as container,
        ):
            self._fill(container, lines)
        return path

    def _fill(self, container: Any, lines: Any) -> None:
        stream = self._add_video(container)
        sounds = [container.add_stream("aac", rate=48000) for _ in range(self.audio_tracks)]
        for position, sound in enumerate(sounds):
            sound.metadata["language"] = ("eng", "deu", "fra")[position]
        texts = container.add_stream_from_template(lines.streams[0]) if self.subtitles else None
        container.metadata["title"] = "Numbers"
        if self.chapters:
            container.set_chapters(_chapters())
        for number, pts in enumerate(self.stamps):
            container.mux(stream.encode(self._frame(number, pts)))
        container.mux(stream.encode(None))
        for position, sound in enumerate(sounds):
            _write_tone(container, sound, 200 + 100 * position)
        for line in lines.demux() if texts else ():
            if line.size:
                line.stream = texts
                container.mux(line)

    def _add_video(self, container: Any) -> Any:
        name, options = _ENCODERS[self.codec]
        stream = container.add_stream(name, rate=RATE, options={**options, **self.options})
        stream.width, stream.height = self.size
        stream.pix_fmt = self.pixel_format
        context = stream.codec_context
        context.time_base = 1 / RATE if self.codec in ("mpeg2video", "mpeg4") else self.time_base
        context.thread_count = 1
        if self.sample_aspect is not None:
            context.sample_aspect_ratio = self.sample_aspect
        if self.color is not None:
            context.color_primaries, context.color_trc, context.colorspace, context.color_range = self.color
        if self.rotation:
            stream.set_display_rotation(self.rotation)
        return stream

    def _frame(self, number: int, pts: int) -> av.VideoFrame:
        frame = numbered_frame(number, self.size, self.pixel_format)
        frame.pts, frame.time_base = pts, self.time_base
        return frame


def numbered_frame(number: int, size: tuple[int, int], pixel_format: str) -> av.VideoFrame:
    """A picture with its number, soft colours and a disc that moves."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    planes = np.empty((3, height, width), np.uint8)
    planes[0] = 60 + 100 * x / width
    planes[1] = 90 + 70 * y / height
    planes[2] = 90 + 70 * x / width
    disc = (x - width * (0.3 + 0.03 * number)) ** 2 + (y - height * 0.6) ** 2 < (height * 0.2) ** 2
    planes[0][disc] = 200
    draw_number(planes[0], number)
    frame = av.VideoFrame(width, height, "yuv444p")
    for plane, values in zip(frame.planes, planes, strict=True):
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        rows[:height, :width] = values
    if pixel_format == "yuv444p":
        return frame
    full = 2 if pixel_format == "rgb24" else 1
    return frame.reformat(format=pixel_format, src_color_range=1, dst_color_range=full)


def _write_tone(container: Any, sound: Any, hertz: int) -> None:
    for start in range(0, 24 * 1024, 1024):
        wave = np.sin(2 * np.pi * hertz * np.arange(start, start + 1024) / 48000).astype(np.float32) * 0.3
        tone = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
        tone.sample_rate, tone.pts, tone.time_base = 48000, start, Fraction(1, 48000)
        container.mux(sound.encode(tone))
    container.mux(sound.encode(None))


def _chapters() -> list[dict[str, Any]]:
    scale = {"time_base": Fraction(1, 1000)}
    return [
        {"id": n, "start": 200 * n, "end": 200 * (n + 1), "metadata": {"title": f"part {n}"}, **scale} for n in range(2)
    ]
