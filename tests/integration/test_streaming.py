"""Protocol v1 against a real Triton: every frame comes back, with its own timestamp, as it would alone."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache

import av
import cv2
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from process_tree import wait_until
from raw_client import CLIPS, FAST, Clip, Run, decode, decode_masks, read_clip, stream_clip

from segtriton_protocol import MatteSpec, OutputSpec
from segtriton_server.frames import ColorMatrix, Picture
from segtriton_server.launch import TritonProcess
from segtriton_server.media.libav_decoder import plane_views
from segtriton_server.vision.preprocess import small_rgb

ReadMetrics = Callable[[TritonProcess], dict[str, float]]
CARPHONE, BIKES, BUNNY = "carphone_pristine.mp4", "bikes.mp4", "bigbuckbunny.mp4"
NETWORK = CLIPS.parent / "networks" / "selfie_segmentation_landscape.tflite"

NETWORK_MASKS = OutputSpec(encoder="mask", matte=MatteSpec.untreated())


@pytest.mark.parametrize(
    ("name", "num_frames", "output"),
    [
        (CARPHONE, 120, FAST),
        (CARPHONE, 120, OutputSpec(effect="color", encoder="mjpeg")),
        (BIKES, 250, FAST),
        (BUNNY, 132, OutputSpec(effect="overlay", preset="ultrafast")),
    ],
)
def test_every_frame_comes_back_with_its_own_timestamp(
    server: TritonProcess, name: str, num_frames: int, output: OutputSpec
) -> None:
    clip = read_clip(name)
    run = stream_clip(server.grpc_address, clip, output)

    assert len(clip.packets) == num_frames
    assert run.pts == clip.pts
    assert not run.drops
    by_pts = {packet.pts: packet for packet in clip.packets}
    assert [(packet.seq, packet.duration) for packet in run.packets] == [
        (by_pts[pts].seq, by_pts[pts].duration) for pts in clip.pts
    ]
    assert run.ended is not None
    assert (run.ended.frames_in, run.ended.frames_out, run.ended.frames_dropped) == (num_frames, num_frames, {})
    assert run.ended.digest == hashlib.sha256(b"".join(run.payloads)).hexdigest()
    frames = decode(run)
    assert len(frames) == num_frames
    assert {(frame.width, frame.height) for frame in frames} == {(clip.format.width, clip.format.height)}


def test_the_opened_message_tells_what_was_chosen(server: TritonProcess) -> None:
    run = stream_clip(server.grpc_address, read_clip(CARPHONE).head(1))

    opened = run.opened
    assert (opened.network, opened.class_name, opened.classes) == ("selfie", "person", ("background", "person"))
    assert (opened.decoder, opened.encoder, opened.output_codec) == ("libavcodec h264", "libx264", "h264")
    assert opened.encoder_reason
    assert opened.credit.packets > 0
    assert opened.server.startswith("segtriton-server ")
    assert run.ended is not None
    assert {"decode", "preprocess", "network", "compose", "encode"} <= run.ended.stages.keys()


def test_x264_packets_are_in_order_and_begin_with_a_keyframe(server: TritonProcess) -> None:
    run = stream_clip(server.grpc_address, read_clip(BIKES).head(60))

    assert run.packets[0].is_keyframe
    assert all(packet.dts == packet.pts for packet in run.packets)
    assert all(payload.startswith((b"\0\0\1", b"\0\0\0\1")) for payload in run.payloads)


def test_the_end_of_a_resumed_run_is_that_of_a_whole_one(server: TritonProcess) -> None:
    clip = read_clip(CARPHONE).head(40)
    masks = OutputSpec(encoder="mask")
    whole = stream_clip(server.grpc_address, clip, masks)
    resumed = stream_clip(server.grpc_address, clip, masks, wanted_seq=20)

    assert resumed.payloads == [packet.payload for packet in whole.packets if packet.seq >= 20]
    assert resumed.ended is not None
    assert (resumed.ended.frames_in, resumed.ended.frames_out) == (20, 20)


# ------------------------------------------------------------------ the network


def test_masks_are_those_of_the_network_on_the_same_frames(server: TritonProcess) -> None:
    masks = masks_of(stream_clip(server.grpc_address, read_clip(CARPHONE), NETWORK_MASKS))

    expected = {pts: run_network(resized(frame)) for pts, frame in decoded_frames(CARPHONE).items()}
    assert masks.keys() == expected.keys()
    assert min(overlap(mask > 127, expected[pts] > 127) for pts, mask in masks.items()) > 0.99


@pytest.mark.parametrize("name", [CARPHONE, BIKES, BUNNY])
def test_masks_are_exactly_those_of_the_network_on_the_same_small_pictures(server: TritonProcess, name: str) -> None:
    masks = masks_of(stream_clip(server.grpc_address, read_clip(name).head(60), NETWORK_MASKS))
    frames = decoded_frames(name)

    assert len(masks) == 60
    for pts, mask in masks.items():
        assert np.array_equal(mask, run_network(small_rgb(picture_of(frames[pts]), mask.shape))), pts


def test_the_other_class_is_the_rest_of_the_picture(server: TritonProcess) -> None:
    clip = read_clip(CARPHONE).head(5)
    person, background, both = (
        decode_masks(stream_clip(server.grpc_address, clip, replace(NETWORK_MASKS, class_name=name))).astype(int)
        for name in ("person", "background", "person,background")
    )

    assert len(both) == 5
    for mask, other, total in zip(person, background, both, strict=True):
        assert 0 < mask.mean() < 255
        assert (mask + other == total).all()


def masks_of(run: Run) -> dict[int | None, np.ndarray]:
    return dict(zip(run.pts, decode_masks(run), strict=True))


def decoded_frames(name: str) -> dict[int | None, av.VideoFrame]:
    with av.open(CLIPS / name) as container:
        return {frame.pts: frame for frame in container.decode(video=0)}


def resized(frame: av.VideoFrame) -> np.ndarray:
    """The frame as the network's input, without any of the server's code."""
    return cv2.resize(frame.to_ndarray(format="rgb24"), (256, 144), interpolation=cv2.INTER_LINEAR)


def picture_of(frame: av.VideoFrame) -> Picture:
    """The frame as the server's vision code takes it; the clips are in BT.601 below 720 lines, BT.709 above."""
    return Picture(plane_views(frame), ColorMatrix.BT709 if frame.height >= 720 else ColorMatrix.BT601)


