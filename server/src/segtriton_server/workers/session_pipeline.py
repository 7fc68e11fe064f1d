"""One session inside a worker: decoder, network, compositor, encoder.

Two threads a session (decode; compose and encode) and one for all sessions (the network) keep
several cores busy, as every heavy call releases the GIL. A semaphore bounds the frames between
decoder and encoder, so that a slow stage slows its own session's decoder and nobody else.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from segtriton_protocol import Drop, DropReason, ErrorCode, Open, Packet, SegtritonError
from segtriton_server.encoders.encoder import EncodedFrame, EncoderSetup, FrameTag
from segtriton_server.encoders.ladder import choose_encoder
from segtriton_server.frames import Picture, Plane
from segtriton_server.media.decoder import DamagedPacketError, DecodedFrame
from segtriton_server.media.libav_decoder import LibavDecoder
from segtriton_server.observability.logs import session_log
from segtriton_server.settings import Settings
from segtriton_server.vision.compositor import Compositor, create_compositor
from segtriton_server.vision.effects import EffectSpec
from segtriton_server.vision.segmenter import Segmenter, find_class_id
from segtriton_server.workers.frame_batcher import FrameBatcher

_POLL_SECONDS = 0.2


@dataclass(slots=True)
class Results:
    """What a stage has finished, to be sent to the router in one message."""

    packets: list[Packet] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    drops: list[Drop] = field(default_factory=list)
    damaged: int = 0
    stages: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


class ResultSink:
    """Where a pipeline puts its results; implemented by the worker's main loop."""

    def results(self, session_id: str, results: Results) -> None:
        """Send finished frames."""
        raise NotImplementedError

    def ended(self, session_id: str) -> None:
        """Say that all results of the session are out."""
        raise NotImplementedError

    def failed(self, session_id: str, error: SegtritonError) -> None:
        """Say that the session cannot go on."""
        raise NotImplementedError


@dataclass(slots=True)
class NetworkJob:
    """A frame on its way through the network."""

    pipeline: SessionPipeline
    frame: DecodedFrame
    tag: FrameTag
    network_input: NDArray[np.float32]
    mask: Plane | None = None


