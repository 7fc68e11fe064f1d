"""The one place where the parts of a pipeline are chosen: for the CPU or for a GPU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

from segtriton_protocol import OutputSpec, VideoFormat
from segtriton_server.encoders.encoder import Encoder, EncoderSetup
from segtriton_server.encoders.ladder import choose_encoder, choose_format
from segtriton_server.media.background import open_background
from segtriton_server.media.decoder import Decoder
from segtriton_server.media.libav_decoder import LibavDecoder
from segtriton_server.settings import Settings
from segtriton_server.vision.compositor import create_compositor
from segtriton_server.vision.effects import effect_of
from segtriton_server.vision.empty_masks import EmptyMasks
from segtriton_server.vision.matte import Matte
from segtriton_server.vision.networks import create_segmenter
from segtriton_server.vision.segmenter import Segmenter

T = TypeVar("T")


class SessionCompositor(Protocol):
    """Draws one session's effect."""

    def compose(self, pictures: Any, mask: Any, out: Any, behind: Any = None) -> None:
        """Write every pixel of `out`, pictures of the same number, kind and size as `pictures`, and as `behind`."""


class SessionMatte(Protocol):
    """Refines one session's masks.

    Attributes:
        remembers: whether a mask depends on those of earlier frames.
    """

    remembers: bool

    def wants_mask(self, network_input: Any) -> bool:
        """Whether the network is to run for a frame, by its input."""

    def restart(self) -> None:
        """Let the next mask to refine not depend on those before."""

    def refine(self, pictures: Any, mask: Any) -> Any:
        """The mask to draw; None takes the last one again."""


KeptPictures = Callable[[Sequence[int]], Any]
"""Returns those at the positions given, one for each frame of a group: pictures as a compositor takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOutput:
    """What draws and codes one session's frames.

    Attributes:
        compositor: draws the effect.
        encoder: codes what was drawn.
        encoder_reason: why this encoder, in a sentence.
        matte: refines masks; None where they stay as they are.
        is_mirrored: whether the network runs for the mirror images, too.
        empty_masks: counts frames without the class; None where that would wait for the device.
        stream: the device's, which orders all that is done with the session's frames; None on the CPU.
    """

    compositor: SessionCompositor
    encoder: Encoder
    encoder_reason: str
    matte: SessionMatte | None = None
    is_mirrored: bool = False
    empty_masks: EmptyMasks | None = None
    stream: Any = None


class Accelerator(Protocol):
    """Makes the parts of pipelines; they understand each other's pictures and masks, and nobody else's.

    Attributes:
        segmenter: the network, shared by all sessions of the process.
        group_size: the most frames that travel through a pipeline together.
    """

    segmenter: Segmenter
    group_size: int

    def choose_format(self, video: VideoFormat, output: OutputSpec) -> str:
        """FFmpeg's name of what one session's pictures are between decoder and encoder."""

    def open_decoder(self, video: VideoFormat, pixel_format: str, *, low_delay: bool, deinterlace: bool) -> Decoder:
        """Open a decoder; raises UNSUPPORTED_FORMAT or LIMIT_EXCEEDED."""

    def open_output(self, setup: EncoderSetup, beside: SessionOutput | None = None) -> SessionOutput:
        """Open what draws and codes one session's frames; raises UNKNOWN_ENCODER.

        A further output of a session, `beside` the first, is given masks that are refined already.
        """

    def open_background(self, video: VideoFormat, pixel_format: str) -> Decoder:
        """Open a decoder for what stands behind a session's pictures; raises UNSUPPORTED_FORMAT."""

    def keep_pictures(self, pictures: Sequence[Any]) -> KeptPictures:
        """Keep single pictures of one session, as its decoder for backgrounds gives them, where they are drawn."""

    def give_memory_back(self) -> None:
        """Free what is only kept for reuse; called when no session is open."""

    def with_memory(self, call: Callable[[], T]) -> T:
        """Return what `call` returns; it is called again where memory ran out that may be back in a moment."""

    def is_fatal(self, error: Exception) -> bool:
        """Whether no session of this process can go on after the error."""

    def is_out_of_memory(self, error: Exception) -> bool:
        """Whether the accelerator's memory ran out, which is the end of one session only."""


class CpuAccelerator:
    """libavcodec, OpenCV and LiteRT; frames travel one by one, as a call costs less than a picture."""

    group_size = 1

    def __init__(self, settings: Settings) -> None:
        """Load the network."""
        self._settings = settings
        self._decoders: WeakSet[LibavDecoder] = WeakSet()
        self.segmenter: Segmenter = create_segmenter(
            settings.network, settings.networks, settings.network_threads, settings.batch_size
        )

    def choose_format(self, video: VideoFormat, output: OutputSpec) -> str:
        """See `Accelerator`."""
        return choose_format(video, output, self._settings.max_pixels)

    def open_decoder(self, video: VideoFormat, pixel_format: str, *, low_delay: bool, deinterlace: bool) -> Decoder:
        """See `Accelerator`."""
        threads, max_pixels = self._settings.num_decoder_threads, self._settings.max_pixels
        if not low_delay and any(decoder.is_open for decoder in self._decoders):
            # Each thread of a decoder holds pictures of its own, and beside another session the cores are busy without.
            threads = 1
        decoder = LibavDecoder(video, threads, max_pixels, pixel_format, low_delay=low_delay, deinterlace=deinterlace)
        self._decoders.add(decoder)
        return decoder

    def open_output(self, setup: EncoderSetup, beside: SessionOutput | None = None) -> SessionOutput:
        """See `Accelerator`."""
        encoder, reason = choose_encoder(setup)
        mirrors = self.segmenter.is_better_mirrored
        spec = setup.output.matte.resolved(is_live=setup.low_delay, mirrors=mirrors)
        mask_hw = setup.mask_hw if encoder.takes_mask else None
        matte = None if spec.is_plain or beside is not None else Matte(spec, setup.size_hw, mask_hw)
        return SessionOutput(
            compositor=create_compositor(effect_of(setup.output), setup.size_hw),
            encoder=encoder,
            encoder_reason=reason,
            matte=matte,
            is_mirrored=bool(spec.mirror),
            empty_masks=EmptyMasks(is_inverted=spec.inverted),
        )

    def open_background(self, video: VideoFormat, pixel_format: str) -> Decoder:
        """See `Accelerator`."""
        return open_background(video, pixel_format)

    def keep_pictures(self, pictures: Sequence[Any]) -> KeptPictures:
        """See `Accelerator`; frames travel one by one."""
        return lambda positions: pictures[positions[0]]

    def give_memory_back(self) -> None:
        """Nothing: the C library keeps it, which the worker sees to."""

    def with_memory(self, call: Callable[[], T]) -> T:
        """Call once: what a process may allocate is its own."""
        return call()

    def is_fatal(self, error: Exception) -> bool:
        """Never: a process without a GPU has nothing that one session could break for all."""
        return False

    def is_out_of_memory(self, error: Exception) -> bool:
        """See `Accelerator`."""
        return isinstance(error, MemoryError)


def create_accelerator(settings: Settings) -> Accelerator:
    """Return the parts for `settings.accelerator`: "cpu" or "gpu"."""
    if settings.accelerator == "gpu":
        # Imported here, so that a server without a GPU needs none of a GPU's packages.
        from segtriton_server.workers.gpu_accelerator import GpuAccelerator

        return GpuAccelerator(settings)
    return CpuAccelerator(settings)
