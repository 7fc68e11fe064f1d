"""Networks with a card on a real Triton with a GPU: selfie against the CPU, and small ones whose masks are known."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from gpu_clips import RATE, TIME_BASE
from gpu_service import check_whole
from onnx_networks import SIZE_HW, write_average, write_colors
from raw_client import Clip, RawStream, Run, code_clip, decode_masks, follow, read_clip
from tritonclient.grpc import InferenceServerClient, InferInput

from segtriton_protocol import Framing, OutputSpec, VideoFormat
from segtriton_server.launch import LaunchSettings, TritonProcess
from segtriton_server.launch.model_folders import write_model_folders
from segtriton_server.vision.networks.selfie_onnx import SELFIE_FILES, convert

# The first test waits until the server has loaded its networks.
pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).parents[2]
NETWORKS = ROOT / ".assets" / "networks"
ACCELERATOR = "gpu"
MASK = OutputSpec(encoder="mask")
# Each cell of the small networks' input is so many pixels wide and high.
CELL = 10
BLACK, RED, BLUE = (0, 0, 0), (255, 0, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The selfie networks for both accelerators, and two with a card."""
    folder = tmp_path_factory.mktemp("networks")
    for name in SELFIE_FILES:
        shutil.copy(NETWORKS / f"{name}.tflite", folder)
        (folder / f"{name}.onnx").write_bytes(convert((folder / f"{name}.tflite").read_bytes()))
    write_colors(folder, batch_sizes=[1, 2, 4])
    write_average(folder, batch_sizes=[1, 2])
    return folder


def repository(folder: Path) -> Path:
    """A model repository with the pairs of both networks with a card."""
    models = folder / "models"
    shutil.copytree(ROOT / "triton_models", models)
    for network in ("colors", "average"):
        write_model_folders(models, network, {})
    return models


def settings(folder: Path, networks: Path, accelerator: str, models: Sequence[str]) -> LaunchSettings:
    return LaunchSettings(
        model_repository=repository(folder),
        models=tuple(models),
        grpc_port=0,
        http_port=0,
        metrics_port=0,
        networks=networks,
        log_path=folder / "triton.log",
        ready_timeout_seconds=240.0,
        environment={
            "SEGTRITON_ACCELERATOR": accelerator,
            "SEGTRITON_COMPILE_CACHE": str(folder / "compiled"),
            "SEGTRITON_WORKERS": "1",
            "SEGTRITON_MPS": "false",  # one worker a model has nobody to share with
        },
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, networks: Path) -> Iterator[TritonProcess]:
    models = ("selfie", *(f"{network}_streaming" for network in ("selfie", "colors", "average")))
    with TritonProcess(settings(tmp_path_factory.mktemp("server"), networks, ACCELERATOR, models)) as running:
        yield running


@pytest.fixture(scope="module")
def on_cpu(tmp_path_factory: pytest.TempPathFactory, networks: Path) -> Iterator[TritonProcess]:
    models = ("selfie", "selfie_streaming")
    with TritonProcess(settings(tmp_path_factory.mktemp("on_cpu"), networks, "cpu", models)) as running:
        yield running


def run(server: TritonProcess, network: str, clip: Clip, output: OutputSpec = MASK) -> Run:
    with RawStream(server.grpc_address, f"{network}_streaming") as stream:
        return follow(stream, clip, stream.open(clip, output))


def masks_of(server: TritonProcess, network: str, clip: Clip, class_name: str = "") -> np.ndarray:
    found = run(server, network, clip, OutputSpec(encoder="mask", class_name=class_name))
    check_whole(found, clip)
    return decode_masks(found).astype(int)


# ------------------------------------------------------------------ selfie


@pytest.mark.parametrize(("name", "most"), [("carphone_pristine.mp4", 1.0), ("bikes.mp4", 2.0)])
def test_selfie_gives_the_masks_of_the_cpu(
    server: TritonProcess, on_cpu: TritonProcess, name: str, most: float
) -> None:
    clip = read_clip(name).head(100)
    found, expected = masks_of(server, "selfie", clip), masks_of(on_cpu, "selfie", clip)

    assert found.shape == expected.shape == (100, 144, 256)
    difference = np.abs(found - expected)
    # The GPU shrinks pictures by exact means, and the network runs in half precision.
    assert difference.mean() < most
    assert (difference > 16).mean() < 0.02
    if name.startswith("carphone"):
        people, others = found > 127, expected > 127
        assert others.mean() > 0.3
        assert (people & others).sum() / (people | others).sum() > 0.99


