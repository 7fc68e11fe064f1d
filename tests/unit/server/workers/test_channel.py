from collections.abc import Iterator
from multiprocessing import Pipe

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segtriton_protocol import Packet
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
