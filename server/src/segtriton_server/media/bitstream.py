"""Packets as hardware decoders want them: start codes before each unit, parameter sets in the stream."""

from __future__ import annotations

from collections.abc import Iterator

from segtriton_protocol import ErrorCode, Framing, Packet, SegtritonError, VideoFormat

_START_CODE = b"\0\0\0\1"
_AVCC_LENGTH_OFFSET, _HVCC_LENGTH_OFFSET = 4, 21
_AV1C_HEADER_BYTES = 4


class DamagedPacketError(ValueError):
    """A packet's units do not add up to its length."""


class Bitstream:
    """Rewrites one session's packets; keeps no packet.

    Attributes:
        headers: the parameter sets of the extradata, with start codes.
        length_bytes: how many bytes stand before each unit for its length; 0 where units have start codes.
    """

    def __init__(self, video: VideoFormat) -> None:
        """Read the parameter sets from the extradata.

        Raises:
            SegtritonError: UNSUPPORTED_FORMAT where the extradata is cut short.
        """
        self.length_bytes = 0
        self._is_first = True
        self.headers = video.extradata
        try:
            if video.framing is Framing.LENGTH_PREFIXED:
                self._read_parameter_sets(video.codec, video.extradata)
            elif video.framing is Framing.OBU:
                self.headers = video.extradata[_AV1C_HEADER_BYTES:]
        except IndexError:
            raise SegtritonError(ErrorCode.UNSUPPORTED_FORMAT, "The stream's extradata is cut short.") from None

    def rewrite(self, packet: Packet) -> bytes:
        """Return a packet with what the decoder must know before it.

        Parameter sets come before each keyframe where the container keeps them apart, and else before the first packet.

        Raises:
            DamagedPacketError: lengths point beyond the packet's end.
        """
        payload = bytes(packet.payload)
        needs_headers = self._is_first or (packet.is_keyframe and self.length_bytes > 0)
        if self.length_bytes:
            payload = b"".join(_START_CODE + unit for unit in self._units(payload))
        self._is_first = False
        return self.headers + payload if needs_headers else payload

    def _units(self, payload: bytes) -> Iterator[bytes]:
        position = 0
        # libavcodec ignores a rest that is shorter than a length, too.
        while position + self.length_bytes <= len(payload):
            start = position + self.length_bytes
            position = start + int.from_bytes(payload[position:start], "big")
            if position > len(payload):
                raise DamagedPacketError("a unit reaches beyond the packet's end")
            yield payload[start:position]

    def _read_parameter_sets(self, codec: str, extradata: bytes) -> None:
        """Read `avcC` (ISO/IEC 14496-15, 5.3.3) or `hvcC` (8.3.3)."""
        is_hevc = codec == "hevc"
        self.length_bytes = (extradata[_HVCC_LENGTH_OFFSET if is_hevc else _AVCC_LENGTH_OFFSET] & 3) + 1
        units = _hvcc_units(extradata) if is_hevc else _avcc_units(extradata)
        self.headers = b"".join(_START_CODE + unit for unit in units)


def _avcc_units(extradata: bytes) -> list[bytes]:
    units: list[bytes] = []
    num_sps = extradata[5] & 31
    position = _read_units(extradata, 6, num_sps, units)
    _read_units(extradata, position + 1, extradata[position], units)
    return units


def _hvcc_units(extradata: bytes) -> list[bytes]:
    units: list[bytes] = []
    position = 23
    for _ in range(extradata[22]):
        num_units = int.from_bytes(extradata[position + 1 : position + 3], "big")
        position = _read_units(extradata, position + 3, num_units, units)
    return units


def _read_units(extradata: bytes, position: int, count: int, units: list[bytes]) -> int:
    """Append units that each have two bytes of length before them; return where they end."""
    for _ in range(count):
        length = extradata[position] << 8 | extradata[position + 1]
        position += 2 + length
        if position > len(extradata):
            raise IndexError(position)
        units.append(extradata[position - length : position])
    return position
