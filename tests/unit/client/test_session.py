from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from fractions import Fraction

import pytest
from echo_service import make_opened

from segtriton_client import IntegrityError, NoProgressError, ServiceLostError, StreamSession
from segtriton_client.loopback import LoopbackTransport
from segtriton_protocol import (
    Acknowledge,
    AnswerId,
    Cancel,
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
    ServerMessage,
    VideoFormat,
)

VIDEO = VideoFormat(codec="h264", width=64, height=48, time_base=Fraction(1, 25))


def packets(count: int, size: int = 10, first: int = 0) -> list[Packet]:
    return [Packet(seq, seq, seq, 1, seq == 0, b"x" * size) for seq in range(first, first + count)]


def output(*seqs: int, credit: Credit, drops: tuple[Drop, ...] = ()) -> Output:
    return Output(tuple(packets(1, first=seq)[0] for seq in seqs), drops, credit)


def digest(frames: int) -> str:
    return hashlib.sha256(b"x" * 10 * frames).hexdigest()


async def open_session(transport: LoopbackTransport, credit: Credit, **options: object) -> StreamSession:
    await transport.stream.answers.put(dataclasses.replace(make_opened(VIDEO), credit=credit))
    session = StreamSession(transport, VIDEO, **options)  # type: ignore[arg-type]
    await session.__aenter__()
    assert isinstance(await transport.stream.requests.get(), Open)
    return session


async def drain(session: StreamSession) -> list[object]:
    return [event async for event in session]


async def sent(transport: LoopbackTransport) -> list[Packets]:
    """Return the PACKETS messages that are out when nothing more can go out."""
    await asyncio.sleep(0.02)
    return [transport.stream.requests.get_nowait() for _ in range(transport.stream.requests.qsize())]


async def test_opens_the_streaming_model_of_the_network() -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(8, 1000), network="fcn_resnet101")
    assert transport.models == ["fcn_resnet101_streaming"]
    assert session.opened.output_codec == "h264"


async def test_never_sends_beyond_the_credit_in_packets() -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(5, 10_000))
    sending = asyncio.create_task(session.send(packets(12)))
    reading = asyncio.create_task(drain(session))
    assert sum(len(message.packets) for message in await sent(transport)) == 5

    await transport.stream.answers.put(output(0, 1, credit=Credit(7, 10_000)))
    (message,) = await sent(transport)
    assert [packet.seq for packet in message.packets] == [5, 6]
    assert message.received == 2

    await transport.stream.answers.put(output(2, credit=Credit(100, 10_000)))
    await asyncio.wait_for(sending, 1)
    reading.cancel()


async def test_never_sends_beyond_the_credit_in_bytes() -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(100, 35))
    sending = asyncio.create_task(session.send(packets(6)))
    reading = asyncio.create_task(drain(session))
    assert sum(len(message.packets) for message in await sent(transport)) == 3

    await transport.stream.answers.put(output(credit=Credit(100, 60)))
    await asyncio.wait_for(sending, 1)
    reading.cancel()


async def test_groups_small_packets_and_not_large_ones() -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(100, 10_000_000))
    await session.send(packets(19))
    assert [len(message.packets) for message in await sent(transport)] == [16, 3]
    await session.send(packets(3, 300_000, first=19))
    assert [len(message.packets) for message in await sent(transport)] == [1, 1, 1]


async def test_tells_whether_the_last_message_was_answered() -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(100, 10_000))
    reading = asyncio.create_task(drain(session))
    await session.send(packets(1))
    assert not await session.wait_for_answer(0.02)

    answer = asyncio.create_task(session.wait_for_answer(5))
    await transport.stream.answers.put(output(0, credit=Credit(100, 10_000)))
    assert await answer
    reading.cancel()


