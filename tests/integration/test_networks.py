"""Networks that users bring, several in one server, served by models that `segtriton-networks add` made."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from onnx_networks import colors_card, endless_model, write_average, write_colors, write_network
from raw_client import Clip, RawStream, code_clip, decode_masks, follow
from servers import ROOT
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from segtriton_client.cli import segclient
from segtriton_protocol import ErrorCode, Framing, MatteSpec, OutputSpec, SegtritonError, VideoFormat
from segtriton_server.launch import LaunchSettings, TritonProcess
from segtriton_server.launch.networks import main as segtriton_networks

SIZE_HW = (64, 96)
NETWORKS = ("colors", "average", "endless")
# The masks that are known are the networks' own.
MASKS = OutputSpec(encoder="mask", matte=MatteSpec.untreated())
Masks = NDArray[np.uint8]


@pytest.fixture(scope="module")
def served(
    server_settings: Callable[..., LaunchSettings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonProcess]:
    """A server with three networks that were added to a repository with others."""
    folder = tmp_path_factory.mktemp("networks")
    repository, networks = folder / "models", folder / "networks"
    shutil.copytree(ROOT / "triton_models", repository)
    for made in (
        write_colors(folder),
        write_average(folder),
        write_network(folder, endless_model(), colors_card("endless")),
    ):
        done = CliRunner().invoke(
            segtriton_networks, ["add", str(made), "--repository", str(repository), "--networks", str(networks)]
        )
        assert done.exit_code == 0, done.output
    settings = replace(
        server_settings(workers=1, stream_slots=4, stage_deadline=3),
        model_repository=repository,
        networks=networks,
        admin_key="secret",
        models=tuple(model for name in NETWORKS for model in (name, f"{name}_streaming")),
    )
    with TritonProcess(settings) as running:
        yield running


def flag() -> Masks:
    """Red at the left, blue below it, else grey: RGB [h, w, 3]."""
    height, width = SIZE_HW
    picture = np.full((height, width, 3), 90, np.uint8)
    picture[: height // 2, : width // 4] = 255, 0, 0
    picture[height // 2 :, : width // 4] = 0, 0, 255
    return picture


def red(level: int = 255) -> Masks:
    picture = np.zeros((*SIZE_HW, 3), np.uint8)
    picture[..., 0] = level
    return picture


def make_clip(pictures: list[Masks], keyframes: int = 100) -> Clip:
    """Pictures coded without a loss but that of 4:2:0, with a keyframe every so many."""
    height, width = SIZE_HW
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base = Fraction(1, 25)
    encoder.options = {"qp": "0", "bf": "0", "g": str(keyframes), "preset": "ultrafast"}
    frames = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = number, encoder.time_base
        frames.append(frame)
    video = VideoFormat("h264", width, height, Fraction(1, 25), Framing.ANNEX_B)
    return code_clip(encoder, video, frames, duration=1)


def stream(server: TritonProcess, network: str, clip: Clip, output: OutputSpec = MASKS, **options: int) -> Masks:
    """The masks [n, h, w] that come back."""
    with RawStream(server.grpc_address, f"{network}_streaming") as raw:
        run = follow(raw, clip, raw.open(clip, output, **options))
    return decode_masks(run)


def levels(masks: Masks) -> list[int]:
    assert (masks == masks[:, :1, :1]).all()
    return [int(level) for level in masks[:, 0, 0]]


def halves(count: int, at: int = 254) -> list[int]:
    """What the average network says of a red that stays; coded in 4:2:0 it is 254."""
    return [int(at * (1 - 0.5**frame) + 0.5) for frame in range(1, count + 1)]


# ---------------------------------------------------------------- streamed


def test_a_network_finds_its_classes_alone_and_together(served: TritonProcess) -> None:
    clip = make_clip([flag()] * 3)
    is_red, is_blue = np.zeros((2, 32, 48), np.uint8)
    is_red[:16, :12], is_blue[16:, :12] = 255, 255

    for name, expected in (
        ("", is_red),
        ("red", is_red),
        ("blue", is_blue),
        ("red,blue", is_red | is_blue),
        ("background", 255 - (is_red | is_blue)),
    ):
        masks = stream(served, "colors", clip, replace(MASKS, class_name=name))
        assert masks.shape == (3, 32, 48)
        np.testing.assert_array_equal(masks, np.stack([expected] * 3), name)


def test_a_class_that_it_does_not_have_is_refused_with_the_list(served: TritonProcess) -> None:
    clip = make_clip([flag()])
    with pytest.raises(
        SegtritonError, match="The network colors has no class 'dog'; it has background, red, blue"
    ) as e:
        stream(served, "colors", clip, replace(MASKS, class_name="dog"))
    assert e.value.code is ErrorCode.UNKNOWN_CLASS


def test_a_session_remembers_its_own_frames(served: TritonProcess) -> None:
    assert levels(stream(served, "average", make_clip([red()] * 6))) == halves(6)


def test_sessions_at_the_same_time_do_not_remember_each_others(served: TritonProcess) -> None:
    clips = [make_clip([red()] * 40), make_clip([red(0)] * 40), make_clip([red(), red(0)] * 20)]
    alone = [stream(served, "average", clip) for clip in clips]

    with ThreadPoolExecutor(len(clips)) as pool:
        together = list(pool.map(lambda clip: stream(served, "average", clip), clips))

    assert levels(alone[0])[:6] == halves(6)
    assert set(levels(alone[1])) == {0}
    for masks, expected in zip(together, alone, strict=True):
        np.testing.assert_array_equal(masks, expected)


def test_what_was_answered_before_a_resume_is_remembered(served: TritonProcess) -> None:
    clip = make_clip([red()] * 8)

    assert levels(stream(served, "average", clip, wanted_seq=3)) == halves(8)[3:]


def test_it_remembers_the_frames_that_it_is_asked_for(served: TritonProcess) -> None:
    """With `mask_every` 2 it sees the first frame, the third and the fifth; the others take the last mask again."""
    output = replace(MASKS, matte=replace(MatteSpec.untreated(), mask_every=2))

    assert levels(stream(served, "average", make_clip([red()] * 6), output)) == [
        level for level in halves(3) for _ in range(2)
    ]


def test_the_client_lists_them_with_labels_and_licence(served: TritonProcess) -> None:
    """The list of models is for operators here, and the client knows none of these names but the one it is told."""
    done = CliRunner().invoke(segclient, ["models", "--endpoint", served.grpc_address, "--network", "colors"])

    assert done.exit_code == 0, done.output
    assert [line.split() for line in done.output.splitlines()] == [
        ["average"],
        ["average_streaming", "Apache-2.0:", "background,", "red"],
        ["colors"],
        ["colors_streaming", "Apache-2.0:", "background,", "red,", "blue"],
        ["endless"],
        ["endless_streaming", "Apache-2.0:", "background,", "red,", "blue"],
    ]


def test_the_client_chooses_by_name(served: TritonProcess, tmp_path: Path) -> None:
    clip, output = tmp_path / "clip.h264", tmp_path / "masks.jsonl"
    clip.write_bytes(b"".join(packet.payload for packet in make_clip([flag()] * 4).packets))
    options = ["--network", "colors", "-c", "blue", "-o", str(output)]
    done = CliRunner().invoke(segclient, ["--endpoint", served.grpc_address, "-sv", str(clip), *options])

    assert done.exit_code == 0, done.output
    assert len(output.read_text().splitlines()) == 4


# ---------------------------------------------------------------- raw frames


def infer(server: TritonProcess, network: str, frames: Masks, **parameters: str) -> Masks:
    tensor = InferInput("inputrgb", list(frames.shape), "UINT8")
    tensor.set_data_from_numpy(frames)
    with InferenceServerClient(server.grpc_address) as client:
        output: Masks = client.infer(network, [tensor], parameters={"effect": "mask", **parameters}).as_numpy(
            "outputrgb"
        )
    return output


def test_raw_frames_get_the_same_masks(served: TritonProcess) -> None:
    masks = infer(served, "colors", np.stack([flag()] * 5), class_name="blue")

    assert masks.shape == (5, *SIZE_HW, 3)
    assert (masks[:, 36:, :20] == 255).all()
    assert not masks[:, :28].any()
    assert not masks[:, :, 28:].any()


def test_frames_of_a_request_follow_each_other_and_requests_do_not(served: TritonProcess) -> None:
    frames = np.stack([red()] * 6)

    for _ in range(2):
        assert [int(mask[0, 0, 0]) for mask in infer(served, "average", frames)] == halves(6, at=255)


# ---------------------------------------------------------------- hostile


def test_a_network_that_never_ends_costs_its_own_session_only(served: TritonProcess) -> None:
    grey = make_clip([flag()] * 2)
    with pytest.raises(SegtritonError) as caught:
        stream(served, "endless", make_clip([red()] * 3))
    assert caught.value.code is ErrorCode.STAGE_TIMEOUT

    assert stream(served, "colors", grey).shape == (2, 32, 48)


def test_a_network_that_never_ends_costs_its_own_request_only(served: TritonProcess) -> None:
    with pytest.raises(InferenceServerException, match="INTERNAL: The frames failed"):
        infer(served, "endless", np.stack([red()]))

    assert (infer(served, "endless", np.stack([flag()]))[:, :28, :20] == 255).all()
