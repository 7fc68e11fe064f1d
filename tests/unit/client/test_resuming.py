from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

import pytest
from echo_service import make_opened

from segtriton_client import ServiceLostError, ServiceUnavailableError
from segtriton_client.loopback import LoopbackStream, LoopbackTransport
from segtriton_client.resuming import ResumingSession, pauses
from segtriton_protocol import (
    Credit,
    Drop,
    DropReason,
    End,
    Ended,
    ErrorCode,
    Failed,
    Migrate,
    Open,
    Output,
    Packet,
    Packets,
    SegtritonError,
    VideoFormat,
)

VIDEO = VideoFormat(codec="h264", width=64, height=48, time_base=Fraction(1, 25))
CREDIT = Credit(1000, 1 << 20)
KEYFRAMES = 5
NUM_PACKETS = 20


@dataclass
class Server:
    """Sends each packet back as its frame, until it goes as the test says."""

    frames: int = NUM_PACKETS
    then: Literal["stay", "die", "drain"] = "stay"
    refuses: SegtritonError | None = None
    pixel_format: str = "yuv420p"
    opened: list[Open] = field(default_factory=list)
    sent: list[int] = field(default_factory=list)

    async def serve(self, stream: LoopbackStream) -> None:
        digest, left = hashlib.sha256(), 0
        while isinstance(request := await stream.requests.get(), Open | Packets):
            if isinstance(request, Open):
                self.opened.append(request)
                opened = dataclasses.replace(make_opened(VIDEO), output_pixel_format=self.pixel_format)
                await stream.answers.put(Failed(self.refuses) if self.refuses else opened)
                continue
            for packet in self._wanted(request):
                if len(self.sent) < self.frames:
                    digest.update(packet.payload)
                    await self._answer(stream, packet)
                else:
                    left += 1
                    await stream.answers.put(Output((), (Drop(packet.seq, DropReason.ABANDONED),), CREDIT))
        dropped = {DropReason.ABANDONED.value: left} if left else {}
        if isinstance(request, End):
            await stream.answers.put(Ended(len(self.sent) + left, len(self.sent), dropped, digest.hexdigest(), {}))
        await stream.answers.put(None)

    def _wanted(self, request: Packets) -> list[Packet]:
        first, answered = self.opened[-1].wanted_seq, self.opened[-1].answered_seqs
        return [packet for packet in request.packets if packet.seq >= first and packet.seq not in answered]

    async def _answer(self, stream: LoopbackStream, packet: Packet) -> None:
        self.sent.append(packet.seq)
        await stream.answers.put(Output((packet,), (), CREDIT))
        if len(self.sent) == self.frames and self.then == "die":
            await stream.answers.put(ServiceLostError("The connection broke."))
        elif len(self.sent) == self.frames and self.then == "drain":
            await stream.answers.put(Migrate(5.0))


class DeadlyServer(Server):
    """Dies of its first packet."""

    async def _answer(self, stream: LoopbackStream, packet: Packet) -> None:
        await stream.answers.put(ServiceLostError("The worker is gone."))


class Cluster:
    """Servers, of which each connection reaches the next; the last one stays."""

    def __init__(self, *servers: Server | Exception) -> None:
        self._servers = list(servers)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[LoopbackTransport]:
        server = self._servers.pop(0) if len(self._servers) > 1 else self._servers[0]
        if isinstance(server, Exception):
            raise server
        transport = LoopbackTransport()
        serving = asyncio.create_task(server.serve(transport.stream))
        try:
            yield transport
        finally:
            serving.cancel()


def clip() -> list[Packet]:
    return [Packet(seq, seq, seq, 1, seq % KEYFRAMES == 0, f"{seq}".encode()) for seq in range(NUM_PACKETS)]


async def stream_through(
    cluster: Cluster, resume_seconds: float = 20.0, packets: Sequence[Packet] = ()
) -> tuple[list[int], ResumingSession]:
    """What came back, by its numbers, and the session after its end."""

    async def send(session: ResumingSession) -> None:
        for packet in packets or clip():
            await session.send([packet])
        await session.end()

    async with ResumingSession(cluster.connect, VIDEO, resume_seconds=resume_seconds) as session:
        sending = asyncio.create_task(send(session))
        try:
            came = [packet.seq async for output in session for packet in output.packets]
        finally:
            await asyncio.gather(sending, return_exceptions=True)
    return came, session


async def test_one_server_that_stays_needs_no_resume() -> None:
    came, session = await stream_through(Cluster(Server()))
    assert (came, session.resumes) == (list(range(NUM_PACKETS)), 0)


@pytest.mark.parametrize("then", ["die", "drain"])
@pytest.mark.parametrize("frames", [1, 7, NUM_PACKETS - 1])
async def test_every_frame_comes_once_and_in_order_from_two_servers(then: Literal["die", "drain"], frames: int) -> None:
    second = Server()
    came, session = await stream_through(Cluster(Server(frames, then), second))

    assert (came, session.resumes) == (list(range(NUM_PACKETS)), 1)
    assert session.ended is not None
    assert (session.ended.frames_in, session.ended.frames_out) == (NUM_PACKETS, NUM_PACKETS)
    assert not session.ended.frames_dropped
    # It begins with the keyframe before the first frame that is wanted.
    [opened] = second.opened
    assert (opened.first_seq, opened.wanted_seq) == (frames - frames % KEYFRAMES, frames)


