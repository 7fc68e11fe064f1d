"""What came back from a session, decoded and compared with what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import av
import av.error
import numpy as np

from segtriton_client.numbered_clip import read_number
from segtriton_protocol import Packet


class WrongPictureError(Exception):
    """A frame came back with another picture, timestamp or duration than it was sent with."""


def check_frames(sent: Sequence[Packet], received: Sequence[Packet], codec: str, extradata: bytes) -> None:
    """Raise WrongPictureError unless every packet came back once, in order, with its time and its own picture."""
    if [packet.seq for packet in received] != [packet.seq for packet in sent]:
        raise WrongPictureError(f"Of {len(sent)} frames {len(received)} came back, or in another order.")
    for ours, theirs in zip(sent, received, strict=True):
        if (ours.pts, ours.duration) != (theirs.pts, theirs.duration):
            raise WrongPictureError(f"Frame {ours.seq} came back with another timestamp or duration.")
    numbers = read_numbers(received, codec, extradata)
    for packet, number in zip(sent, numbers, strict=True):
        if number != packet.seq:
            raise WrongPictureError(f"Frame {packet.seq} shows the picture of frame {number}.")


def read_numbers(packets: Sequence[Packet], codec: str, extradata: bytes) -> list[int]:
    """Return the number that each decoded picture shows; raises WrongPictureError unless each packet holds one."""
    decoder: Any = av.CodecContext.create(codec, "r")
    decoder.extradata = extradata or None
    try:
        frames = [frame for packet in packets for frame in decoder.decode(av.Packet(packet.payload))]
        frames += decoder.decode(None)
    except av.error.FFmpegError as error:
        raise WrongPictureError(f"What came back does not decode: {error.strerror}.") from None
    if len(frames) != len(packets):
        raise WrongPictureError(f"{len(packets)} packets came back and held {len(frames)} pictures.")
    return [read_number(np.asarray(frame.to_ndarray(format="gray8"), np.uint8)) for frame in frames]
