"""A background goes to the server with OPEN; where the server takes none, the client draws it."""

import json
import re
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from client_clips import make_clip
from echo_service import EchoService

from segtriton_client import coded_background
from segtriton_client.cli import segclient
from segtriton_client.coded_background import code_background
from segtriton_protocol import ErrorCode, SegtritonError, VideoFormat

VIDEO = VideoFormat("h264", 96, 64, Fraction(1, 25))
RED, GREEN = (200, 20, 20), (0, 177, 64)


def write_picture(path: Path, *colors: tuple[int, int, int], size: tuple[int, int] = (96, 64)) -> Path:
    """A picture with these colours side by side."""
    row = np.repeat(np.array(colors, np.uint8), size[0] // len(colors), axis=0)
    av.VideoFrame.from_ndarray(np.ascontiguousarray(np.tile(row, (size[1], 1, 1))), "rgb24").save(path)
    return path


def decode(background: object) -> list[np.ndarray]:
    """The pictures of a coded background, RGB [h, w, 3]."""
    decoder = av.CodecContext.create("h264", "r")
    packets = [av.Packet(packet.payload) for packet in background.block.unpack()]  # type: ignore[attr-defined]
    frames = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    return [frame.to_ndarray(format="rgb24") for frame in frames]


@pytest.mark.parametrize("size", [(96, 64), (95, 63)])
def test_a_picture_is_fitted_and_hardly_changed(tmp_path: Path, size: tuple[int, int]) -> None:
    video = VideoFormat("h264", *size, Fraction(1, 25))
    wide = write_picture(tmp_path / "wide.png", GREEN, RED, RED, GREEN, size=(400, 64))  # its outer parts are cut off
    background = code_background(wide, video)

    assert background is not None
    assert (background.video.width, background.video.height) == size
    (picture,) = decode(background)
    assert picture.shape == (size[1], size[0], 3)
    assert np.abs(picture.astype(int) - RED).mean() < 4


def test_pictures_of_a_video_follow_each_other_without_a_gap(tmp_path: Path) -> None:
    background = code_background(make_clip(tmp_path / "clip.mp4", b_frames=2), VIDEO)

    assert background is not None
    rows = background.block.rows
    assert len(rows) > 10
    assert rows[0][2] == 0
    assert [row[2] + row[4] for row in rows[:-1]] == [row[2] for row in rows[1:]]
    assert rows[-1][4] == rows[0][4]  # the last is shown as long as the others


@pytest.mark.parametrize(
    ("name", "value"),
    [("MAX_BACKGROUND_BYTES", 100), ("BACKGROUND_MEMORY_BYTES", 96 * 64 * 3 // 2 * 5), ("MAX_PACKETS", 3)],
)
def test_what_is_too_large_is_not_coded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: int) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    assert code_background(clip, VIDEO) is not None
    monkeypatch.setattr(coded_background, name, value)

    assert code_background(clip, VIDEO) is None


# ------------------------------------------------------------------ who draws


def run(service: EchoService, serve: object, folder: Path, *options: str) -> dict[str, object]:
    clip, background = make_clip(folder / "clip.mp4"), write_picture(folder / "red.png", RED)
    made, report = folder / "made.mp4", folder / "report.json"
    arguments = ["-sv", clip, "--effect", "image", "--background", background, *options, "-o", made, "--report", report]
    endpoint = serve(service)  # type: ignore[operator]
    done = CliRunner().invoke(segclient, ["--endpoint", endpoint, *map(str, arguments)])
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(report.read_text())
    return found


def test_the_server_draws_it(serve: object, tmp_path: Path) -> None:
    service = EchoService()
    report = run(service, serve, tmp_path)

    (opened,) = service.opened
    assert opened.output.effect == "image"
    assert opened.background is not None
    (picture,) = decode(opened.background)
    assert picture.shape == (opened.video.height, opened.video.width, 3)
    assert report["output_codec"] == "h264"
    assert not any("drawn here" in note for note in report["notes"])  # type: ignore[attr-defined]
    assert (report["drawn_here"], report["drawing_share"]) == ([], 0.0)


@pytest.mark.parametrize(
    "refusal",
    [
        SegtritonError(ErrorCode.INVALID_MESSAGE, "OPEN.output.effect must be one of blur, mask, not 'image'."),
        SegtritonError(ErrorCode.LIMIT_EXCEEDED, "The background's pictures may take 3 MiB."),
    ],
    ids=["an older server", "a smaller one"],
)
def test_the_client_draws_what_the_server_does_not(serve: object, tmp_path: Path, refusal: SegtritonError) -> None:
    service = EchoService(image_refusal=refusal, sends_masks=True)
    report = run(service, serve, tmp_path)

    first, second = service.opened
    assert (first.output.effect, second.output.effect) == ("image", "mask")
    assert (second.output.encoder, second.background) == ("mask", None)
    assert f"{refusal.message} What the service does not draw was drawn here." in report["notes"]  # type: ignore[operator]
    assert report["drawn_here"] == ["image"]
    assert 0 < report["drawing_share"] <= 1  # type: ignore[operator]


def test_the_client_draws_what_is_too_large_to_send(
    serve: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coded_background, "MAX_BACKGROUND_BYTES", 10)
    service = EchoService(sends_masks=True)
    report = run(service, serve, tmp_path)

    assert [opened.output.encoder for opened in service.opened] == ["mask"]
    assert "The background is large; it was drawn here." in report["notes"]  # type: ignore[operator]


@pytest.mark.parametrize("options", [("--encoder", "mask"), ("--effect", "cutout")])
def test_the_client_draws_it_where_it_has_the_masks_anyway(
    serve: object, tmp_path: Path, options: tuple[str, ...]
) -> None:
    service = EchoService(sends_masks=True)
    clip, background = make_clip(tmp_path / "clip.mp4"), write_picture(tmp_path / "red.png", RED)
    made = tmp_path / ("made.mp4" if "mask" in options else "made")
    arguments = ["-sv", clip, "--effect", "image", "--background", background, *options, "-o", made]
    endpoint = serve(service)  # type: ignore[operator]
    done = CliRunner().invoke(segclient, ["--endpoint", endpoint, *map(str, arguments)])

    assert done.exit_code == 0, done.output
    assert [opened.background for opened in service.opened] == [None]
    assert re.search(r"fps, echo, image( and cutout)? drawn here \(\d+% of the time\)", done.output)


@pytest.mark.parametrize(("options", "despill"), [((), True), (("--no-despill",), False)])
def test_soft_edges_are_cleaned_unless_the_user_says_otherwise(
    serve: object, tmp_path: Path, options: tuple[str, ...], despill: bool
) -> None:
    service = EchoService()
    run(service, serve, tmp_path, *options)

    assert [opened.output.despill for opened in service.opened] == [despill]
