import av
import pytest
from av.sidedata.sidedata import Type

from segtriton_protocol import HdrMetadata
from segtriton_protocol.hdr_metadata import MAX_16_BITS, MAX_LUMINANCE
from segtriton_protocol.json_fields import JsonFields


@pytest.mark.parametrize(
    "hdr",
    [
        HdrMetadata((1, 2, 3, 4, 5, 6, 7, 8, 10, 9), (1000, 400)),
        HdrMetadata((MAX_16_BITS,) * 8 + (MAX_LUMINANCE, MAX_LUMINANCE)),
        HdrMetadata((0,) * 10),
        HdrMetadata(content_light=(MAX_16_BITS, MAX_16_BITS)),
    ],
)
def test_x264_takes_whatever_the_wire_lets_through(hdr: HdrMetadata) -> None:
    assert HdrMetadata.from_json(JsonFields(hdr.to_json(), "hdr")) == hdr
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.framerate = 64, 48, "yuv420p", 25
    encoder.options = {"x264-params": hdr.x264_params()}
    frame = av.VideoFrame(64, 48, "yuv420p")
    frame.pts = 0
    (packet,) = [*encoder.encode(frame), *encoder.encode(None)]
    decoder = av.CodecContext.create("h264", "r")
    (decoded,) = [*decoder.decode(av.Packet(bytes(packet))), *decoder.decode(None)]

    assert (Type.MASTERING_DISPLAY_METADATA in decoded.side_data) == bool(hdr.mastering_display)
    assert (Type.CONTENT_LIGHT_LEVEL in decoded.side_data) == bool(hdr.content_light)


def test_nothing_known_is_false() -> None:
    assert not HdrMetadata()
    assert HdrMetadata().x264_params() == ""
