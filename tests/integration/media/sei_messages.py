"""What encoders write beside a picture's samples, made by hand: captions, HDR10+, Dolby Vision."""

from __future__ import annotations

_T35 = 4  # user_data_registered_itu_t_t35
_H264_SEI, _HEVC_PREFIX_SEI, _HEVC_DOLBY_VISION = b"\x06", b"\x4e\x01", b"\x7c\x01"
_START_CODE = b"\x00\x00\x00\x01"
_MPEG2_USER_DATA, _MPEG2_FIRST_SLICE = b"\x00\x00\x01\xb2", b"\x00\x00\x01\x01"


def captions(number: int) -> bytes:
    """A53's cc_data: a pair of CEA-608 letters and a filler."""
    letters = bytes((0xFC, 0x41 + number % 26, 0x42))
    return letters + b"\xfa\x00\x00"


def with_h264_captions(payload: bytes, number: int) -> bytes:
    """An access unit of Annex B with captions before it."""
    return _START_CODE + _H264_SEI + _sei(b"\xb5\x00\x31" + _a53(number)) + payload


def with_mpeg2_captions(payload: bytes, number: int) -> bytes:
    """A coded picture with captions between its header and its first slice."""
    return payload.replace(_MPEG2_FIRST_SLICE, _MPEG2_USER_DATA + _a53(number) + _MPEG2_FIRST_SLICE, 1)


def with_hdr10_plus(payload: bytes, number: int) -> bytes:
    """An access unit of HEVC in Annex B with the least that SMPTE ST 2094-40 may hold."""
    one_window = b"\x40" + bytes(14)
    return _START_CODE + _HEVC_PREFIX_SEI + _sei(b"\xb5\x00\x3c\x00\x01\x04\x01" + one_window) + payload


def with_dolby_vision(payload: bytes, profile: int) -> bytes:
    """An access unit of HEVC in Annex B with an RPU behind it: of profile 5, or of one with a base layer."""
    return payload + _START_CODE + _HEVC_DOLBY_VISION + _escape(b"\x19" + _rpu(0 if profile == 5 else 1))


def _a53(number: int) -> bytes:
    cc_data = captions(number)
    return b"GA94\x03" + bytes((0x40 | len(cc_data) // 3, 0xFF)) + cc_data + b"\xff"


def _sei(message: bytes) -> bytes:
    return _escape(bytes((_T35, len(message))) + message + b"\x80")


def _escape(payload: bytes) -> bytes:
    """Put emulation prevention bytes in."""
    escaped = bytearray()
    for byte in payload:
        if byte <= 3 and escaped.endswith(b"\x00\x00"):
            escaped.append(3)
        escaped.append(byte)
    return bytes(escaped)


def _rpu(vdr_rpu_profile: int) -> bytes:
    """A reference processing unit that maps nothing, of the least fields; its checksum is zero."""
    header = _bits((2, 6), (0x12, 11), (vdr_rpu_profile, 4), (0, 4), (1, 1), (0, 1), (0, 2)) + _golomb(23)
    header += _bits((1, 2), (vdr_rpu_profile == 0, 1)) + _golomb(2) + _golomb(2) + _golomb(4)
    header += _bits((0, 1), (0, 3), (0, 1), (1, 1), (0, 1), (0, 1)) + _golomb(0) * 3
    pivots = (_golomb(0) + _bits((0, 10), (1023, 10))) * 3
    linear = _golomb(0) + _golomb(0) + "0" + (_golomb(0) + "0" * 23) * 2
    text = header + pivots + _golomb(0) * 2 + linear * 3
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big") + bytes(4) + b"\x80"


def _bits(*fields: tuple[int, int]) -> str:
    return "".join(f"{value:0{length}b}" for value, length in fields)


def _golomb(value: int) -> str:
    digits = f"{value + 1:b}"
    return "0" * (len(digits) - 1) + digits
