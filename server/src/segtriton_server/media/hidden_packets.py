"""Packets that a decoder takes without giving a picture for them, though nothing is lost.

Second fields, frames that are only referred to, parameter sets and messages by themselves. Only headers are read; what
cannot be read is taken for a picture, so that the decoder decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from segtriton_protocol import Packet, SegtritonError, VideoFormat
from segtriton_server.media.bit_reader import BitReader
from segtriton_server.media.bitstream import Bitstream
from segtriton_server.media.h264_fields import PPS, SPS, FieldPairs

_START_CODE = b"\0\0\1"
# Long enough for a slice's first fields, and for a parameter set with scaling lists.
_UNIT_HEAD_BYTES = 1024
# First bytes of units, and types, that say something and show nothing: messages, delimiters, parameter sets, filler.
_H264_PLAIN_HEADERS = frozenset(
    (6, 9, 10, 11, 12, *(type_ | level << 5 for type_ in (7, 8, 13) for level in (1, 2, 3)))
)
_H264_SLICES = (1, 2, 5)  # those that begin with a slice's header
_HEVC_PLAIN_TYPES = range(32, 41)
_HEVC_RANDOM_ACCESS, _HEVC_BROKEN_LINKS, _HEVC_SKIPPED_LEADING = range(16, 24), range(16, 19), (8, 9)
_HEVC_ENDS = (b"\x48\1", b"\x4a\1")  # of a sequence, of the stream
_VP8_MAX_VERSION, _VP8_TAG_BYTES = 3, 3
_VP9_FRAME_MARKER, _VP9_SUPERFRAME_MARKER = 0b10, 0b110
_OBU_SEQUENCE_HEADER, _OBU_FRAME_HEADER, _OBU_FRAME = 1, 3, 6


class HiddenPackets:
    """Tells which packets of one stream give no picture of their own.

    Attributes:
        num_leading: those of HEVC that refer to pictures before the keyframe with which the decoder began.
    """

    def __init__(self, video: VideoFormat) -> None:
        """Take the stream's coding."""
        checks: dict[str, Callable[[bytes], bool]] = {
            "h264": self._is_hidden_h264,
            "hevc": self._is_hidden_hevc,
            "vp8": _is_hidden_vp8,
            "vp9": _is_hidden_vp9,
            "av1": _is_hidden_av1,
        }
        self._check = checks.get(video.codec)
        self.num_leading = 0
        self._fields = FieldPairs()
        self._begins = True
        self._skips_leading = False
        self._length_bytes = 0
        try:
            bitstream = Bitstream(video)
            self._length_bytes = bitstream.length_bytes
            if video.codec == "h264":
                for unit in _annexb_heads(bitstream.headers):
                    if unit[0] & 31 in (SPS, PPS):
                        self._fields.read_parameters(unit)
        except (IndexError, SegtritonError):
            pass  # the decoder says what is wrong with it

    def is_hidden(self, packet: Packet) -> bool:
        """Tell whether a packet, the next in decoding order, gives no picture of its own."""
        try:
            return self._check is not None and self._check(packet.payload)
        except IndexError:
            return False

    def _is_hidden_h264(self, payload: bytes) -> bool:
        fields = set()
        is_plain = False
        for unit in self._heads(payload):
            is_plain = unit[0] in _H264_PLAIN_HEADERS
            if unit[0] & 31 in _H264_SLICES and self._fields.are_coded:
                fields.add(self._fields.field_of(unit))
            elif not is_plain:
                return False
            elif unit[0] & 31 in (SPS, PPS):
                self._fields.read_parameters(unit)
        return self._fields.is_second(fields) if fields else is_plain

    def _is_hidden_hevc(self, payload: bytes) -> bool:
        kinds = (unit[0] >> 1 for unit in self._heads(payload))
        first = next((kind for kind in kinds if kind not in _HEVC_PLAIN_TYPES), None)
        if first in _HEVC_RANDOM_ACCESS:
            self._skips_leading = self._begins or first in _HEVC_BROKEN_LINKS
        self._begins = (self._begins and first is None) or payload.endswith(_HEVC_ENDS)
        is_leading = first in _HEVC_SKIPPED_LEADING and self._skips_leading
        self.num_leading += is_leading
        return is_leading or (first is None and any(True for _ in self._heads(payload)))

    def _heads(self, payload: bytes) -> Iterator[bytes]:
        """Give how each NAL unit begins."""
        return _prefixed_heads(payload, self._length_bytes) if self._length_bytes else _annexb_heads(payload)


def _annexb_heads(payload: bytes) -> Iterator[bytes]:
    start = payload.find(_START_CODE) + len(_START_CODE)
    while len(_START_CODE) <= start < len(payload):
        yield payload[start : start + _UNIT_HEAD_BYTES]
        start = payload.find(_START_CODE, start) + len(_START_CODE)


def _prefixed_heads(payload: bytes, length_bytes: int) -> Iterator[bytes]:
    position = 0
    while position + length_bytes < len(payload):
        start = position + length_bytes
        position = start + int.from_bytes(payload[position:start], "big")
        if position > start:
            yield payload[start : min(position, start + _UNIT_HEAD_BYTES)]


def _is_hidden_vp8(payload: bytes) -> bool:
    tag = BitReader(payload[:_VP8_TAG_BYTES][::-1])
    first_partition, is_shown, version = tag.take(19), tag.take(), tag.take(3)
    is_sound = version <= _VP8_MAX_VERSION and 0 < first_partition <= len(payload) - _VP8_TAG_BYTES
    return is_sound and not is_shown


def _is_hidden_vp9(payload: bytes) -> bool:
    if payload[-1] >> 5 == _VP9_SUPERFRAME_MARKER:  # its last frame is shown
        return False
    bits = BitReader(payload[:2])
    if bits.take(2) != _VP9_FRAME_MARKER:
        return False
    is_profile_3 = bits.take(2) == 3
    bits.take(is_profile_3)
    if bits.take():  # show_existing_frame
        return False
    bits.take()  # frame_type
    return not bits.take()


def _is_hidden_av1(payload: bytes) -> bool:
    has_frame = False
    for kind, head in list(_obu_heads(payload)):
        bits = BitReader(head)
        if kind == _OBU_SEQUENCE_HEADER:
            bits.take(4)
            if bits.take():  # reduced_still_picture_header: all frames are shown
                return False
        elif kind in (_OBU_FRAME_HEADER, _OBU_FRAME):
            has_frame = True
            if bits.take():  # show_existing_frame
                return False
            bits.take(2)  # frame_type
            if bits.take():  # show_frame
                return False
    return has_frame


def _obu_heads(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the type and the first byte of each unit; raises IndexError where they do not add up."""
    position = 0
    while position < len(payload):
        header = payload[position]
        position += 2 if header & 4 else 1
        size = len(payload) - position
        if header & 2:
            size, position = _read_leb128(payload, position)
        yield header >> 3, payload[position : position + 1]
        position += size
    if position > len(payload):
        raise IndexError("an OBU reaches beyond the packet's end")


def _read_leb128(payload: bytes, position: int) -> tuple[int, int]:
    """Return a number of AV1 (4.10.5) and where it ends."""
    value = 0
    for count in range(8):
        byte = payload[position + count]
        value |= (byte & 127) << 7 * count
        if byte < 128:
            return value, position + count + 1
    raise IndexError("the size of an OBU is damaged")