async def test_a_complete_session_is_verified() -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(100, 10_000))
    await session.send(packets(3))
    await session.end()
    lost = (Drop(1, DropReason.DAMAGED),)
    await transport.stream.answers.put(output(0, 2, credit=Credit(100, 10_000), drops=lost))
    await transport.stream.answers.put(Migrate(5.0))
    await transport.stream.answers.put(Ended(3, 2, {"damaged": 1, "stale": 0}, digest(2)))

    events = await drain(session)

    assert [type(event) for event in events] == [Output, Migrate]
    assert isinstance((await sent(transport))[-1], End)
    assert session.ended is not None
    assert len(session.ledger.latencies) == 2


@pytest.mark.parametrize(
    "ended",
    [
        Ended(2, 2, {}, digest(2)),
        Ended(3, 2, {"stale": 1}, digest(2)),
        Ended(3, 2, {"damaged": 1}, digest(3)),
    ],
    ids=["frames", "reason", "digest"],
)
async def test_wrong_accounts_are_refused(ended: Ended) -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(100, 10_000))
    await session.send(packets(3))
    lost = (Drop(1, DropReason.DAMAGED),)
    await transport.stream.answers.put(output(0, 2, credit=Credit(100, 10_000), drops=lost))
    await transport.stream.answers.put(ended)

    with pytest.raises(IntegrityError):
        await drain(session)


@pytest.mark.parametrize("seqs", [(0, 0), (7,)], ids=["doubled", "never-sent"])
async def test_a_stray_output_is_refused(seqs: tuple[int, ...]) -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(100, 10_000))
    await session.send(packets(3))
    await transport.stream.answers.put(output(*seqs, credit=Credit(100, 10_000)))

    with pytest.raises(IntegrityError):
        await drain(session)


async def test_ending_with_frames_unanswered_is_refused() -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(100, 10_000))
    await session.send(packets(1))
    await transport.stream.answers.put(Ended(1, 1, {}, digest(1)))

    with pytest.raises(IntegrityError, match="unanswered"):
        await drain(session)


async def test_a_failed_session_wakes_the_sender() -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(1, 10_000))
    sending = asyncio.create_task(session.send(packets(3)))
    await transport.stream.answers.put(Failed(SegtritonError(ErrorCode.WORKER_LOST, "Gone.")))

    with pytest.raises(SegtritonError):
        await drain(session)
    with pytest.raises(SegtritonError):
        await asyncio.wait_for(sending, 1)


async def test_a_stream_that_just_ends_is_lost() -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(1, 10_000))
    await transport.stream.answers.put(None)

    with pytest.raises(ServiceLostError):
        await drain(session)


async def test_silence_while_frames_are_owed_is_no_progress() -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(9, 10_000), progress_seconds=0.05)
    await session.send(packets(2))

    with pytest.raises(NoProgressError, match="2 frames"):
        await asyncio.wait_for(drain(session), 2)


async def test_silence_while_nothing_is_owed_is_fine() -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(9, 10_000), progress_seconds=0.05)
    reading = asyncio.create_task(drain(session))
    await asyncio.sleep(0.2)
    assert not reading.done()
    await session.send(packets(1))
    with pytest.raises(NoProgressError):
        await asyncio.wait_for(reading, 2)


async def test_no_answer_to_open_is_no_progress() -> None:
    session = StreamSession(LoopbackTransport(), VIDEO, open_seconds=0.05)
    with pytest.raises(NoProgressError):
        await session.__aenter__()


async def test_a_refused_open_raises_and_cancels_the_stream() -> None:
    transport = LoopbackTransport()
    await transport.stream.answers.put(Failed(SegtritonError(ErrorCode.RESOURCE_EXHAUSTED, "Full.")))
    with pytest.raises(SegtritonError):
        await StreamSession(transport, VIDEO).__aenter__()
    assert transport.stream.is_cancelled


async def test_leaving_early_cancels_the_session() -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(9, 10_000))
    await transport.stream.answers.put(Failed(SegtritonError(ErrorCode.CANCELLED, "Cancelled.")))
    await session.__aexit__(None, None, None)
    assert isinstance(transport.stream.requests.get_nowait(), Cancel)
    assert transport.stream.is_cancelled


