"""What the pipeline asks of an encoder."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from segtriton_protocol import ColorTags, OutputSpec
from segtriton_server.frames import Picture, Plane


@dataclass(frozen=True, slots=True)
class EncoderSetup:
    """What an encoder must know before the first frame; sizes in pixels."""

    size_hw: tuple[int, int]
    mask_hw: tuple[int, int]
    time_base: Fraction
    frame_rate: Fraction | None
    color: ColorTags
    output: OutputSpec
    num_threads: int
    low_delay: bool


@dataclass(frozen=True, slots=True)
class FrameTag:
    """Which frame an encoded packet shows, in the session's time base."""

    seq: int
    pts: int | None
    duration: int


@dataclass(frozen=True, slots=True)
class Canvas:
    """A picture to draw on, whose memory the encoder then reads; `owner` is the encoder's."""

    picture: Picture
    owner: object


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One compressed frame."""

    tag: FrameTag
    payload: bytes
    is_keyframe: bool


class Encoder(Protocol):
    """One session's encoder; one thread at a time. Frames come out in the order they went in.

    An encoder that takes the bare mask has `takes_mask` and is given no canvas.
    """

    @property
    def name(self) -> str:
        """FFmpeg's name of the encoder."""

    @property
    def codec(self) -> str:
        """FFmpeg's name of what it makes."""

    @property
    def extradata(self) -> bytes:
        """What a muxer must know before the first packet."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of what comes out, in pixels."""

    @property
    def takes_mask(self) -> bool:
        """Whether it takes bare masks and no pictures."""

    def canvas(self, like: Picture) -> Canvas:
        """Return a picture to draw on, of the size and colour of `like`."""

    def encode(self, canvas: Canvas, tag: FrameTag) -> list[EncodedFrame]:
        """Take one drawn picture; return what is ready."""

    def encode_mask(self, mask: Plane, tag: FrameTag) -> list[EncodedFrame]:
        """Take one mask [h, w]; return what is ready."""

    def flush(self) -> list[EncodedFrame]:
        """Return what is left at the end."""

    def close(self) -> None:
        """Release the encoder."""