def test_selfie_s_background_is_what_is_no_person(server: TritonProcess) -> None:
    clip = read_clip("carphone_pristine.mp4").head(20)
    person, background = masks_of(server, "selfie", clip), masks_of(server, "selfie", clip, "background")
    assert np.abs(person + background - 255).max() <= 1
    assert (masks_of(server, "selfie", clip, "person,background") == 255).all()


def test_selfie_names_itself_and_what_decodes(server: TritonProcess) -> None:
    opened = run(server, "selfie", read_clip("carphone_pristine.mp4").head(4)).opened
    assert (opened.network, opened.class_name) == ("selfie", "person")
    assert tuple(opened.classes) == ("background", "person")
    assert ("nvdec" in opened.decoder.lower()) is (ACCELERATOR == "gpu")


def test_raw_frames_of_selfie_are_those_of_the_cpu(server: TritonProcess, on_cpu: TritonProcess) -> None:
    with av.open(str(ROOT / ".assets/clips/carphone_pristine.mp4")) as container:
        frames = np.stack([next(container.decode(video=0)).to_ndarray(format="rgb24") for _ in range(5)])

    found, expected = (infer(each, frames) for each in (server, on_cpu))
    assert np.abs(found.astype(int) - expected).mean() < 1.5


def infer(server: TritonProcess, frames: np.ndarray) -> np.ndarray:
    tensor = InferInput("inputrgb", list(frames.shape), "UINT8")
    tensor.set_data_from_numpy(frames)
    with InferenceServerClient(server.grpc_address) as client:
        return client.infer("selfie", [tensor], parameters={"effect": "mask"}).as_numpy("outputrgb")


# ------------------------------------------------------------------ networks with a card


def flat_clip(frames: Sequence[Sequence[tuple[int, int, int]]]) -> Clip:
    """H.264 of upright bands of equal width, in the colours that each frame names."""
    height, width = SIZE_HW[0] * CELL, SIZE_HW[1] * CELL
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.time_base, context.framerate, context.gop_size = TIME_BASE, Fraction(RATE), 12
    context.options = {"preset": "veryfast", "crf": "4", "bf": "0"}
    video = VideoFormat(
        codec="h264",
        width=width,
        height=height,
        time_base=TIME_BASE,
        framing=Framing.ANNEX_B,
        frame_rate=Fraction(RATE),
        pixel_format="yuv420p",
    )
    pictures = []
    for number, bands in enumerate(frames):
        row = np.repeat(np.array(bands, np.uint8), width // len(bands), axis=0)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.broadcast_to(row, (height, width, 3))), "rgb24")
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base = number, TIME_BASE
        pictures.append(frame)
    return code_clip(context, video, pictures, duration=1)


THREE_BANDS = flat_clip([[RED, BLACK, BLUE]] * 12 + [[BLUE, RED, BLACK]] * 12)


@pytest.mark.parametrize(
    ("class_name", "bands"),
    [
        ("", "100 010"),
        ("red", "100 010"),
        ("blue", "001 100"),
        ("background", "010 001"),
        ("red,blue", "101 110"),
    ],
)
def test_a_users_network_gives_the_masks_that_are_known(server: TritonProcess, class_name: str, bands: str) -> None:
    masks = masks_of(server, "colors", THREE_BANDS, class_name)

    rows = [np.repeat([255 * int(band) for band in part], SIZE_HW[1] // 3) for part in bands.split() for _ in range(12)]
    assert masks.shape == (24, *SIZE_HW)
    np.testing.assert_array_equal(masks, np.broadcast_to(np.stack(rows)[:, None], masks.shape))


def test_each_session_keeps_its_own_state(server: TritonProcess) -> None:
    """Sessions with other pictures at the same time: each averages its own, from the start."""
    patterns = [np.random.default_rng(seed).integers(0, 2, 30) for seed in range(6)]
    clips = [flat_clip([[RED if is_red else BLACK] for is_red in pattern]) for pattern in patterns]

    with ThreadPoolExecutor(len(clips)) as pool:
        results = list(pool.map(lambda clip: masks_of(server, "average", clip, "red"), clips))

    for pattern, masks in zip(patterns, results, strict=True):
        average, expected = 0.0, []
        for is_red in pattern:
            average = (average + float(is_red)) / 2
            expected.append(average)
        # Red comes back from the codec a level or two less red.
        np.testing.assert_allclose(masks.mean(axis=(1, 2)) / 255, expected, atol=0.02)
        assert masks.std(axis=(1, 2)).max() < 2
