"""Pictures that servers do not take are coded as they are: size, colours, times."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from segtriton_client.demuxer import Demuxer
from segtriton_protocol import ColorTags, Packet

FRAMES = 5


def write_images(folder: Path, width: int, height: int) -> np.ndarray:
    """Numbered images of four saturated colours, and one of them."""
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2], rgb[: height // 2, width // 2 :] = (200, 30, 40), (30, 180, 60)
    rgb[height // 2 :, : width // 2], rgb[height // 2 :, width // 2 :] = (40, 50, 190), (230, 220, 210)
    for number in range(FRAMES):
        av.VideoFrame.from_ndarray(rgb, "rgb24").save(str(folder / f"frame_{number:03}.png"))
    return rgb


def packets_of(demuxer: Demuxer) -> list[Packet]:
    return [packet for packet in demuxer if isinstance(packet, Packet)]


@pytest.mark.parametrize("size", [(128, 96), (127, 95), (1280, 720)])
def test_images_keep_their_size_and_colours(tmp_path: Path, size: tuple[int, int]) -> None:
    rgb = write_images(tmp_path, *size)
    with Demuxer(str(tmp_path / "frame_%03d.png")) as demuxer:
        video, packets = demuxer.format, packets_of(demuxer)

    assert (video.codec, video.width, video.height) == ("h264", *size)
    assert video.color == ColorTags(primaries=1, transfer=13, matrix=1)
    assert [packet.pts * video.time_base for packet in packets] == [Fraction(n, 25) for n in range(FRAMES)]
    decoder = av.CodecContext.create("h264", "r")
    pictures = [frame for packet in packets for frame in decoder.decode(av.Packet(packet.payload))]
    pictures += decoder.decode(None)
    assert len(pictures) == FRAMES
    seen = (
        pictures[-1]
        .reformat(format="rgb24", src_colorspace=Colorspace.ITU709, src_color_range=ColorRange.MPEG)
        .to_ndarray()
    )
    quarter = slice(size[1] // 8, size[1] // 4), slice(size[0] // 8, size[0] // 4)
    assert np.abs(seen[quarter].astype(int) - rgb[quarter]).max() <= 6


def test_a_source_of_pictures_that_comes_back_goes_on(tmp_path: Path) -> None:
    write_images(tmp_path, 128, 96)
    with Demuxer(str(tmp_path / "frame_%03d.png"), duration=1.0, reconnect_seconds=5) as demuxer:
        packets = packets_of(demuxer)

    assert len(packets) > FRAMES
    assert [packet.seq for packet in packets] == list(range(len(packets)))
    assert any("was lost and found again" in note for note in demuxer.notes)
