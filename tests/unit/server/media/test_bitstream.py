import io
from fractions import Fraction

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from segtriton_protocol import Framing, Packet, SegtritonError, VideoFormat
from segtriton_server.media.bitstream import Bitstream, DamagedPacketError

ENCODERS = {"h264": "libx264", "hevc": "libx265"}


def make_mp4(codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(ENCODERS[codec], rate=25, options={"x265-params": "log-level=none", "g": "4"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), number * 20, np.uint8), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def video_of(codec: str, extradata: bytes, framing: Framing = Framing.LENGTH_PREFIXED) -> VideoFormat:
    return VideoFormat(codec, 64, 48, Fraction(1, 25), framing=framing, extradata=extradata)


def units(stream: bytes) -> list[bytes]:
    return [unit.rstrip(b"\0") for unit in stream.split(b"\0\0\1") if unit.strip(b"\0")]


@pytest.mark.parametrize("codec", list(ENCODERS))
def test_packets_framed_by_lengths_become_what_ffmpegs_filter_makes_of_them(codec: str) -> None:
    with av.open(io.BytesIO(make_mp4(codec))) as container:
        stream = container.streams.video[0]
        filtering = BitStreamFilterContext(f"{codec}_mp4toannexb", stream)
        bitstream = Bitstream(video_of(codec, bytes(stream.codec_context.extradata or b"")))
        for seq, packet in enumerate(container.demux(stream)):
            if not packet.size:
                continue
            ours = bitstream.rewrite(Packet(seq, packet.pts, packet.dts, 1, packet.is_keyframe, bytes(packet)))
            (theirs,) = filtering.filter(packet)
            assert units(ours)[-1] == units(bytes(theirs))[-1]
            assert len(ours) >= len(bytes(packet))
            if packet.is_keyframe:
                assert set(units(bytes(theirs))) <= set(units(ours))


def test_start_codes_stay_and_extradata_comes_first() -> None:
    bitstream = Bitstream(video_of("h264", b"\0\0\0\1header", Framing.ANNEX_B))
    packets = [Packet(seq, seq, seq, 1, True, b"\0\0\0\1unit") for seq in range(2)]

    assert bitstream.rewrite(packets[0]) == b"\0\0\0\1header\0\0\0\1unit"
    assert bitstream.rewrite(packets[1]) == b"\0\0\0\1unit"


def test_the_sequence_header_of_av1_is_taken_out_of_its_box() -> None:
    bitstream = Bitstream(video_of("av1", b"\x81\0\0\0sequence", Framing.OBU))

    assert bitstream.rewrite(Packet(0, 0, 0, 1, True, b"units")) == b"sequenceunits"


@pytest.mark.parametrize("extradata", [b"\1", b"\1\x64\0\x1f\xff\xe1\0\x40short"])
def test_extradata_that_is_cut_short_is_refused(extradata: bytes) -> None:
    with pytest.raises(SegtritonError, match="cut short"):
        Bitstream(video_of("h264", extradata))


def test_a_length_beyond_the_end_is_damage() -> None:
    bitstream = Bitstream(video_of("h264", b"\1\x64\0\x1f\xff\xe0\0"))

    with pytest.raises(DamagedPacketError):
        bitstream.rewrite(Packet(0, 0, 0, 1, False, b"\0\0\1\0unit"))
