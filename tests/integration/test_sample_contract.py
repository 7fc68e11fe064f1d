"""The contract of the CV-CUDA Triton sample, with plain tritonclient and nothing of this project's protocol."""

import queue
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from raw_client import CLIPS, RawStream, decode, decode_payloads, read_clip, stream_clip
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from segtriton_protocol import OutputSpec
from segtriton_server.launch import TritonProcess

H264, NV12, UNKNOWN = 4, 3, 2
WAIT_SECONDS = 20

Answer = tuple[bytes, list[int], bool]


@dataclass(frozen=True)
class Video:
    width: int
    height: int
    frames_per_second: int
    packets: tuple[av.Packet, ...]


def read_annex_b(name: str) -> Video:
    with av.open(CLIPS / name) as container:
        stream = container.streams.video[0]
        to_annex_b = BitStreamFilterContext("h264_mp4toannexb", stream)
        packets = [out for packet in container.demux(stream) if packet.size for out in to_annex_b.filter(packet)]
        return Video(stream.width, stream.height, round(stream.average_rate), tuple(packets))


def tensor(name: str, data_type: str, array: np.ndarray) -> InferInput:
    made = InferInput(name, list(array.shape), data_type)
    made.set_data_from_numpy(array)
    return made


def requests_of(video: Video, *, empty_last: bool) -> list[list[InferInput]]:
    requests = []
    total = len(video.packets)
    for number, packet in enumerate(video.packets):
        inputs = [
            tensor("PACKET_IN", "UINT8", np.frombuffer(bytes(packet), np.uint8)),
            tensor("META1", "INT64", np.array([packet.is_keyframe, packet.pts, packet.dts], np.int64)),
            tensor("META2", "UINT64", np.array([packet.pos or 0, 0, packet.duration or 0], np.uint64)),
            tensor("FIRST_PACKET", "BOOL", np.array([number == 0])),
            tensor("LAST_PACKET", "BOOL", np.array([number == total - 1 and not empty_last])),
        ]
        if number == 0:
            meta0 = [1, video.width, video.height, video.frames_per_second, total, NV12, H264, UNKNOWN, UNKNOWN]
            inputs.append(tensor("META0", "INT32", np.array(meta0, np.int32)))
        requests.append(inputs)
    if empty_last:
        requests.append(
            [
                tensor("PACKET_IN", "UINT8", np.zeros(0, np.uint8)),
                tensor("FIRST_PACKET", "BOOL", np.array([False])),
                tensor("LAST_PACKET", "BOOL", np.array([True])),
            ]
        )
    return requests


def run(address: str, video: Video, *, empty_last: bool = False, video_id: str = "") -> list[Answer]:
    """All answers up to the mark of the end."""
    arrived: queue.SimpleQueue[tuple[object, InferenceServerException | None]] = queue.SimpleQueue()
    video_id = video_id or str(uuid.uuid4())
    with InferenceServerClient(address) as client:
        client.start_stream(lambda result, error: arrived.put((result, error)))
        for number, inputs in enumerate(requests_of(video, empty_last=empty_last)):
            client.async_stream_infer("selfie_streaming", inputs, request_id=f"{video_id}_{number}")
        answers: list[Answer] = []
        while not answers or not answers[-1][2]:
            result, error = arrived.get(timeout=WAIT_SECONDS)
            if error is not None:
                raise error
            answers.append(
                (
                    result.as_numpy("PACKET_OUT").tobytes(),
                    result.as_numpy("FRAME_SIZE").tolist(),
                    bool(result.as_numpy("LAST_PACKET")[0]),
                )
            )
        client.stop_stream()
    assert arrived.empty()
    return answers


def check(answers: list[Answer], video: Video) -> list[av.VideoFrame]:
    """The clip came back, whole and marked as agreed; returns its pictures."""
    *packets, end = answers
    assert end == (b"", [0, 0], True)
    assert {(tuple(size), last) for _, size, last in packets} == {((video.height, video.width), False)}
    assert all(payload.startswith((b"\0\0\1", b"\0\0\0\1")) for payload, _, _ in packets)
    frames = decode_payloads("h264", [payload for payload, _, _ in packets])
    assert len(frames) == len(video.packets)
    return frames


@pytest.mark.parametrize("name", ["carphone_pristine.mp4", "bikes.mp4"])
@pytest.mark.parametrize("empty_last", [False, True], ids=["last packet marked", "empty last request"])
def test_a_clip_comes_back_whole_and_in_order(server: TritonProcess, name: str, empty_last: bool) -> None:
    video = read_annex_b(name)
    frames = check(run(server.grpc_address, video, empty_last=empty_last), video)

    # In protocol v1 each frame is known by its pts: the pictures here must be those, in that order.
    expected = decode(stream_clip(server.grpc_address, read_clip(name), OutputSpec()))
    assert all(difference(frame, other) < 2.0 for frame, other in zip(frames, expected, strict=True))


def difference(frame: av.VideoFrame, other: av.VideoFrame) -> float:
    return float(np.abs(luma(frame) - luma(other)).mean())


def luma(frame: av.VideoFrame) -> np.ndarray:
    return frame.to_ndarray(format="gray").astype(np.float32)


def test_three_at_once_with_different_sizes_do_not_meet(server: TritonProcess) -> None:
    videos = [read_annex_b(name) for name in ("carphone_pristine.mp4", "bikes.mp4", "bigbuckbunny.mp4")]
    alone = [run(server.grpc_address, video) for video in videos]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda video: run(server.grpc_address, video), videos))

    assert together == alone
    for video, answers in zip(videos, together, strict=True):
        check(answers, video)


@pytest.mark.parametrize(
    ("request_id", "leave_out", "words"),
    [
        ("no-number", "", "videoid_packetnumber"),
        ("video_0", "META0", "META0"),
        ("video_0", "FIRST_PACKET", "UNKNOWN_SESSION"),
    ],
)
def test_what_the_contract_forbids_is_an_error_in_words(
    server: TritonProcess, request_id: str, leave_out: str, words: str
) -> None:
    arrived: queue.SimpleQueue[InferenceServerException | None] = queue.SimpleQueue()
    put: Callable[..., None] = lambda result, error: arrived.put(error)  # noqa: E731
    first = requests_of(read_annex_b("carphone_pristine.mp4"), empty_last=False)[0]
    with InferenceServerClient(server.grpc_address) as client:
        client.start_stream(put)
        inputs = [one for one in first if one.name() != leave_out]
        client.async_stream_infer("selfie_streaming", inputs, request_id=request_id)
        error = arrived.get(timeout=WAIT_SECONDS)
        client.stop_stream()

    assert error is not None
    assert words in str(error)


def test_a_key_of_the_protocol_does_not_meet_the_name_of_a_video(server: TritonProcess) -> None:
    video = read_annex_b("carphone_pristine.mp4")
    with ExitStack() as sessions:
        for key in ("0", "sample 0"):
            sessions.enter_context(RawStream(server.grpc_address)).open(
                read_clip("carphone_pristine.mp4"), open_key=key
            )
        check(run(server.grpc_address, video, video_id="0"), video)
