"""What the pipeline asks of an encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

from segtriton_protocol import PLAIN_PIXEL_FORMAT, ColorTags, HdrMetadata, OutputSpec


@dataclass(frozen=True, slots=True)
class EncoderSetup:
    """What an encoder must know before the first frame; sizes in pixels, `pixel_format` of what it is given.

    Attributes:
        num_threads: threads that may share one picture.
        num_frame_threads: pictures that may be coded at the same time, each on a thread of its own; with more than 1,
            an encoder may hold as many back.
    """

    size_hw: tuple[int, int]
    mask_hw: tuple[int, int]
    time_base: Fraction
    frame_rate: Fraction | None
    color: ColorTags
    output: OutputSpec
    num_threads: int
    low_delay: bool
    sample_aspect: Fraction | None = None
    pixel_format: str = PLAIN_PIXEL_FORMAT
    hdr: HdrMetadata = field(default_factory=HdrMetadata)
    num_frame_threads: int = 1


@dataclass(frozen=True, slots=True)
class FrameTag:
    """Which frame an encoded packet shows, in the session's time base, and whether the decoder had to mend it."""

    seq: int
    pts: int | None
    duration: int
    is_damaged: bool = False


@dataclass(frozen=True, slots=True)
class Canvas:
    """Pictures to draw on, whose memory the encoder then reads; `owner` is the encoder's."""

    pictures: Any
    owner: object = None


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One compressed frame."""

    tag: FrameTag
    payload: bytes
    is_keyframe: bool


class Encoder(Protocol):
    """One session's encoder; one thread at a time. Frames come out in the order they went in.

    An encoder that takes the bare masks has `takes_mask` and is given no canvas. Pictures and masks are what the
    accelerator's parts pass between them: NumPy planes on the CPU, CUDA tensors on a GPU.
    """

    @property
    def name(self) -> str:
        """FFmpeg's name of the encoder."""

    @property
    def codec(self) -> str:
        """FFmpeg's name of what it makes."""

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name of what a decoder of its output gives."""

    @property
    def extradata(self) -> bytes:
        """What a muxer must know before the first packet."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of what comes out, in pixels."""

    @property
    def takes_mask(self) -> bool:
        """Whether it takes bare masks and no pictures."""

    def canvas(self, like: Any) -> Canvas:
        """Return pictures to draw on, of the number, size and colour of `like`."""

    def encode(self, canvas: Canvas, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        """Take the drawn pictures, one tag each; return what is ready."""

    def encode_masks(self, masks: Any, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        """Take masks, one tag each; return what is ready."""

    def flush(self) -> list[EncodedFrame]:
        """Return what is left at the end."""

    def close(self) -> None:
        """Release the encoder."""
