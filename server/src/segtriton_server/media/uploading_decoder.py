"""The CPU's decoder in a pipeline on a GPU: what NVDEC does not decode is uploaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import cast

import numpy as np
import torch
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange as AvColorRange

from segtriton_protocol import Packet
from segtriton_server.device.pictures import DevicePictures, record_event
from segtriton_server.device.pinned_upload import PinnedUpload
from segtriton_server.device.streams import StreamPool
from segtriton_server.frames import ColorRange, Picture
from segtriton_server.media.color_tags import COLORSPACES
from segtriton_server.media.decoder import Decoded, Decoder, FrameGroup


class UploadingDecoder:
    """Passes a CPU decoder's pictures on as NV12, or as RGB where a side is odd."""

    def __init__(self, decoder: Decoder, streams: StreamPool, reason: str, group_size: int) -> None:
        """Wrap a decoder; `reason` says why it is not the GPU's, and a group has at most `group_size` pictures."""
        self._group_size = group_size
        self.name = f"{decoder.name} ({reason})"
        self._decoder = decoder
        self._staging = PinnedUpload()
        self._stream = streams.lend()
        streams.give_back_with(self, self._stream)

    @property
    def notes(self) -> tuple[str, ...]:
        """See `Decoder`."""
        return self._decoder.notes

    def decode(self, packets: Sequence[Packet]) -> Decoded:
        """See `Decoder`."""
        return self._upload(self._decoder.decode(packets))

    def flush(self) -> Decoded:
        """See `Decoder`."""
        return self._upload(self._decoder.flush())

    def close(self) -> None:
        """See `Decoder`."""
        self._decoder.close()

    def _upload(self, decoded: Decoded) -> Decoded:
        with torch.cuda.stream(self._stream):
            return Decoded(list(self._groups(decoded.groups)), decoded.damaged)

    def _groups(self, singles: Sequence[FrameGroup]) -> Iterator[FrameGroup]:
        """Join single frames that are alike."""
        for _, alike in groupby(singles, lambda single: _kind(cast(Picture, single.pictures))):
            while frames := list(islice(alike, self._group_size)):
                yield self._group(frames)

    def _group(self, frames: Sequence[FrameGroup]) -> FrameGroup:
        seqs = tuple(seq for frame in frames for seq in frame.seqs)
        height, width = frames[0].pictures.size_hw
        is_odd = height % 2 or width % 2
        damaged = frozenset[int]().union(*(frame.damaged for frame in frames))
        return FrameGroup(seqs, self._rgb(frames) if is_odd else self._nv12(frames), damaged=damaged)

    def _nv12(self, frames: Sequence[FrameGroup]) -> DevicePictures:
        pictures = [cast(Picture, frame.pictures) for frame in frames]
        height, width = pictures[0].size_hw
        num_luma, num_chroma = height * width, height * width // 4
        planar = self._staging.array((len(pictures), num_luma + 2 * num_chroma))
        for picture, room in zip(pictures, planar, strict=True):
            bounds = [0, num_luma, num_luma + num_chroma, num_luma + 2 * num_chroma]
            for plane, start, end in zip(picture.planes, bounds, bounds[1:], strict=False):
                room[start:end].reshape(plane.shape)[:] = plane
        uploaded = self._staging.send(planar.shape)
        luma = uploaded[:, :num_luma].view(-1, height, width, 1)
        halves = uploaded[:, num_luma:].view(-1, 2, height // 2, width // 2)
        chroma = halves.permute(0, 2, 3, 1).contiguous()
        return DevicePictures((luma, chroma), pictures[0].matrix, pictures[0].color_range, record_event())

    def _rgb(self, frames: Sequence[FrameGroup]) -> DevicePictures:
        converted = np.stack([_to_rgb(frame) for frame in frames])
        return DevicePictures((self._staging.upload(converted),), ready=record_event())


def _kind(picture: Picture) -> tuple[object, ...]:
    return picture.size_hw, picture.matrix, picture.color_range


def _to_rgb(frame: FrameGroup) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    picture = cast(Picture, frame.pictures)
    is_full = picture.color_range is ColorRange.FULL
    converted = cast(VideoFrame, frame.owner).reformat(
        format="rgb24",
        src_colorspace=COLORSPACES[picture.matrix],
        src_color_range=AvColorRange.JPEG if is_full else AvColorRange.MPEG,
        dst_color_range=AvColorRange.JPEG,
    )
    return cast("np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", converted.to_ndarray())