@pytest.mark.parametrize(
    ("came", "asked"), [("yuv422p", "keep"), ("yuv420p10le", "keep"), ("yuv420p", "yuv420p"), ("yuvj420p", "yuv420p")]
)
async def test_what_began_as_plain_pictures_is_not_kept_otherwise_by_another_server(came: str, asked: str) -> None:
    first, second = Server(7, "die", pixel_format=came), Server()
    await stream_through(Cluster(first, second))

    assert [server.opened[0].output.pixel_format for server in (first, second)] == ["keep", asked]


async def test_another_server_is_told_the_reorder_depth_of_what_it_gets() -> None:
    first, second = Server(7, "die"), Server()
    pairs = [dataclasses.replace(packet, pts=packet.seq + 2 * (packet.seq % 2)) for packet in clip()]
    await stream_through(Cluster(first, second), packets=pairs)

    assert [server.opened[0].video.reorder_frames for server in (first, second)] == [None, 1]


async def test_goes_on_through_several_servers_and_refusals() -> None:
    full = SegtritonError(ErrorCode.RESOURCE_EXHAUSTED, "All slots are taken.")
    nobody = ServiceUnavailableError("No server answers.")
    came, session = await stream_through(
        Cluster(Server(4, "die"), nobody, Server(refuses=full), Server(4, "drain"), Server())
    )
    assert (came, session.resumes) == (list(range(NUM_PACKETS)), 2)


async def test_a_draining_server_is_asked_again_at_the_beginning() -> None:
    draining = SegtritonError(ErrorCode.DRAINING, "The server drains.")
    came, session = await stream_through(Cluster(Server(refuses=draining), Server()))
    assert (came, session.resumes) == (list(range(NUM_PACKETS)), 0)


async def test_what_no_other_server_would_do_better_ends_the_run() -> None:
    wrong = SegtritonError(ErrorCode.UNKNOWN_CLASS, "No class 'zebra'.")
    with pytest.raises(SegtritonError, match="zebra"):
        await stream_through(Cluster(Server(4, "die"), Server(refuses=wrong)))


async def test_the_first_loss_ends_the_run_where_nothing_is_to_be_resumed() -> None:
    with pytest.raises(ServiceLostError, match="broke"):
        await stream_through(Cluster(Server(4, "die"), Server()), resume_seconds=0)


def test_pauses_between_attempts_grow_to_a_limit_and_are_not_the_same_for_all() -> None:
    clients = [list(itertools.islice(pauses(), 20)) for _ in range(50)]
    means = [sum(attempt) / len(clients) for attempt in zip(*clients, strict=True)]

    assert means[0] < means[2] < means[4]
    assert max(map(max, clients)) <= 3.0
    assert 1.5 < means[-1] < 2.5
    # The first of all clients are spread over as long as the pause itself.
    firsts = [client[0] for client in clients]
    assert max(firsts) - min(firsts) > 0.05


async def test_a_packet_that_kills_every_server_is_not_sent_for_ever() -> None:
    deadly = [DeadlyServer() for _ in range(9)]
    with pytest.raises(ServiceLostError, match="worker is gone"):
        await stream_through(Cluster(Server(4, "die"), *deadly))
    assert sum(bool(server.opened) for server in deadly) == 3


@pytest.mark.parametrize(("mode", "sizes"), [("live", [4, 4, 2]), ("file", [1] * 10)])
async def test_live_messages_hold_as_many_packets_as_the_server_asks_for(
    mode: str, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segtriton_client.resuming._LONGEST_GATHERING_SECONDS", 10.0)  # however slow this machine is
    monkeypatch.setattr("segtriton_client.resuming._LONGEST_TURN_SECONDS", 0.0)
    transport = LoopbackTransport()
    stream = transport.stream
    await stream.answers.put(dataclasses.replace(make_opened(VIDEO), credit=Credit(1000, 1 << 20, group_packets=4)))
    async with ResumingSession(lambda: nullcontext(transport), VIDEO, resume_seconds=0, mode=mode) as session:
        reading = asyncio.create_task(anext(aiter(session)))
        for packet in clip()[:10]:
            await session.send([packet])
            await asyncio.sleep(0.01)
        await session.end()
        await stream.answers.put(None)
        with pytest.raises(ServiceLostError):
            await reading
    requests = [stream.requests.get_nowait() for _ in range(stream.requests.qsize())]
    assert [len(request.packets) for request in requests if isinstance(request, Packets)] == sizes


async def test_a_live_message_waits_for_the_answer_to_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segtriton_client.resuming._LONGEST_TURN_SECONDS", 10.0)
    transport = LoopbackTransport()
    stream = transport.stream
    await stream.answers.put(make_opened(VIDEO))
    async with ResumingSession(lambda: nullcontext(transport), VIDEO, resume_seconds=0, mode="live") as session:
        reading = asyncio.create_task(anext(aiter(session)))
        for packet in clip()[:3]:
            await session.send([packet])
            await asyncio.sleep(0.01)
        assert isinstance(await stream.requests.get(), Open)
        first = await stream.requests.get()
        assert (len(first.packets), stream.requests.empty()) == (1, True)
        await stream.answers.put(Output(first.packets, (), CREDIT))
        assert len((await asyncio.wait_for(stream.requests.get(), 5)).packets) == 2
        await reading
