"""H.264 written and rewritten bit by bit, for what no encoder here makes (ITU-T H.264, 7.3)."""

from collections.abc import Iterable, Iterator

START = b"\0\0\0\1"
_SPS, _PPS, _IDR, _SLICE, _AUD = 0x67, 0x68, 0x65, 0x61, 9
_MAIN_PROFILE, _LEVEL = 77, 30
_I_SLICE, _I_PCM = 7, 25
_FRAME_NUM_BITS = 4
_TYPE_BITS = 31
_SIDE = 16

Fields = Iterable[tuple[int, int]]
"""Values and how many bits each has."""


def ue(value: int) -> tuple[int, int]:
    """Return an Exp-Golomb code and its length."""
    return value + 1, 2 * (value + 1).bit_length() - 1


def pack(fields: Fields) -> bytes:
    """Return the fields as bytes, behind them the trailing bits of an RBSP."""
    bits = "".join(f"{value:0{length}b}" for value, length in fields) + "1"
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def unit(header: int, rbsp: bytes) -> bytes:
    """Return a NAL unit with start code and emulation prevention."""
    escaped = bytearray()
    for value in rbsp:
        if value <= 3 and escaped[-2:] == b"\0\0":
            escaped.append(3)
        escaped.append(value)
    return START + bytes((header,)) + bytes(escaped)


def split(payload: bytes) -> list[bytes]:
    """Return the NAL units of an Annex B packet, without start codes."""
    return [found.rstrip(b"\0") for found in payload.split(b"\0\0\1") if found.rstrip(b"\0")]


def without_reorder_depth(payload: bytes) -> bytes:
    """Cut the VUI, which states the reorder depth, off the parameter sets of a packet in x264's Main profile."""
    return b"".join(
        START + (_cut_vui(found) if found[0] & _TYPE_BITS == _SPS & _TYPE_BITS else found) for found in split(payload)
    )


def _cut_vui(sps: bytes) -> bytes:
    bits = "".join(f"{value:08b}" for value in sps.replace(b"\0\0\3", b"\0\0"))
    assert sps[1] == _MAIN_PROFILE
    at = _skip_codes(bits, 32, 3)  # up to pic_order_cnt_type, which is 0
    at = _skip_codes(bits, at, 2) + 1  # gaps_in_frame_num_value_allowed_flag
    at = _skip_codes(bits, at, 2)
    at += 2 if bits[at] == "1" else 3  # frame_mbs_only_flag and what follows it
    at = _skip_codes(bits, at + 1, 4) if bits[at] == "1" else at + 1  # cropping
    assert bits[at] == "1", "there is a VUI"
    kept = bits[8:at] + "0"
    return unit(sps[0], pack((int(bit), 1) for bit in kept))[len(START) :]


def _skip_codes(bits: str, at: int, count: int) -> int:
    for _ in range(count):
        at += 2 * (bits.index("1", at) - at) + 1
    return at


def field_packets(num_frames: int, width: int, height: int) -> Iterator[bytes]:
    """Give pictures of plain grey as fields, a packet for each (PAFF): the top one, then the bottom one."""
    columns, rows = width // _SIDE, height // (2 * _SIDE)
    for number in range(num_frames):
        frame_num = number % (1 << _FRAME_NUM_BITS)
        head = _parameter_sets(columns, rows) if number == 0 else b""
        for is_bottom in (0, 1):
            level = 40 + 10 * number + 5 * is_bottom
            yield head + _field(number == 0 and not is_bottom, frame_num, is_bottom, level, columns * rows)
            head = b""


def _parameter_sets(columns: int, rows: int) -> bytes:
    sps = [(_MAIN_PROFILE, 8), (0, 8), (_LEVEL, 8), ue(0), ue(_FRAME_NUM_BITS - 4), ue(2), ue(1), (0, 1)]
    sps += [ue(columns - 1), ue(rows - 1), (0, 1), (0, 1), (1, 1), (0, 1), (0, 1)]
    pps = [ue(0), ue(0), (0, 1), (0, 1), ue(0), ue(0), ue(0), (0, 1), (0, 2), ue(0), ue(0), ue(0), (0, 3)]
    return unit(_SPS, pack(sps)) + unit(_PPS, pack(pps))


def _field(is_idr: bool, frame_num: int, is_bottom: int, level: int, num_blocks: int) -> bytes:
    header = [ue(0), ue(_I_SLICE), ue(0), (frame_num, _FRAME_NUM_BITS), (1, 1), (is_bottom, 1)]
    header += [ue(0), (0, 2)] if is_idr else [(0, 1)]  # idr_pic_id; dec_ref_pic_marking
    header += [ue(0)]  # slice_qp_delta, whose code is that of 0 signed, too
    bits = list(header)
    for _ in range(num_blocks):
        bits.append(ue(_I_PCM))
        used = sum(length for _, length in bits)
        bits.append((0, -used % 8))
        bits += [(level, 8)] * 256 + [(128, 8)] * 128
    return unit(_IDR if is_idr else _SLICE, pack(field for field in bits if field[1]))
