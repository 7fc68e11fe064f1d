"""Several effects of one pass: the service draws them, or the client where the service cannot."""

import json
from pathlib import Path

import av
import pytest
from click.testing import CliRunner
from client_clips import make_clip
from echo_service import EchoService

from segtriton_client.cli import segclient


def run(service: EchoService, serve: object, clip: Path, *options: object) -> dict[str, object]:
    report = clip.with_name("report.json")
    arguments = ["-sv", clip, *options, "-o", clip.with_name("made"), "--report", report]
    endpoint = serve(service)  # type: ignore[operator]
    done = CliRunner().invoke(segclient, ["--endpoint", endpoint, *map(str, arguments)])
    assert done.exit_code == 0, done.output
    found: dict[str, object] = json.loads(report.read_text())
    return found


def times_of(path: Path) -> list[int | None]:
    with av.open(str(path)) as container:
        return [frame.pts for frame in container.decode(video=0)]


EFFECTS = ("--effect", "blur", "--effect", "overlay", "--effect", "mask")


def test_the_service_draws_all_of_them(serve: object, tmp_path: Path) -> None:
    clip, service = make_clip(tmp_path / "clip.mp4", audio=True), EchoService(draws_several=True)
    report = run(service, serve, clip, *EFFECTS)

    (opened,) = service.opened
    assert opened.output.effects == ("blur", "overlay", "mask")
    assert report["drawn_here"] == []
    made = [tmp_path / "made" / f"clip_{effect}.mp4" for effect in opened.output.effects]
    assert report["outputs"] == [str(path) for path in made]
    for path in made:
        assert times_of(path) == times_of(clip)
        with av.open(str(path)) as container:
            assert len(container.streams.audio) == 1
            assert [packet.is_keyframe for packet in container.demux(video=0) if packet.size][:2] == [True, False]


def test_the_client_draws_what_an_older_service_draws_one_at_a_time(serve: object, tmp_path: Path) -> None:
    clip, service = make_clip(tmp_path / "clip.mp4"), EchoService(sends_masks=True)
    report = run(service, serve, clip, *EFFECTS)

    first, second = service.opened
    assert first.output.effects == ("blur", "overlay", "mask")
    assert (second.output.effects, second.output.encoder) == (("mask",), "mask")
    assert report["drawn_here"] == ["blur", "overlay", "mask"]
    assert "The service draws one effect at a time; they were drawn here." in report["notes"]  # type: ignore[operator]
    assert len(list((tmp_path / "made").iterdir())) == 3


@pytest.mark.parametrize("more", [("--effect", "cutout"), ("--encoder", "mask")])
def test_the_client_draws_all_where_it_needs_the_masks(serve: object, tmp_path: Path, more: tuple[str, ...]) -> None:
    clip, service = make_clip(tmp_path / "clip.mp4"), EchoService(sends_masks=True)
    report = run(service, serve, clip, *EFFECTS, *more)

    assert [opened.output.encoder for opened in service.opened] == ["mask"]
    assert report["drawn_here"] == ["blur", "overlay", "mask", *(["cutout"] if "cutout" in more else [])]
