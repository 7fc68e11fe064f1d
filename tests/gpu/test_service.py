"""The GPU's models on a real Triton: many sessions at once, each as it would be alone."""

import asyncio
import os
import queue
import signal
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from gpu_clips import RATE, make_clip, make_file, source_rgb
from gpu_pictures import psnr
from gpu_service import (
    MJPEG,
    NETWORK,
    STREAMING,
    check_whole,
    launch_settings,
    pictures_of,
    run_session,
    wait_idle,
)
from process_tree import worker_pids
from raw_client import RawStream, Run, decode_masks, decode_payloads, follow
from test_sample_contract import Video, requests_of
from tritonclient.grpc import InferenceServerClient, InferInput

from segtriton_client import Job, segment_video
from segtriton_client.coded_background import code_background
from segtriton_protocol import ErrorCode, MatteSpec, Opened, OutputSpec, SegtritonError
from segtriton_server.frames import Picture
from segtriton_server.launch import TritonProcess
from segtriton_server.vision.matte import Matte

# The first test waits until the server has loaded its networks.
pytestmark = pytest.mark.timeout(240)

H264_ENCODERS = ("libx264", "h264_nvenc")
SEEDED_WARNING = "random"
# Batches of other sizes take other kernels of cuDNN, and half precision rounds: one level everywhere is 48 dB.
SAME = 45.0
# What the seeded network sees most.
SEEN = "boat,bicycle"
# One after the other they move: only on the CPU, masks are held still where the picture is.
PICTURES = [
    Picture((np.full((360, 640), luma, np.uint8), *(np.zeros((180, 320), np.uint8) for _ in range(2))))
    for luma in (0, 255)
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TritonProcess]:
    settings = launch_settings(tmp_path_factory.mktemp("server"), (NETWORK, STREAMING), workers_per_gpu=2)
    with TritonProcess(settings) as running:
        yield running


# ------------------------------------------------------------------ one session


@pytest.mark.parametrize("effect", ["blur", "mask", "overlay", "color"])
def test_every_effect_comes_back_whole(server: TritonProcess, effect: str) -> None:
    clip = make_clip("h264")
    run = run_session(server, clip, OutputSpec(effect=effect, encoder="mjpeg"))

    check_whole(run, clip)
    assert pictures_of(run).shape == (36, 360, 640, 3)
    assert run.ended is not None
    assert {"decode", "preprocess", "network", "compose", "encode"} <= run.ended.stages.keys()


@pytest.mark.parametrize("name", ["h264", "vp9_odd"])
def test_a_picture_of_one_colour_behind_is_that_colour(server: TritonProcess, tmp_path: Path, name: str) -> None:
    red, clip = (200, 20, 20), make_clip(name)
    size_hw = clip.format.height, clip.format.width
    path = tmp_path / "red.png"
    av.VideoFrame.from_ndarray(np.full((*size_hw, 3), red, np.uint8), "rgb24").save(path)
    background = code_background(path, clip.format)
    spec = OutputSpec(effect="image", class_name=SEEN, encoder="mjpeg", quality=95)

    with RawStream(server.grpc_address, STREAMING) as stream:
        run = follow(stream, clip, stream.open(clip, spec, background=background))
    plain = run_session(server, clip, replace(spec, effect="color", color_rgb=red))

    check_whole(run, clip)
    worst = min(psnr(*pair) for pair in zip(pictures_of(run), pictures_of(plain), strict=True))
    assert worst > 35.0, worst


@pytest.mark.parametrize(
    ("encoder", "names", "codec"),
    [
        ("auto", H264_ENCODERS, "h264"),
        ("h264", H264_ENCODERS, "h264"),
        ("mjpeg", ("nvjpeg",), "mjpeg"),
        ("mask", ("mask",), "rawmask_zlib"),
    ],
)
def test_every_encoder_comes_back_whole(
    server: TritonProcess, encoder: str, names: tuple[str, ...], codec: str
) -> None:
    clip = make_clip("hevc")
    run = run_session(server, clip, OutputSpec(encoder=encoder))

    check_whole(run, clip)
    assert run.opened.encoder in names
    assert run.opened.encoder_reason
    assert run.opened.output_codec == codec
    if encoder == "mask":
        assert {len(zlib.decompress(payload)) for payload in run.payloads} == {224 * 224}
    else:
        assert pictures_of(run).shape == (24, 360, 640, 3)