def numbered(message: ServerMessage, number: int) -> ServerMessage:
    return dataclasses.replace(message, answer_id=AnswerId(number, 100 + number))


async def open_acknowledged(transport: LoopbackTransport, unacknowledged_bytes: int) -> StreamSession:
    opened = dataclasses.replace(
        make_opened(VIDEO), credit=Credit(100, 10_000), unacknowledged_bytes=unacknowledged_bytes
    )
    await transport.stream.answers.put(numbered(opened, 0))
    session = StreamSession(transport, VIDEO)
    await session.__aenter__()
    request = await transport.stream.requests.get()
    assert isinstance(request, Open)
    assert request.acknowledges
    return session


async def test_answers_are_taken_in_the_order_of_their_numbers() -> None:
    transport = LoopbackTransport()
    session = await open_acknowledged(transport, 1000)
    await session.send(packets(3))
    await session.end()
    credit = Credit(100, 10_000)
    answers = [output(0, credit=credit), output(1, credit=credit), output(2, credit=credit)]
    ended = Ended(3, 3, {}, digest(3))
    for number, answer in ((3, answers[2]), (4, ended), (1, answers[0]), (2, answers[1])):
        await transport.stream.answers.put(numbered(answer, number))
    await transport.stream.answers.put(None)

    seqs = [packet.seq for event in await drain(session) for packet in event.packets]
    assert seqs == [0, 1, 2]
    assert session.ended is not None


async def test_what_was_read_is_acknowledged_with_packets_and_without() -> None:
    transport = LoopbackTransport()
    session = await open_acknowledged(transport, unacknowledged_bytes=80)
    await session.send(packets(3))
    reading = asyncio.create_task(drain(session))
    await transport.stream.answers.put(numbered(output(0, credit=Credit(100, 10_000)), 1))
    assert [type(message) for message in await sent(transport)] == [Packets]
    await session.send(packets(1, first=3))
    (message,) = await sent(transport)
    assert message.acknowledged == AnswerId(1, 101)

    for number in (1, 2):
        await transport.stream.answers.put(numbered(output(number, credit=Credit(100, 10_000)), number + 1))
    (acknowledge,) = await sent(transport)
    assert isinstance(acknowledge, Acknowledge), "a quarter of what may go unread has been read"
    assert acknowledge.acknowledged == AnswerId(3, 103)
    reading.cancel()


async def test_the_refusal_of_one_request_is_heard_before_the_answers_in_order() -> None:
    transport = LoopbackTransport()
    session = await open_acknowledged(transport, 1000)
    await session.send(packets(1))
    await transport.stream.answers.put(numbered(output(0, credit=Credit(100, 10_000)), 2))
    await transport.stream.answers.put(Failed(SegtritonError(ErrorCode.UNKNOWN_SESSION, "It is gone.")))
    with pytest.raises(SegtritonError, match="It is gone"):
        await drain(session)


@pytest.mark.parametrize("number", [0, 2])
async def test_an_answer_that_comes_twice_is_no_answer(number: int) -> None:
    transport = LoopbackTransport()
    session = await open_acknowledged(transport, 1000)
    await session.send(packets(1))
    for _ in range(2):
        await transport.stream.answers.put(numbered(output(0, credit=Credit(100, 10_000)), number))
    with pytest.raises(IntegrityError, match=f"answer {number} where 1 was due"):
        await drain(session)


async def test_a_server_that_numbers_nothing_hears_no_acknowledgement() -> None:
    transport = LoopbackTransport()
    session = await open_session(transport, Credit(100, 10_000))
    await session.send(packets(2))
    reading = asyncio.create_task(drain(session))
    for seq in range(2):
        await transport.stream.answers.put(output(seq, credit=Credit(100, 10_000)))
    (message,) = await sent(transport)
    assert isinstance(message, Packets)
    assert message.acknowledged is None
    reading.cancel()
