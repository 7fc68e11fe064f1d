"""What an output must have of its input, read with plain PyAV and compared without any of the project's code."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from block_code import read_number
from numpy.typing import NDArray

_WEIGHTS = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}
_RGB, _UNSPECIFIED, _BT601, _FULL_RANGE = 0, 2, 5, 2

Color = tuple[int, int, int, bool]
"""Primaries, transfer and matrix, as ITU-T H.273 numbers them, and whether the range is full."""


@dataclass(frozen=True)
class Shown:
    """One picture as a player shows it."""

    number: int | None
    time: Fraction
    rgb: NDArray[np.float64]
    rotation: int


@dataclass(frozen=True)
class Content:
    """All that a user would notice of a file; `color` is what its decoder says, `tagged` what its container does."""

    codec: str
    pictures: list[Shown]
    size: tuple[int, int]
    tick: Fraction
    sample_aspect: Fraction
    color: Color
    tagged: Color
    tracks: list[tuple[str, str, list[tuple[Fraction, bytes]]]]
    chapters: list[tuple[Fraction, str]]
    title: str

    @property
    def numbers(self) -> list[int | None]:
        return [picture.number for picture in self.pictures]

    @property
    def times(self) -> list[Fraction]:
        return [picture.time for picture in self.pictures]


def read_content(path: Path) -> Content:
    """Decode a file from beginning to end."""
    with av.open(path) as container:
        stream: Any = container.streams.video[0]
        context = stream.codec_context
        tagged = _color_of(context)
        others = [track for track in container.streams if track.type in ("audio", "subtitle")]
        packets: dict[int, list[tuple[Fraction, bytes]]] = {track.index: [] for track in others}
        pictures: list[Shown] = []
        for packet in container.demux(stream, *others):
            if packet.stream_index != stream.index:
                if packet.size:
                    packets[packet.stream_index].append((packet.pts * packet.time_base, bytes(packet)))
                continue
            pictures += [_shown(frame, stream, context.colorspace) for frame in packet.decode()]
        return Content(
            context.name,
            pictures,
            (context.width, context.height),
            stream.time_base,
            stream.sample_aspect_ratio or Fraction(1),
            _color_of(context),
            tagged,
            [(track.type, track.metadata.get("language", "und"), packets[track.index]) for track in others],
            [(part["start"] * part["time_base"], part["metadata"]["title"]) for part in container.chapters()],
            container.metadata.get("title", ""),
        )


def read_numbers(path: Path) -> list[int | None]:
    """The numbers of the pictures alone, of a file that another program made: it may lack timestamps."""
    with av.open(path) as container:
        return [read_number(_planes(frame)[0]) for frame in container.decode(video=0)]


def check_same(
    given: Path, made: Path, *, least_psnr: float = 34.0, pictures: bool = True, times: list[Fraction] | None = None
) -> Content:
    """Check that `made` shows and plays what `given` does, at `times` if that stores none; returns what it holds."""
    before, after = read_content(given), read_content(made)
    assert after.numbers == before.numbers
    check_times(times or before.times, after.times, after.tick)
    assert after.size == before.size
    assert after.sample_aspect == before.sample_aspect
    assert [picture.rotation for picture in after.pictures] == [picture.rotation for picture in before.pictures]
    check_color(before, after)
    assert after.title == before.title
    assert after.chapters == before.chapters
    check_tracks(before, after)
    if pictures:
        worst = min(psnr(a.rgb, b.rgb) for a, b in zip(before.pictures, after.pictures, strict=True))
        assert worst >= least_psnr, f"PSNR {worst:.1f} dB"
    return after


def check_times(before: list[Fraction], after: list[Fraction], tick: Fraction) -> None:
    """Times are equal; where the container's clock is too coarse for them, they are the nearest."""
    assert len(after) == len(before)
    assert max(abs(a - b) for a, b in zip(before, after, strict=True)) * 2 <= tick
    if all((time / tick).denominator == 1 for time in before):
        assert after == before


