import struct
import threading
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segtriton_protocol import Packet, SegtritonError
from segtriton_server.workers.channel import Channel, ChannelMessage


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = map(Channel, Pipe())
    yield ours, theirs
    ours.close()
    theirs.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3),
    payloads=st.lists(st.binary(min_size=1, max_size=50), max_size=4),
)
def test_a_message_arrives_as_it_was_sent(
    ends: tuple[Channel, Channel], body: dict[str, object], payloads: list[bytes]
) -> None:
    packets = [Packet(seq, None, -seq, seq, seq == 0, payload) for seq, payload in enumerate(payloads)]
    ends[0].send(ChannelMessage("kind", "session", body, packets))

    assert ends[1].receive() == ChannelMessage("kind", "session", body, packets)


def test_the_end_of_the_other_side_is_seen(ends: tuple[Channel, Channel]) -> None:
    ends[0].close()

    with pytest.raises(EOFError):
        ends[1].receive()


def _message(head: bytes, index: bytes = b"", payload: bytes = b"") -> bytes:
    return struct.pack("!II", len(head), len(index)) + head + index + payload


UNREADABLE = {
    "nothing": b"",
    "half a length": b"\0\0\0",
    "lengths beyond its end": struct.pack("!II", 1 << 31, 1 << 31),
    "no JSON": _message(b"{"),
    "no text": _message(b"\xff\xff"),
    "a JSON that is too deep": _message(b"[" * 200_000),
    "a number that is too long": _message(b"9" * 10_000),
    "too few parts": _message(b'["results","session"]'),
    "a kind that is a number": _message(b'[1,"session",{}]'),
    "a session that is a list": _message(b'["results",[],{}]'),
    "a body that is a list": _message(b'["results","session",[]]'),
    "a head that is too long": _message(b'["results","session",{"x":"' + b"x" * (3 << 20) + b'"}]'),
    "an index that is cut off": _message(b'["results","session",{}]', b"\0" * 47),
    "a payload without an index": _message(b'["results","session",{}]', b"", b"x"),
    "a packet without bytes": _message(b'["results","session",{}]', b"\0" * 48),
    "too many packets": _message(b'["results","session",{}]', struct.pack("=6q", 0, 1, 0, 0, 0, 0) * 2000, b"x" * 2000),
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_an_error_with_a_reason(ends: tuple[Channel, Channel], content: bytes) -> None:
    sending = threading.Thread(target=raw(ends[0]).send_bytes, args=(content,))
    sending.start()

    with pytest.raises(SegtritonError):
        ends[1].receive()
    sending.join()


def test_a_message_that_is_too_long_is_not_read() -> None:
    ours, theirs = Pipe()
    raw(Channel(theirs)).send_bytes(bytes(1001))

    with pytest.raises(SegtritonError, match="more than 1000 bytes"):
        Channel(ours, max_bytes=1000).receive()


def raw(channel: Channel) -> Connection:
    return channel._connection
