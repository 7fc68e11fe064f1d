from fractions import Fraction
from io import BytesIO
from typing import Any

import av
import pytest

from segtriton_client.monotonic_dts import MonotonicDts

WAS = [0, 20, 20, 10, 40]


@pytest.mark.parametrize(
    ("container_format", "codec", "becomes"),
    [
        ("mp4", "aac", [0, 20, 21, 22, 40]),
        ("matroska", "aac", [0, 20, 20, 20, 40]),
        ("mp4", "mov_text", [0, 20, 20, 20, 40]),
    ],
)
def test_no_packet_is_decoded_before_the_one_in_front_of_it(
    container_format: str, codec: str, becomes: list[int]
) -> None:
    with av.open(BytesIO(), "w", container_format) as container:
        times = MonotonicDts(container.add_mux_stream(codec))
        packets = [packet_at(dts) for dts in WAS]
        for packet in packets:
            times.place(packet)

    assert [packet.dts for packet in packets] == becomes
    assert [packet.pts for packet in packets] == [becomes[0], *(max(100, dts) for dts in becomes[1:])]


def packet_at(dts: int) -> Any:
    packet: Any = av.Packet(b"content")
    packet.dts, packet.pts, packet.time_base = dts, 100 if dts else 0, Fraction(1, 1000)
    return packet


def test_packets_stay_apart_in_a_coarser_clock() -> None:
    with av.open(BytesIO(), "w", "mp4") as container:
        target = container.add_mux_stream("aac")
        target.time_base = Fraction(1, 48000)
        times = MonotonicDts(target)
        packets = [packet_at(7), packet_at(7)]
        for packet in packets:
            packet.time_base = Fraction(1, 90000)
            times.place(packet)

    assert [packet.dts for packet in packets] == [7, 9]
