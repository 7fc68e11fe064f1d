"""An accelerator whose parts decode, find and draw nothing: what a test of the stages between them needs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from segtriton_protocol import UPRIGHT, Orientation, OutputSpec, Packet, VideoFormat
from segtriton_server.device.memory_patience import call_until_memory_is_back
from segtriton_server.encoders.encoder import Canvas, EncodedFrame, EncoderSetup, FrameTag
from segtriton_server.media.decoder import Decoded, FrameGroup
from segtriton_server.vision.segmenter import ClassIds
from segtriton_server.workers.accelerator import SessionOutput

T = TypeVar("T")

SIZE = (48, 64)


class DeviceLostError(RuntimeError):
    pass


@dataclass(frozen=True)
class Numbered:
    """Pictures that are mere numbers."""

    numbers: tuple[int, ...]
    size_hw: tuple[int, int] = SIZE

    def __len__(self) -> int:
        return len(self.numbers)

    def select(self, positions: Sequence[int]) -> Numbered:
        return Numbered(tuple(self.numbers[position] for position in positions), self.size_hw)


class BackgroundDecoder:
    """Gives a picture for each packet."""

    name = "background"
    notes = ()

    def decode(self, packets: Sequence[Packet]) -> Decoded:
        seqs = tuple(packet.seq for packet in packets)
        return Decoded([FrameGroup(seqs, Numbered(seqs))])

    def flush(self) -> Decoded:
        return Decoded()

    def close(self) -> None:
        pass


@dataclass
class Parts:
    """Decoder, network, compositor and encoder in one; the decoder gives all packets of a call as one group."""

    group_size: int = 4
    takes_mask: bool = False
    state: object = None
    errors: dict[str, Exception] = field(default_factory=dict)
    passing_errors: dict[str, list[Exception]] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)

    name = "parts"
    codec = "numbers"
    pixel_format = "points"
    extradata = b"\1"
    size_hw = SIZE
    warnings = ("The masks are random.",)
    is_better_mirrored = False
    notes = ("It was painted.",)
    classes = ("background", "person")
    default_class = "person"
    licence = "Apache-2.0"
    input_hw = (12, 16)
    max_batch_size = 32

    @property
    def segmenter(self) -> Parts:
        return self

    def choose_format(self, video: VideoFormat, output: OutputSpec) -> str:
        return self.pixel_format

    def open_decoder(self, video: VideoFormat, pixel_format: str, *, low_delay: bool, deinterlace: bool) -> Parts:
        assert pixel_format == self.pixel_format
        self._note("open_decoder", low_delay)
        return self

    def open_output(self, setup: EncoderSetup, beside: SessionOutput | None = None) -> SessionOutput:
        assert setup.pixel_format == self.pixel_format
        self._note("effect", setup.output.effect)
        self._note("open_output", setup.mask_hw)
        return SessionOutput(compositor=self, encoder=self, encoder_reason="It is the only one.")

    def open_background(self, video: VideoFormat, pixel_format: str) -> BackgroundDecoder:
        self._note("open_background", video)
        return BackgroundDecoder()

    def keep_pictures(self, pictures: Sequence[Numbered]) -> Callable[[Sequence[int]], tuple[int, ...]]:
        return lambda positions: tuple(pictures[position].numbers[0] for position in positions)

    def give_memory_back(self) -> None:
        self._note("give_memory_back", None)

    def with_memory(self, call: Callable[[], T]) -> T:
        return call_until_memory_is_back(call, self.is_out_of_memory, self.give_memory_back)

    def is_fatal(self, error: Exception) -> bool:
        return isinstance(error, DeviceLostError)

    def is_out_of_memory(self, error: Exception) -> bool:
        return isinstance(error, MemoryError)

    def decode(self, packets: Sequence[Packet]) -> Decoded:
        seqs = tuple(packet.seq for packet in packets)
        self._note("decode", seqs)
        return Decoded([FrameGroup(seqs, Numbered(seqs))], damaged=0)

    def start(self) -> object:
        return self.state

    def preprocess(self, pictures: Numbered, orientation: Orientation = UPRIGHT) -> Numbered:
        self._note("preprocess", pictures.numbers)
        return pictures

    def segment(
        self,
        inputs: Sequence[Numbered],
        classes: Sequence[ClassIds],
        orientations: Sequence[Orientation] = (),
        states: Sequence[object] = (),
    ) -> list[str]:
        self._note("segment", tuple(classes))
        return [f"masks of {len(item)}" for item in inputs]

    def canvas(self, like: Numbered) -> Canvas:
        return Canvas([])

    def compose(self, pictures: Numbered, masks: str, out: list[Numbered], behind: Any = None) -> None:
        self._note("compose", (pictures.numbers, masks))
        self._note("behind", behind)
        out.append(pictures)

    def encode(self, canvas: Canvas, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        (pictures,) = canvas.pictures
        assert pictures.numbers == tuple(tag.seq for tag in tags)
        return [EncodedFrame(tag, b"frame", is_keyframe=True) for tag in tags]

    def encode_masks(self, masks: str, tags: Sequence[FrameTag]) -> list[EncodedFrame]:
        return [EncodedFrame(tag, masks.encode(), is_keyframe=True) for tag in tags]

    def flush(self) -> Any:
        return Decoded() if threading.current_thread().name.startswith("decode") else []

    def close(self) -> None:
        self._note("close", threading.current_thread().name.partition("-")[0])

    def named(self, name: str) -> list[Any]:
        return [argument for call, argument in self.calls if call == name]

    def _note(self, name: str, argument: Any) -> None:
        self.calls.append((name, argument))
        if name in self.errors:
            raise self.errors[name]
        if passing := self.passing_errors.get(name):
            raise passing.pop()
