"""The GPU's own decoder, through PyNvVideoCodec; pictures stay on the device."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from segtriton_protocol import ErrorCode, Packet, SegtritonError, VideoFormat
from segtriton_server.device.memory import with_memory
from segtriton_server.device.pictures import DevicePictures, nv12_planes, record_event
from segtriton_server.media.bitstream import Bitstream, DamagedPacketError
from segtriton_server.media.color_tags import picture_color
from segtriton_server.media.decoder import Decoded, FrameGroup
from segtriton_server.media.display_numbers import DisplayNumbers
from segtriton_server.media.nvdec_pool import DecoderKind, NvdecPool, PooledDecoder

_LOG = logging.getLogger(__name__)
_KEPT_FORMATS = ("", "yuv420p", "yuvj420p", "nv12")


class UnsupportedStreamError(Exception):
    """NVDEC refused a stream before it gave a picture; another decoder can begin anew."""


class NvdecDecoder:
    """Decodes 4:2:0 with even sizes to 8-bit NV12; what has more bits loses the least significant ones.

    A stream whose size changes keeps the size it began with: the chip scales.
    """

    def __init__(self, video: VideoFormat, pool: NvdecPool, nvc: Any, *, group_size: int, low_delay: bool) -> None:
        """Take a decoder from the pool.

        Args:
            video: the stream.
            pool: lends the decoder.
            nvc: the module PyNvVideoCodec.
            group_size: the most pictures of a group.
            low_delay: whether each picture must come as soon as it can.
        """
        self.name = f"nvdec {video.codec}"
        is_kept = video.pixel_format in _KEPT_FORMATS
        self.notes = () if is_kept else (f"The pictures are {video.pixel_format}; converted to nv12, 8 bits.",)
        self._video = video
        self._pool = pool
        self._nvc = nvc
        self._group_size = group_size
        self._bitstream = Bitstream(video)
        self._numbers = DisplayNumbers()
        size_wh = video.width, video.height
        kind = DecoderKind(video.codec, video.pixel_format, low_delay)
        self._pooled: PooledDecoder | None = pool.acquire(nvc, kind, size_wh)
        self._has_begun = False
        self._has_shown = False
        self._shown_wh: tuple[int, int] | None = None
        self._is_flushed = True
        self._is_sound = True

    def decode(self, packets: Sequence[Packet]) -> Decoded:
        """See `Decoder`; raises UnsupportedStreamError."""
        if not self._has_begun and packets[0].pts is None and self._video.reorder_frames:
            # NVDEC names pictures in rising order, and without a pts nothing tells which packet comes in which place.
            raise UnsupportedStreamError("its pictures are reordered and have no pts")
        self._has_begun = True
        groups = self._groups(len(packets))  # about as many pictures come out as packets go in
        damaged = 0
        has_shown = self._has_shown
        with torch.cuda.stream(groups.stream):
            for packet in packets:
                try:
                    self._decode(self._bitstream.rewrite(packet), packet.seq, packet.pts, groups)
                except DamagedPacketError:
                    damaged += 1
                except UnsupportedStreamError as error:
                    if has_shown:
                        raise SegtritonError(
                            ErrorCode.UNSUPPORTED_FORMAT, "The stream changed to what this GPU's decoder does not take."
                        ) from error
                    raise  # no picture has left this object yet: the other decoder can begin anew
        return Decoded(groups.finish(), damaged)

    def flush(self) -> Decoded:
        """See `Decoder`."""
        groups = self._groups(self._group_size)
        damaged = 0
        try:
            with torch.cuda.stream(groups.stream):
                self._run(self._nvc.PacketData(), groups)
        except DamagedPacketError:
            damaged = 1
        self._is_flushed = True
        return Decoded(groups.finish(), damaged)

    def close(self) -> None:
        """Give the decoder back to the pool, or drop it where it has failed. Calling it again does nothing."""
        pooled, self._pooled = self._pooled, None
        # One whose stream had another size than said would scale the next session's pictures to it.
        if pooled is None or not self._is_sound or self._shown_wh not in (None, pooled.size_wh):
            return
        if not self._is_flushed:
            try:
                pooled.decoder.Decode(self._nvc.PacketData())
            except Exception:  # noqa: BLE001 - whatever it is, the decoder is dropped
                _LOG.debug("a decoder could not be flushed and is dropped", exc_info=True)
                return
        self._pool.give_back(pooled)

    def _decode(self, payload: bytes, seq: int, pts: int | None, groups: _GroupBuilder) -> None:
        memory = np.frombuffer(payload, np.uint8)
        packet = self._nvc.PacketData()
        packet.bsl = len(payload)
        packet.bsl_data = memory.ctypes.data
        packet.pts = self._numbers.give(seq, pts)
        packet.decode_flag = self._nvc.VideoPacketFlag.ENDOFPICTURE
        self._is_flushed = False
        self._run(packet, groups)

    def _run(self, packet: Any, groups: _GroupBuilder) -> None:
        assert self._pooled is not None, "the decoder is closed"
        try:
            frames = self._pooled.decoder.Decode(packet)
        except (self._nvc.PyNvVCExceptionUnsupported, self._nvc.PyNvVCException) as error:
            self._is_sound = False
            if not self._has_shown or isinstance(error, self._nvc.PyNvVCExceptionUnsupported):
                raise UnsupportedStreamError(_first_line(error)) from None
            raise DamagedPacketError(_first_line(error)) from None
        for frame in frames:
            self._has_shown = True
            # Given the frame itself, torch asks for device and current stream first, which takes longer than the copy.
            picture = torch.from_dlpack(frame.__dlpack__(stream=self._pooled.stream.cuda_stream))
            self._shown_wh = picture.shape[1], picture.shape[0] * 2 // 3
            groups.add(self._numbers.take(frame.getPTS()), picture)

    def _groups(self, size: int) -> _GroupBuilder:
        assert self._pooled is not None, "the decoder is closed"
        return _GroupBuilder(self._video, self._pooled.stream, min(size, self._group_size))


class _GroupBuilder:
    """Copies pictures out of the decoder's few buffers, which it uses again with the next packet.

    `add` is called while `stream`, the decoder's, is the current one: to change streams takes as long as to copy.
    """

    def __init__(self, video: VideoFormat, stream: torch.cuda.Stream, group_size: int) -> None:
        self.stream = stream
        self._video = video
        self._group_size = group_size
        self._groups: list[FrameGroup] = []
        self._seqs: list[int] = []
        self._buffer: torch.Tensor | None = None
        self._rows: tuple[torch.Tensor, ...] = ()

    def add(self, seq: int, picture: torch.Tensor) -> None:
        """Take a picture [3 * H / 2, W] of 8 or 16 bits."""
        if picture.dtype != torch.uint8:
            picture = picture.view(torch.uint8)[:, 1::2]  # the high byte of each little-endian sample
        if self._buffer is not None and self._buffer.shape[1:] != picture.shape:
            self._close_group()
        if self._buffer is None:
            shape = self._group_size, *picture.shape
            self._buffer = with_memory(lambda: torch.empty(shape, dtype=torch.uint8, device="cuda"))
            self._rows = self._buffer.unbind()  # at once: each call of torch gives the interpreter's lock away
        self._rows[len(self._seqs)].copy_(picture, non_blocking=True)
        self._seqs.append(seq)
        if len(self._seqs) == self._group_size:
            self._close_group()

    def finish(self) -> list[FrameGroup]:
        """The groups so far."""
        if self._seqs:
            self._close_group()
        return self._groups

    def _close_group(self) -> None:
        assert self._buffer is not None
        rows, width = self._buffer.shape[1:]
        height = rows * 2 // 3
        matrix, color_range = picture_color(self._video.color, height)
        planes = nv12_planes(self._buffer[: len(self._seqs)], height, width)
        pictures = DevicePictures(planes, matrix, color_range, record_event(self.stream))
        self._groups.append(FrameGroup(tuple(self._seqs), pictures))
        self._seqs, self._buffer, self._rows = [], None, ()


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if "Error Type" in line), str(error)[:80])