@cache
def network() -> Interpreter:
    interpreter = Interpreter(str(NETWORK), num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def run_network(rgb: np.ndarray) -> np.ndarray:
    """The network by itself: the probability of a person, 0..255."""
    (source,), (result,) = network().get_input_details(), network().get_output_details()
    network().set_tensor(source["index"], np.multiply(rgb[None], np.float32(1 / 255), dtype=np.float32))
    network().invoke()
    return (network().get_tensor(result["index"])[0, :, :, 0] * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def overlap(mask: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union; two empty masks are equal."""
    union = np.count_nonzero(mask | other)
    return np.count_nonzero(mask & other) / union if union else 1.0


# ------------------------------------------------------------------ many at once, and the books

SESSIONS: list[tuple[Clip, OutputSpec]] = [
    (read_clip(CARPHONE), OutputSpec(effect="blur", preset="ultrafast")),
    (read_clip(BIKES).head(100), OutputSpec(effect="mask", preset="ultrafast")),
    (read_clip(BUNNY).head(50), OutputSpec(effect="overlay", preset="ultrafast")),
    (read_clip(CARPHONE), OutputSpec(effect="color", encoder="mjpeg")),
    (read_clip(BIKES).head(100), OutputSpec(encoder="mask", class_name="background")),
    (read_clip(BUNNY).head(50), OutputSpec(effect="blur", strength=1.0, preset="superfast")),
    (read_clip(CARPHONE), OutputSpec(encoder="mask")),
    (read_clip(BIKES).head(100), OutputSpec(effect="overlay", color_rgb=(255, 0, 0), strength=0.2, crf=30)),
]


def test_eight_sessions_at_once_each_give_what_they_give_alone(
    server: TritonProcess, read_metrics: ReadMetrics
) -> None:
    def run(session: tuple[Clip, OutputSpec]) -> Run:
        return stream_clip(server.grpc_address, *session)

    alone = [run(session) for session in SESSIONS]
    before = read_metrics(server)
    with ThreadPoolExecutor(len(SESSIONS)) as pool:
        together = list(pool.map(run, SESSIONS))

    for (clip, output), single, shared in zip(SESSIONS, alone, together, strict=True):
        assert shared.payloads == single.payloads, (clip, output)
        assert shared.pts == clip.pts
    check_books(together, before, server, read_metrics)


def check_books(runs: list[Run], before: dict[str, float], server: TritonProcess, read_metrics: ReadMetrics) -> None:
    """What the counters grew by is what the END answers say, and nothing is open any more."""
    assert wait_until(lambda: read_metrics(server)["segtriton_active_streams"] == 0)
    after = read_metrics(server)

    def grown(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    frames_out = sum(run.ended.frames_out for run in runs if run.ended)
    reasons = {reason for run in runs if run.ended for reason in run.ended.frames_dropped}
    assert grown('segtriton_frames_total{outcome="out"}') == frames_out
    for reason in reasons:
        dropped = sum(run.ended.frames_dropped.get(reason, 0) for run in runs if run.ended)
        assert grown(f'segtriton_frames_total{{outcome="{reason}"}}') == dropped
    # Histograms are thinned where frames come fast.
    assert 0 < grown("segtriton_frame_latency_seconds_count") <= frames_out
    assert 0 < grown("segtriton_batch_frames_sum") <= frames_out
    assert 0 < grown('segtriton_stage_duration_seconds_count{stage="network"}') <= frames_out
    assert grown("segtriton_streams_opened_total") == len(runs)
    assert after["segtriton_active_streams"] == 0
    assert after["segtriton_stream_load"] == 0
    assert after["segtriton_draining"] == 0
    assert after["segtriton_network_warnings"] == 0


def test_the_counters_tell_of_lost_packets_too(server: TritonProcess, read_metrics: ReadMetrics) -> None:
    whole = read_clip(CARPHONE).head(60)
    clip = replace(whole, packets=tuple(packet for packet in whole.packets if packet.seq not in (20, 21)))
    before = read_metrics(server)

    run = stream_clip(server.grpc_address, clip)

    assert run.ended is not None
    assert run.ended.frames_in == 60
    assert run.ended.frames_dropped["missing"] == 2
    assert run.ended.frames_out + sum(run.ended.frames_dropped.values()) == 60
    assert {packet.seq for packet in run.packets} | run.drops.keys() == set(range(60))
    check_books([run], before, server, read_metrics)
