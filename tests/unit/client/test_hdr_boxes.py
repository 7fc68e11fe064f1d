from __future__ import annotations

from pathlib import Path

import av
import pytest
from av.sidedata.sidedata import Type
from client_clips import make_clip
from echo_service import EchoService

from segtriton_client import Report, segment_file
from segtriton_client.hdr_boxes import add_hdr_boxes
from segtriton_protocol import HdrMetadata

HDR = HdrMetadata((34000, 16000, 13250, 34500, 7500, 3000, 15635, 16450, 10_000_000, 1), (1000, 400))
ONLY_DISPLAY, ONLY_LIGHT = HdrMetadata(HDR.mastering_display), HdrMetadata(content_light=HDR.content_light)


def kinds_of(path: Path) -> set[Type]:
    with av.open(path) as container:
        side_data = next(container.decode(video=0)).side_data
        return {kind for kind in Type if kind in side_data}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A clip whose pictures say nothing of HDR."""
    return make_clip(tmp_path / "clip.mp4")


@pytest.mark.parametrize("hdr", [HDR, ONLY_DISPLAY, ONLY_LIGHT])
def test_a_reader_finds_what_is_known(clip: Path, hdr: HdrMetadata) -> None:
    clip.write_bytes(add_hdr_boxes(clip.read_bytes(), hdr))

    kinds = kinds_of(clip)
    assert (Type.MASTERING_DISPLAY_METADATA in kinds) == bool(hdr.mastering_display)
    assert (Type.CONTENT_LIGHT_LEVEL in kinds) == bool(hdr.content_light)


def run(serve, clip: Path, made: Path) -> Report:
    """What comes of a service whose pictures say nothing of HDR either."""
    clip.write_bytes(add_hdr_boxes(clip.read_bytes(), HDR))
    return segment_file(serve(EchoService()), clip, made)


@pytest.mark.parametrize("ending", ["mp4", "mov", "mkv"])
def test_a_container_keeps_it_even_where_the_service_does_not(serve, clip: Path, tmp_path: Path, ending: str) -> None:
    report = run(serve, clip, tmp_path / f"made.{ending}")

    assert kinds_of(tmp_path / f"made.{ending}") >= {Type.MASTERING_DISPLAY_METADATA, Type.CONTENT_LIGHT_LEVEL}
    assert report.notes == ()


def test_a_container_without_a_place_is_named(serve, clip: Path, tmp_path: Path) -> None:
    assert "lacks HDR10's mastering display" in " ".join(run(serve, clip, tmp_path / "made.ts").notes)


def test_the_service_is_told(serve, clip: Path, tmp_path: Path) -> None:
    service = EchoService()
    clip.write_bytes(add_hdr_boxes(clip.read_bytes(), HDR))
    segment_file(serve(service), clip, tmp_path / "made.mp4")

    assert service.opened[0].video.hdr == HDR
