"""Several outputs of a frame in one packet."""

import struct

import pytest

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_protocol.frame_parts import FramePart, join_parts, split_parts

PARTS = [FramePart(b"blur", True), FramePart(b"", False), FramePart(b"mask!", False)]


def test_parts_come_back_as_they_were() -> None:
    for count in range(1, len(PARTS) + 1):
        assert split_parts(join_parts(PARTS[:count]), count) == PARTS[:count]


def test_the_heads_come_first_each_a_size_and_a_flag() -> None:
    assert join_parts(PARTS) == struct.pack("<IBIBIB", 4, 1, 0, 0, 5, 0) + b"blurmask!"


@pytest.mark.parametrize(
    ("payload", "count"),
    [
        (b"", 1),
        (join_parts(PARTS)[:-1], 3),
        (join_parts(PARTS) + b"x", 3),
        (join_parts(PARTS), 2),
        (join_parts(PARTS), 4),
        (b"\xff" * 40, 3),
    ],
)
def test_another_number_of_parts_is_refused(payload: bytes, count: int) -> None:
    with pytest.raises(SegtritonError, match=f"no {count} parts") as caught:
        split_parts(payload, count)
    assert caught.value.code is ErrorCode.INVALID_PACKET
