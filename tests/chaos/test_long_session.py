"""What each process holds does not grow with a session, neither with its bytes nor with its messages.

`LONG_SESSION_MEGABYTES` (1024) and `LONG_SESSION_MESSAGES` (10000) say how long; `LONG_SESSION_REPORT` names a file for
the figures.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest
from long_session import LongSession, resident_by_role, run_long_session
from process_tree import wait_until
from raw_client import Clip, RawStream

from segtriton_protocol import (
    Acknowledge,
    AnswerId,
    ClientMessage,
    End,
    Ended,
    ErrorCode,
    Failed,
    Framing,
    Migrate,
    Output,
    OutputSpec,
    Packet,
    Packets,
    ServerMessage,
    VideoFormat,
)
from segtriton_server.launch import LaunchSettings, TritonProcess

MIB = 1 << 20
WANTED_BYTES = int(os.environ.get("LONG_SESSION_MEGABYTES", "1024")) * MIB
MESSAGES = int(os.environ.get("LONG_SESSION_MESSAGES", "10000"))
REPORT = os.environ.get("LONG_SESSION_REPORT", "")
MAX_GROWTH = 32 * MIB

# Noise that stays: small packets in, 2.2 MB out for each of them.
LARGE = VideoFormat("h264", 1920, 1080, Fraction(1, 25), Framing.ANNEX_B)
LARGE_OUTPUT = OutputSpec(effect="overlay", strength=0.0, encoder="mjpeg", quality=100)
LARGE_FRAME_BYTES = 2_200_000
# `unacknowledged_bytes`, and what the least number of unread answers takes where none is acknowledged.
UNREAD, UNREAD_AT_LEAST = 8 * MIB, 32 * LARGE_FRAME_BYTES
SMALL = VideoFormat("h264", 64, 48, Fraction(1, 25), Framing.ANNEX_B)
SMALL_OUTPUT = OutputSpec(encoder="mask")

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def long_lived(server_settings: Callable[..., LaunchSettings]) -> Iterator[TritonProcess]:
    with TritonProcess(server_settings(workers=1)) as running:
        yield running


def noise_packets(video: VideoFormat) -> Iterator[Packet]:
    """Give packets of one noisy picture without end."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = video.width, video.height, "yuv420p", video.time_base
    codec.options = {
        "crf": "20",
        "preset": "ultrafast",
        "tune": "zerolatency",
        "g": "999999",
        "x264-params": "scenecut=0",
    }
    frame = av.VideoFrame(video.width, video.height, "yuv420p")
    noise = np.random.default_rng(0)
    for plane in frame.planes:
        plane.update(noise.integers(16, 235, plane.buffer_size, dtype=np.uint8).tobytes())
    seq = 0
    while True:
        frame.pts = seq
        for packet in codec.encode(frame):
            yield Packet(seq, seq, seq, 1, packet.is_keyframe, bytes(packet))
            seq += 1


def held_for_readers(server: TritonProcess) -> int:
    """Resident bytes of Triton and the router, through which all answers go."""
    held = resident_by_role(server.pid)
    return held["triton"] + held["router"]


def check(session: LongSession, name: str) -> None:
    if REPORT:
        with Path(REPORT).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"session": name, "growth": session.growth(), **asdict(session)}) + "\n")
    assert max(session.growth().values()) < MAX_GROWTH, session.looks


def test_memory_does_not_grow_with_the_bytes_of_a_session(long_lived: TritonProcess) -> None:
    frames = WANTED_BYTES // LARGE_FRAME_BYTES
    session = asyncio.run(
        run_long_session(long_lived.grpc_address, LARGE, LARGE_OUTPUT, noise_packets(LARGE), frames, 8, long_lived.pid)
    )
    assert session.frames == frames
    assert session.output_bytes > 0.9 * WANTED_BYTES
    check(session, "bytes")


def test_memory_does_not_grow_with_the_messages_of_a_session(long_lived: TritonProcess) -> None:
    session = asyncio.run(
        run_long_session(
            long_lived.grpc_address, SMALL, SMALL_OUTPUT, noise_packets(SMALL), MESSAGES, 1, long_lived.pid
        )
    )
    assert session.frames == MESSAGES
    check(session, "messages")


def test_a_client_that_acknowledges_nothing_is_asked_to_go_on_elsewhere(
    server_settings: Callable[..., LaunchSettings],
) -> None:
    """Its answers have one request alone, which would fill Triton's memory."""
    packets = noise_packets(LARGE)
    sent = received = 0
    settings = server_settings(workers=1, handover_bytes=16 * MIB)
    with TritonProcess(settings) as server, RawStream(server.grpc_address) as stream:
        opened = stream.open(Clip(LARGE, ()), LARGE_OUTPUT)
        answer: ServerMessage = opened
        while not isinstance(answer, Migrate):
            assert received < 16, "16 MiB are eight frames"
            while sent < min(received + 24, 96):
                stream.send(Packets(opened.session_id, (next(packets),), received))
                sent += 1
            answer = stream.receive()
            received += len(answer.packets) if isinstance(answer, Output) else 0


@pytest.mark.parametrize("acknowledges", [True, False])
def test_what_a_stalled_reader_leaves_unread_is_bounded_in_bytes(long_lived: TritonProcess, acknowledges: bool) -> None:
    """96 packets of credit stand for 211 MB of output; all of it comes when the reader goes on."""
    packets = tuple(islice(noise_packets(LARGE), 96))
    clip = Clip(LARGE, packets)
    before = held_for_readers(long_lived)
    with RawStream(long_lived.grpc_address, lazy=True) as stream:
        opened = stream.open(clip, LARGE_OUTPUT, acknowledges=acknowledges)
        stream.send(Packets(opened.session_id, packets))
        assert wait_until(lambda: held_for_readers(long_lived) - before > UNREAD)
        most = 0
        for _ in range(30):
            time.sleep(0.2)
            most = max(most, held_for_readers(long_lived) - before)
        assert most < 6 * UNREAD + (0 if acknowledges else UNREAD_AT_LEAST)

        numbers = []
        stream.send(End(opened.session_id, len(packets)))
        while not isinstance(answer := stream.receive(), Ended):
            assert isinstance(answer, Output), answer
            numbers += [packet.seq for packet in answer.packets]
            if acknowledges:
                stream.send(Acknowledge(opened.session_id, answer.answer_id))
        assert sorted(numbers) == list(range(len(packets)))


@pytest.mark.parametrize("lie", [Packets("", (), received=2**62), Acknowledge("", AnswerId(2**61, 7))])
def test_who_says_to_have_read_what_was_not_sent_is_refused(long_lived: TritonProcess, lie: ClientMessage) -> None:
    with RawStream(long_lived.grpc_address) as stream:
        opened = stream.open(Clip(LARGE, ()), acknowledges=isinstance(lie, Acknowledge))
        stream.send(replace(lie, session_id=opened.session_id))
        while isinstance(answer := stream.receive(), Output):
            assert not answer.packets
    assert isinstance(answer, Failed)
    assert answer.error.code is ErrorCode.INVALID_MESSAGE