def test_the_report_tells_what_was_chosen_and_warns_of_seeded_weights(server: TritonProcess, tmp_path: Path) -> None:
    source, result = make_file("h264", tmp_path), tmp_path / "result.mp4"
    report = asyncio.run(segment_video(server.grpc_address, Job(source, result, network=NETWORK)))

    assert report.network == NETWORK
    assert "nvdec" in report.decoder.lower()
    assert report.encoder in H264_ENCODERS
    assert any(SEEDED_WARNING in warning for warning in report.warnings)
    assert (report.frames_in, report.frames_out, report.lost_frames) == (36, 36, 0)
    with av.open(str(result)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 36


def test_classes_are_those_of_the_network(server: TritonProcess) -> None:
    run = run_session(server, make_clip("h264").head(4), OutputSpec(encoder="mask", class_name="cat"))
    assert run.opened.class_name == "cat"
    assert len(run.opened.classes) == 21

    with pytest.raises(SegtritonError) as caught:
        run_session(server, make_clip("h264").head(4), OutputSpec(class_name="unicorn"))
    assert caught.value.code is ErrorCode.UNKNOWN_CLASS


def masks_of(server: TritonProcess, spec: OutputSpec) -> np.ndarray:
    return decode_masks(run_session(server, make_clip("h264"), replace(spec, encoder="mask"))).astype(int)


def test_several_classes_make_one_mask_and_inverted_takes_the_rest(server: TritonProcess) -> None:
    boat, bicycle, both, rest = (
        masks_of(server, spec)
        for spec in (
            OutputSpec(class_name="boat", matte=MatteSpec.untreated()),
            OutputSpec(class_name="bicycle", matte=MatteSpec.untreated()),
            OutputSpec(class_name=SEEN, matte=MatteSpec.untreated()),
            OutputSpec(class_name=SEEN, matte=replace(MatteSpec.untreated(), inverted=True)),
        )
    )
    # Edges are drawn to the picture's after the sum, and each result is rounded.
    assert np.abs(boat + bicycle - both).mean() < 2
    assert np.abs(both + rest - 255).mean() < 2
    assert np.abs(boat - both).mean() > 20


def test_smoothed_and_feathered_masks_are_what_the_cpu_makes_of_the_plain_ones(server: TritonProcess) -> None:
    plain = masks_of(server, OutputSpec(class_name=SEEN, matte=MatteSpec.untreated()))
    treatments: list[dict[str, float]] = [{"smoothing": 0.9}, {"feather": 0.5}, {"feather": -0.5}]
    for treatment in treatments:
        matte = MatteSpec(**{"smoothing": 0.0, "edges": 0.0, **treatment}, mirror=False)
        found = masks_of(server, OutputSpec(class_name=SEEN, matte=matte))
        on_cpu = Matte(matte, plain.shape[1:])
        expected = np.stack([on_cpu.refine(PICTURES[at % 2], mask.astype(np.uint8)) for at, mask in enumerate(plain)])
        assert psnr(found, expected) > SAME > psnr(found, plain), matte


# ------------------------------------------------------------------ many at once

KINDS = [
    ("h264", OutputSpec(effect="blur", encoder="mjpeg", quality=95)),
    ("h264_1080p", OutputSpec(effect="overlay", encoder="mjpeg", quality=95)),
    ("h264_tiny", OutputSpec(effect="color", encoder="mjpeg", quality=95)),
    ("hevc", OutputSpec(effect="blur", strength=1.0, encoder="mjpeg", quality=95)),
    ("hevc_10bit", OutputSpec(effect="color", class_name="cat", encoder="mjpeg", quality=95)),
    ("vp9", OutputSpec(effect="overlay", class_name="background", encoder="mjpeg", quality=95)),
    ("vp9_odd", OutputSpec(effect="blur", encoder="mjpeg", quality=95)),
    ("h264_444", OutputSpec(effect="blur", strength=0.2, encoder="mjpeg", quality=95)),
    ("av1", OutputSpec(effect="overlay", strength=0.9, encoder="mjpeg", quality=95)),
]


def test_sixteen_sessions_at_once_each_give_what_they_give_alone(server: TritonProcess) -> None:
    def run(kind: tuple[str, OutputSpec]) -> Run:
        return run_session(server, make_clip(kind[0]), kind[1])

    alone = [run(kind) for kind in KINDS]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(run, islice(cycle(KINDS), 16)))

    expected = [pictures_of(single) for single in alone]
    for (name, _), single, pictures, shared in zip(cycle(KINDS), cycle(alone), cycle(expected), together, strict=False):
        check_whole(shared, make_clip(name))
        assert [packet.seq for packet in shared.packets] == [packet.seq for packet in single.packets]
        difference = psnr(pictures_of(shared), pictures)
        assert difference > SAME, (name, difference)