def check_color(before: Content, after: Content) -> None:
    """The output's colours are the input's, as far as its coding has a place for them; `check_same` looks at pictures.

    VP8 is in BT.601: its decoder says so, its container may not, and an output may say what either does.
    """
    primaries, transfer, matrix, is_full = before.color
    if after.codec == "mjpeg":  # JFIF is in BT.601 and full range
        assert after.color == (primaries, transfer, _BT601, True)
    elif matrix == _RGB:  # a matrix that no picture in Y, U and V has
        assert after.color == (primaries, transfer, _UNSPECIFIED, is_full)
    else:
        assert after.color in (before.color, before.tagged)


def check_tracks(before: Content, after: Content) -> None:
    """Sound and subtitles are the same packets at the same times, beside the same pictures."""
    assert [track[:2] for track in after.tracks] == [track[:2] for track in before.tracks]
    for (_, _, sent), (_, _, came) in zip(before.tracks, after.tracks, strict=True):
        assert [payload for _, payload in came] == [payload for _, payload in sent]
        assert max(abs(a - b) for (a, _), (b, _) in zip(sent, came, strict=True)) <= Fraction(1, 1000)


def psnr(expected: NDArray[np.float64], got: NDArray[np.float64]) -> float:
    """Peak signal to noise ratio of two RGB pictures [h, w, 3] in 0..255, in dB."""
    error = float(np.mean((expected - got) ** 2))
    return 99.0 if error == 0 else 10 * float(np.log10(255**2 / error))


def _color_of(context: Any) -> Color:
    return context.color_primaries, context.color_trc, context.colorspace, context.color_range == _FULL_RANGE


def _shown(frame: Any, stream: Any, container_matrix: int) -> Shown:
    matrix = frame.colorspace if frame.colorspace != _UNSPECIFIED else container_matrix
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    planes = _planes(frame)
    if frame.format.is_rgb:  # the planes are G, B, R
        rgb = np.stack([planes[2], planes[0], planes[1]], axis=-1)
        return Shown(read_number(planes[0]), frame.pts * stream.time_base, rgb, frame.rotation)
    luma = planes[0] if not full else 16 + planes[0] * 219 / 255
    rgb = _to_rgb(planes, _WEIGHTS.get(matrix, _WEIGHTS[1 if frame.height >= 720 else 6]), full)
    return Shown(read_number(luma), frame.pts * stream.time_base, rgb, frame.rotation)


def _planes(frame: Any) -> NDArray[np.float64]:
    """Y, U and V at full size in 8-bit code values, [3, h, w], whatever the depth and the sampling."""
    components = frame.format.components
    shift = components[0].bits - 8
    planes = []
    for plane, component in zip(frame.planes[:3], components[:3], strict=True):
        kind = np.uint16 if shift else np.uint8
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size).view(kind)
        values = rows[: component.height, : component.width].astype(float) / (1 << shift)
        repeats = -(-frame.height // component.height), -(-frame.width // component.width)
        planes.append(values.repeat(repeats[0], 0).repeat(repeats[1], 1)[: frame.height, : frame.width])
    return np.stack(planes)


def _to_rgb(planes: NDArray[np.float64], weights: tuple[float, float], full: bool) -> NDArray[np.float64]:
    """ITU-T H.273, equations 38 ff."""
    red_weight, blue_weight = weights
    luma = planes[0] if full else (planes[0] - 16) * 255 / 219
    blue_difference, red_difference = ((plane - 128) * (1 if full else 255 / 224) for plane in planes[1:])
    red = luma + 2 * (1 - red_weight) * red_difference
    blue = luma + 2 * (1 - blue_weight) * blue_difference
    green = (luma - red_weight * red - blue_weight * blue) / (1 - red_weight - blue_weight)
    return np.clip(np.stack([red, green, blue], axis=-1), 0, 255)
