"""What gives no picture of its own is told by its headers; the judge is libavcodec."""

from dataclasses import replace
from fractions import Fraction
from itertools import chain

import av
import pytest
from field_clips import encode, encode_with_hidden_frames, split_av1
from h264_bits import field_packets, split, unit

from segtriton_protocol import Framing, Packet, VideoFormat
from segtriton_server.media.hidden_packets import HiddenPackets

DELIMITER = unit(9, b"\xf0")
OPEN_GROUPS = "log-level=none:pools=1:keyint=8:min-keyint=8:open-gop=1:bframes=3:b-adapt=0"
END_OF_SEQUENCE = b"\0\0\0\1\x48\1"


def hidden_of(codec: str, payloads: list[bytes], framing: Framing = Framing.RAW, extradata: bytes = b"") -> list[bool]:
    video = VideoFormat(codec, 64, 64, Fraction(1, 25), framing=framing, extradata=extradata)
    packets = HiddenPackets(video)
    return [packets.is_hidden(Packet(seq, seq, seq, 1, seq == 0, payload)) for seq, payload in enumerate(payloads)]


def test_the_second_field_of_a_picture_is_hidden() -> None:
    assert hidden_of("h264", list(field_packets(20, 64, 64)), Framing.ANNEX_B) == [False, True] * 20


def test_both_fields_in_one_packet_are_a_picture() -> None:
    fields = list(field_packets(6, 64, 64))
    pairs = [first + second for first, second in zip(fields[::2], fields[1::2], strict=True)]

    assert hidden_of("h264", pairs, Framing.ANNEX_B) == [False] * 6


def test_fields_behind_lengths_are_known_by_the_extradata() -> None:
    first, *rest = ([u for u in split(packet)] for packet in field_packets(4, 64, 64))
    sps, pps, idr = first
    extradata = b"\1" + sps[1:4] + b"\xff\xe1" + len(sps).to_bytes(2, "big") + sps + b"\1"
    extradata += len(pps).to_bytes(2, "big") + pps
    payloads = [b"".join(len(u).to_bytes(4, "big") + u for u in units) for units in ([idr], *rest)]

    assert hidden_of("h264", payloads, Framing.LENGTH_PREFIXED, extradata) == [False, True] * 4


@pytest.mark.parametrize("options", [{"bf": "2"}, {"flags": "+ilme+ildct"}, {"profile": "baseline", "bf": "0"}])
def test_pictures_of_frames_are_shown(options: dict[str, str]) -> None:
    coded = encode("libx264", 12, preset="veryfast", **options)

    assert hidden_of("h264", [one.payload for one in coded], Framing.ANNEX_B) == [False] * 12


@pytest.mark.parametrize(("codec", "header"), [("h264", b"\x06"), ("hevc", b"\x4e\x01")])
def test_messages_alone_are_hidden_and_what_cannot_be_read_is_not(codec: str, header: bytes) -> None:
    message = b"\0\0\0\1" + header + b"\5\2ab\x80"

    assert hidden_of(codec, [message, b"\xff" * 60, b"\0\0\1", b"x", b"\0\0\1\xff\xff"], Framing.ANNEX_B) == [
        True,
        False,
        False,
        False,
        False,
    ]


def test_pictures_of_hevc_are_shown() -> None:
    coded = encode("libx265", 8, preset="ultrafast", **{"x265-params": "log-level=none:pools=1"})

    assert hidden_of("hevc", [one.payload for one in coded], Framing.ANNEX_B) == [False] * 8


def test_what_refers_to_pictures_before_the_first_keyframe_of_hevc_is_hidden() -> None:
    coded = encode("libx265", 24, preset="ultrafast", **{"x265-params": OPEN_GROUPS})
    later = next(number for number, one in enumerate(coded) if number and one.is_keyframe)
    leading = [one.pts < coded[later].pts for one in coded[later:]]
    assert any(leading)

    assert not any(hidden_of("hevc", [one.payload for one in coded], Framing.ANNEX_B))
    assert hidden_of("hevc", [one.payload for one in coded[later:]], Framing.ANNEX_B) == leading
    # After an end of sequence a decoder begins anew.
    ended = [*coded[: later - 1], replace(coded[later - 1], payload=coded[later - 1].payload + END_OF_SEQUENCE)]
    assert hidden_of("hevc", [one.payload for one in (*ended, *coded[later:])], Framing.ANNEX_B)[later:] == leading


def test_frames_of_av1_that_are_never_shown_are_hidden() -> None:
    coded = encode_with_hidden_frames()
    whole = [one.payload for one in coded]
    frames = [bytes(part) for part in chain(*split_av1(coded))]
    decoder = av.CodecContext.create("libdav1d", "r")
    num_shown = sum(len(decoder.decode(av.Packet(frame))) for frame in frames) + len(decoder.decode(None))

    assert not any(hidden_of("av1", whole))
    assert hidden_of("av1", frames).count(False) == num_shown == 24
    assert hidden_of("av1", [frames[0][:3], b"\xff" * 60]) == [False, False]


# Version 0, a first partition of 8 bytes; the fifth bit says that the frame is shown.
VP8_SHOWN, VP8_HIDDEN = (bytes((1 | is_shown << 4, 1, 0)) + bytes(20) for is_shown in (1, 0))


def test_frames_of_vp8_that_are_never_shown_are_hidden() -> None:
    coded = encode("libvpx", 8, deadline="realtime", **{"cpu-used": "8"})

    assert not any(hidden_of("vp8", [one.payload for one in coded]))
    assert hidden_of("vp8", [VP8_SHOWN, VP8_HIDDEN, VP8_HIDDEN[:5], b"\0"]) == [False, True, False, False]


def test_frames_of_vp9_that_are_never_shown_are_hidden() -> None:
    coded = encode("libvpx-vp9", 8, deadline="realtime", **{"cpu-used": "8"})
    shown, hidden, existing, superframe = b"\x86\0\0", b"\x84\0\0", b"\x88\0\0", b"\x84\0\xc0"

    assert not any(hidden_of("vp9", [one.payload for one in coded]))
    assert hidden_of("vp9", [shown, hidden, existing, superframe, b"\x04\0\0"]) == [False, True, False, False, False]


def test_of_other_codecs_nothing_is_hidden() -> None:
    assert hidden_of("mjpeg", [b"\0", DELIMITER]) == [False, False]
