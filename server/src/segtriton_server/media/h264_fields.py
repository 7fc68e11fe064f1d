"""Which packets of H.264 hold the second field of a picture whose first one came in a packet of its own (PAFF)."""

from __future__ import annotations

from dataclasses import dataclass

from segtriton_server.media.bit_reader import BitReader

SPS, PPS = 7, 8
# Profiles whose parameter sets say more of the samples (ITU-T H.264, 7.3.2.1.1).
_HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)
_CHROMA_444 = 3
_SLICE_HEAD_BYTES = 32
_NUM_LISTS, _NUM_LISTS_444, _NUM_SMALL_LISTS = 8, 12, 6


@dataclass(frozen=True, slots=True)
class _Sequence:
    frame_num_bits: int
    has_fields: bool
    has_separate_planes: bool


class FieldPairs:
    """Follows the fields of one stream, in decoding order."""

    def __init__(self) -> None:
        """Know no parameter sets yet."""
        self._sequences: dict[int, _Sequence] = {}
        self._sequence_of: dict[int, int] = {}
        self._unpaired: tuple[int, int] | None = None

    @property
    def are_coded(self) -> bool:
        """Whether the stream may hold fields, as far as its parameter sets are known."""
        return any(sequence.has_fields for sequence in self._sequences.values())

    def read_parameters(self, unit: bytes) -> None:
        """Take a NAL unit that holds a sequence or a picture parameter set; raises IndexError."""
        bits = BitReader(_unescape(unit[1:]))
        if unit[0] & 31 == PPS:
            picture = bits.take_ue()
            self._sequence_of[picture] = bits.take_ue()
            return
        number, sequence = _read_sequence(bits)
        self._sequences[number] = sequence

    def field_of(self, unit: bytes) -> tuple[int, int] | None:
        """Return the frame number and the parity (1 for the bottom) of a slice's field, None if it is of a frame."""
        bits = BitReader(_unescape(unit[1:_SLICE_HEAD_BYTES]))
        bits.take_ue()  # first_mb_in_slice
        bits.take_ue()  # slice_type
        sequence = self._sequences.get(self._sequence_of.get(bits.take_ue(), 0))
        if sequence is None or not sequence.has_fields:
            return None
        bits.take(2 * sequence.has_separate_planes)
        frame_num = bits.take(sequence.frame_num_bits)
        return (frame_num, bits.take()) if bits.take() else None

    def is_second(self, fields: set[tuple[int, int] | None]) -> bool:
        """Tell whether a packet whose slices are of these fields completes the picture of the packet before it."""
        field = next(iter(fields)) if len(fields) == 1 else None
        if field is None:
            self._unpaired = None
            return False
        is_second = self._unpaired == (field[0], 1 - field[1])
        self._unpaired = None if is_second else field
        return is_second


def _read_sequence(bits: BitReader) -> tuple[int, _Sequence]:
    profile = bits.take(8)
    bits.take(16)  # constraints and level
    number = bits.take_ue()
    has_separate_planes = False
    if profile in _HIGH_PROFILES:
        chroma = bits.take_ue()
        has_separate_planes = chroma == _CHROMA_444 and bool(bits.take())
        bits.take_ue()  # bit_depth_luma_minus8
        bits.take_ue()  # bit_depth_chroma_minus8
        bits.take()  # qpprime_y_zero_transform_bypass_flag
        if bits.take():
            _skip_scaling_lists(bits, _NUM_LISTS_444 if chroma == _CHROMA_444 else _NUM_LISTS)
    frame_num_bits = bits.take_ue() + 4
    _skip_picture_order(bits)
    bits.take_ue()  # max_num_ref_frames
    bits.take()  # gaps_in_frame_num_value_allowed_flag
    bits.take_ue()  # pic_width_in_mbs_minus1
    bits.take_ue()  # pic_height_in_map_units_minus1
    return number, _Sequence(frame_num_bits, not bits.take(), has_separate_planes)


def _skip_picture_order(bits: BitReader) -> None:
    kind = bits.take_ue()
    if kind == 0:
        bits.take_ue()  # log2_max_pic_order_cnt_lsb_minus4
    elif kind == 1:
        bits.take()  # delta_pic_order_always_zero_flag
        bits.take_ue()  # offset_for_non_ref_pic
        bits.take_ue()  # offset_for_top_to_bottom_field
        for _ in range(bits.take_ue()):
            bits.take_ue()  # offset_for_ref_frame


def _skip_scaling_lists(bits: BitReader, count: int) -> None:
    for number in range(count):
        if not bits.take():
            continue
        last = scale = 8
        for _ in range(16 if number < _NUM_SMALL_LISTS else 64):
            if scale:
                code = bits.take_ue()
                scale = (last + (code + 1 >> 1 if code & 1 else -(code >> 1))) % 256
            last = scale or last


def _unescape(payload: bytes) -> bytes:
    return payload.replace(b"\0\0\3", b"\0\0")