class SessionPipeline:
    """One session's stages. `put` and `end` never block: credit bounds what waits."""

    def __init__(
        self,
        session_id: str,
        request: Open,
        settings: Settings,
        segmenter: Segmenter,
        batcher: FrameBatcher[NetworkJob],
        sink: ResultSink,
    ) -> None:
        """Open decoder and encoder.

        Raises:
            SegtritonError: UNSUPPORTED_FORMAT, LIMIT_EXCEEDED, UNKNOWN_CLASS or UNKNOWN_ENCODER.
        """
        self.session_id = session_id
        self.class_id = find_class_id(segmenter, request.output.class_name)
        self._request = request
        self._segmenter = segmenter
        self._batcher = batcher
        self._sink = sink
        live = request.mode == "live"
        video = request.video
        self._decoder = LibavDecoder(video, settings.num_decoder_threads, settings.max_pixels, low_delay=live)
        self._encoder, self._encoder_reason = choose_encoder(
            EncoderSetup(
                size_hw=(video.height, video.width),
                mask_hw=segmenter.input_hw,
                time_base=video.time_base,
                frame_rate=video.frame_rate,
                color=video.color,
                output=request.output,
                num_threads=settings.num_decoder_threads,
                low_delay=live,
            )
        )
        self._effect = EffectSpec(request.output.effect, request.output.strength, request.output.color_rgb)  # type: ignore[arg-type]
        self._compositor: Compositor = create_compositor(self._effect, (video.height, video.width))
        self._tags: dict[int, FrameTag] = {}
        self._hidden: set[int] = set()
        self._packets: queue.SimpleQueue[Packet | None] = queue.SimpleQueue()
        self._masked: queue.SimpleQueue[NetworkJob | None] = queue.SimpleQueue()
        self._in_flight = threading.Semaphore(settings.frames_in_flight)
        self._submitted = 0
        self._rendered = 0
        self._closed = threading.Event()
        self._busy_since: dict[str, float] = {}
        self._threads = [
            threading.Thread(target=self._guard, args=(stage,), name=f"{name}-{session_id[:8]}", daemon=True)
            for name, stage in (("decode", self._decode_packets), ("render", self._render_frames))
        ]

    def start(self) -> None:
        """Start the stages."""
        for thread in self._threads:
            thread.start()

    def describe(self) -> dict[str, object]:
        """What was chosen for the session, for the OPEN reply."""
        height, width = self._encoder.size_hw
        return {
            "network": self._segmenter.name,
            "class_name": self._segmenter.classes[self.class_id],
            "classes": list(self._segmenter.classes),
            "decoder": self._decoder.name,
            "encoder": self._encoder.name,
            "encoder_reason": self._encoder_reason,
            "output_codec": self._encoder.codec,
            "output_extradata": self._encoder.extradata.hex(),
            "output_width": width,
            "output_height": height,
        }

    def put(self, packet: Packet) -> None:
        """Take one packet."""
        self._packets.put(packet)

    def end(self) -> None:
        """Take note that no packet follows."""
        self._packets.put(None)

    def close(self) -> None:
        """Stop the stages and drop what they hold; safe to call twice and from any thread."""
        self._closed.set()
        self._packets.put(None)
        self._masked.put(None)
        self._batcher.forget(self.session_id)

    def masked(self, job: NetworkJob) -> None:
        """Take a frame back from the network, in the order that it was given."""
        self._masked.put(job)

    def busy_seconds(self, now: float) -> float:
        """How long the longest running call of a stage has taken so far."""
        return max((now - since for since in list(self._busy_since.values())), default=0.0)

    @contextmanager
    def timed(self, stage: str, results: Results) -> Iterator[None]:
        """Measure one call of a stage."""
        started = self._busy_since[stage] = time.monotonic()
        try:
            yield
        finally:
            self._busy_since.pop(stage, None)
            results.stages[stage].append(time.monotonic() - started)

    def _guard(self, stage: Callable[[], None]) -> None:
        try:
            stage()
        except SegtritonError as error:
            self._sink.failed(self.session_id, error)
        except Exception as error:  # noqa: BLE001 - a stage's thread has no caller: the session is told
            if not self._closed.is_set():
                session_log(__name__, self.session_id).exception("a stage failed")
                self._sink.failed(self.session_id, _unexpected(error))

    # ---------------------------------------------------------------- decode thread

    def _decode_packets(self) -> None:
        try:
            while (packet := self._packets.get()) is not None and not self._closed.is_set():
                self._tags[packet.seq] = FrameTag(packet.seq, packet.pts, packet.duration)
                if packet.is_hidden:
                    self._hidden.add(packet.seq)
                self._submit(lambda packet=packet: self._decoder.decode(packet))  # type: ignore[misc]
            if not self._closed.is_set():
                self._submit(self._decoder.flush)
        finally:
            self._decoder.close()
            if self._closed.is_set():  # a frame may have slipped in after `close` had emptied the line
                self._batcher.forget(self.session_id)
        self._masked.put(None)

    def _submit(self, decode: Callable[[], list[DecodedFrame]]) -> None:
        results = Results()
        frames: list[DecodedFrame] = []
        try:
            with self.timed("decode", results):
                frames = decode()
        except DamagedPacketError:
            results.damaged = 1
        self._sink.results(self.session_id, results)
        for frame in frames:
            if not self._acquire_slot():
                return
            self._submit_frame(frame)

    def _submit_frame(self, frame: DecodedFrame) -> None:
        tag = self._tags.pop(frame.seq, None)
        results = Results()
        if tag is None or frame.seq < self._request.wanted_seq:
            # A second picture of one packet has no number of its own; one before the wanted
            # number was decoded only for those after it.
            results.skipped = [frame.seq] if tag is not None else []
            self._in_flight.release()
        elif frame.seq in self._hidden:
            results.drops = [Drop(frame.seq, DropReason.HIDDEN)]
            self._hidden.discard(frame.seq)
            self._in_flight.release()
        else:
            self._check_size(frame.picture)
            with self.timed("preprocess", results):
                network_input = self._segmenter.preprocess(frame.picture)
            self._submitted += 1
            self._batcher.add(self.session_id, NetworkJob(self, frame, tag, network_input))
        self._sink.results(self.session_id, results)
        for seq in [seq for seq in self._tags if seq < frame.seq - 64]:
            del self._tags[seq]

    def _check_size(self, picture: Picture) -> None:
        want = (self._request.video.height, self._request.video.width)
        if picture.size_hw != want:
            raise SegtritonError(
                ErrorCode.UNSUPPORTED_FORMAT,
                f"The picture is {picture.size_hw[1]}x{picture.size_hw[0]} but OPEN said {want[1]}x{want[0]}.",
            )

    def _acquire_slot(self) -> bool:
        while not self._in_flight.acquire(timeout=_POLL_SECONDS):
            if self._closed.is_set():
                return False
        return not self._closed.is_set()

    # ---------------------------------------------------------------- render thread

    def _render_frames(self) -> None:
        try:
            self._render_until_end()
            if not self._closed.is_set():
                results = Results(packets=[_packet(frame) for frame in self._encoder.flush()])
                self._sink.results(self.session_id, results)
                self._sink.ended(self.session_id)
        finally:
            self._encoder.close()

    def _render_until_end(self) -> None:
        decoding = True
        while decoding or self._rendered < self._submitted:
            job = self._masked.get()
            if self._closed.is_set():
                break
            if job is None:
                decoding = False
                continue
            self._render(job)
            self._rendered += 1
            self._in_flight.release()

    def _render(self, job: NetworkJob) -> None:
        results = Results()
        mask = job.mask
        assert mask is not None
        if self._encoder.takes_mask:
            with self.timed("encode", results):
                encoded = self._encoder.encode_mask(mask, job.tag)
        else:
            with self.timed("compose", results):
                canvas = self._encoder.canvas(job.frame.picture)
                self._compositor.compose(job.frame.picture, mask, canvas.picture)
            with self.timed("encode", results):
                encoded = self._encoder.encode(canvas, job.tag)
        results.packets = [_packet(frame) for frame in encoded]
        self._sink.results(self.session_id, results)


def _packet(frame: EncodedFrame) -> Packet:
    tag = frame.tag
    return Packet(tag.seq, tag.pts, tag.pts, tag.duration, frame.is_keyframe, frame.payload)


def _unexpected(error: Exception) -> SegtritonError:
    return SegtritonError(ErrorCode.INTERNAL, f"A stage failed with {type(error).__name__}.")