def infer(client: InferenceServerClient, frames: np.ndarray, **parameters: str) -> np.ndarray:
    tensor = InferInput("inputrgb", list(frames.shape), "UINT8")
    tensor.set_data_from_numpy(frames)
    return client.infer(NETWORK, [tensor], parameters=parameters).as_numpy("outputrgb")


def test_frames_of_mixed_sizes_and_threads_give_what_each_gives_alone(server: TritonProcess) -> None:
    sizes = [(640, 360), (320, 240), (127, 95), (1280, 720)]
    counts = (1, 3, 5)

    def several(size_wh: tuple[int, int]) -> list[np.ndarray]:
        frames = np.stack(source_rgb(size_wh, max(counts)))
        with InferenceServerClient(server.grpc_address) as client:
            return [infer(client, frames[:count], effect="overlay", class_name=SEEN) for count in counts]

    def one_by_one(size_wh: tuple[int, int]) -> np.ndarray:
        with InferenceServerClient(server.grpc_address) as client:
            return np.concatenate(
                [
                    infer(client, frame[None], effect="overlay", class_name=SEEN)
                    for frame in source_rgb(size_wh, max(counts))
                ]
            )

    with ThreadPoolExecutor(len(sizes)) as pool:
        answers = list(pool.map(several, sizes))
    for size_wh, batches in zip(sizes, answers, strict=True):
        alone = one_by_one(size_wh)
        for count, batch in zip(counts, batches, strict=True):
            assert psnr(batch, alone[:count]) > SAME, (size_wh, count)
            assert not np.array_equal(batch, np.stack(source_rgb(size_wh, count)))


# ------------------------------------------------------------------ the sample's contract


def test_the_samples_contract_works(server: TritonProcess, tmp_path: Path) -> None:
    with av.open(str(make_file("h264", tmp_path))) as container:
        stream = container.streams.video[0]
        to_annex_b = BitStreamFilterContext("h264_mp4toannexb", stream)
        packets = [out for packet in container.demux(stream) if packet.size for out in to_annex_b.filter(packet)]
        video = Video(stream.width, stream.height, RATE, tuple(packets))

    *answers, end = stream_sample(server, requests_of(video, empty_last=False))

    assert end == (b"", [0, 0], True)
    assert {(tuple(size), last) for _, size, last in answers} == {((360, 640), False)}
    assert len(decode_payloads("h264", [payload for payload, _, _ in answers])) == len(packets) == 36


def stream_sample(server: TritonProcess, requests: list[list[InferInput]]) -> list[tuple[bytes, list[int], bool]]:
    arrived: queue.SimpleQueue = queue.SimpleQueue()
    answers: list[tuple[bytes, list[int], bool]] = []
    with InferenceServerClient(server.grpc_address) as client:
        client.start_stream(lambda result, error: arrived.put((result, error)))
        for number, inputs in enumerate(requests):
            client.async_stream_infer(STREAMING, inputs, request_id=f"gpu-sample_{number}")
        while not answers or not answers[-1][2]:
            result, error = arrived.get(timeout=20)
            if error is not None:
                raise error
            payload, size, last = (result.as_numpy(name) for name in ("PACKET_OUT", "FRAME_SIZE", "LAST_PACKET"))
            answers.append((payload.tobytes(), size.tolist(), bool(last[0])))
        client.stop_stream()
    return answers


# ------------------------------------------------------------------ coming and going


def test_a_killed_worker_costs_only_its_own_session(server: TritonProcess) -> None:
    clip = make_clip("h264")
    wait_idle(server)
    victims = worker_pids(server.pid)
    assert len(victims) == 2

    def finish(stream: RawStream, opened: Opened) -> Run | SegtritonError:
        try:
            return follow(stream, clip, opened)
        except SegtritonError as error:
            return error

    with RawStream(server.grpc_address, STREAMING) as first, RawStream(server.grpc_address, STREAMING) as second:
        sessions = [(stream, stream.open(clip, MJPEG)) for stream in (first, second)]
        os.kill(victims[0], signal.SIGKILL)
        time.sleep(0.5)
        results = [finish(*session) for session in sessions]

    (error,) = (result for result in results if isinstance(result, SegtritonError))
    (whole,) = (result for result in results if isinstance(result, Run))
    assert error.code is ErrorCode.WORKER_LOST
    assert error.retryable
    check_whole(whole, clip)
    check_whole(run_session(server, clip, MJPEG), clip)
