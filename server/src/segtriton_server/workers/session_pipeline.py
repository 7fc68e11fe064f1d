"""One session inside a worker: decoder, network, compositor, encoder.

Two threads a session (decode; compose and encode) and one for all sessions (the network) keep
several cores busy, as every heavy call releases the GIL. A semaphore bounds the frames between
decoder and encoder, so that a slow stage slows its own session's decoder and nobody else.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from segtriton_protocol import Background, Open, Packet, SegtritonError
from segtriton_server.encoders.encoder import Canvas, EncodedFrame, EncoderSetup, FrameTag
from segtriton_server.media.background import decode_background
from segtriton_server.media.decoder import Decoded, FrameGroup
from segtriton_server.observability.logs import session_log
from segtriton_server.settings import Settings
from segtriton_server.vision.segmenter import find_classes
from segtriton_server.workers.accelerator import Accelerator, SessionOutput
from segtriton_server.workers.admission import WARM_UP_FRAMES, Admission
from segtriton_server.workers.failures import judge_failure
from segtriton_server.workers.frame_batcher import FrameBatcher
from segtriton_server.workers.joined_frames import JoinedFrames
from segtriton_server.workers.network_job import NetworkJob
from segtriton_server.workers.results import Results, ResultSink
from segtriton_server.workers.stage_clock import StageClock

_POLL_SECONDS = 0.2
# Decoding a background may take this part of the time after which a worker counts as hung.
_BACKGROUND_SHARE = 0.5


class SessionPipeline:
    """One session's stages. `put` and `end` never block: credit bounds what waits."""

    def __init__(
        self,
        session_id: str,
        request: Open,
        settings: Settings,
        accelerator: Accelerator,
        batcher: FrameBatcher[NetworkJob],
        sink: ResultSink,
        num_frame_threads: int = 1,
    ) -> None:
        """Open decoder and encoder; `num_frame_threads` is x264's (see `EncoderSetup`).

        Raises:
            SegtritonError: UNSUPPORTED_FORMAT, LIMIT_EXCEEDED, UNKNOWN_CLASS or UNKNOWN_ENCODER.
        """
        self.session_id = session_id
        self._accelerator = accelerator
        self._segmenter = accelerator.segmenter
        self._class_names, self._class_ids = find_classes(
            self._segmenter, request.output, settings.visualization_class_name
        )
        self._state = self._segmenter.start()
        self._batcher = batcher
        self._sink = sink
        self._orientation = request.video.orientation
        self._request = request
        self._max_background_seconds = _BACKGROUND_SHARE * settings.stage_deadline
        self._behind: Callable[[Sequence[FrameTag]], Any] = lambda tags: None
        self._open_parts(request, settings, num_frame_threads)
        self._admission = Admission(request.video, request.wanted_seq, request.answered_seqs)
        self._packets: queue.SimpleQueue[Sequence[Packet] | None] = queue.SimpleQueue()
        self._unread: deque[Packet] = deque()
        self._masked: queue.SimpleQueue[NetworkJob | None] = queue.SimpleQueue()
        self._frames_in_flight = settings.frames_in_flight
        self._in_flight = threading.Semaphore(settings.frames_in_flight)
        self._submitted = 0
        self._rendered = 0
        self._closed = threading.Event()
        self._may_render = threading.Event()
        self._may_render.set()
        self._clock = StageClock()
        self._threads = [
            self._make_thread("decode", self._decode_packets, self._release_decoder),
            self._make_thread("render", self._render_frames, self._release_encoders),
        ]

    def start(self) -> None:
        """Start the stages; raises MemoryError where there is no room for their threads."""
        try:
            for thread in self._threads:
                thread.start()
        except RuntimeError:
            self.close()
            raise MemoryError("no room for a thread") from None

    def describe(self) -> dict[str, object]:
        """What was chosen for the session, for the OPEN reply."""
        height, width = self._encoder.size_hw
        return {
            "network": self._segmenter.name,
            "class_name": ",".join(self._class_names),
            "classes": list(self._segmenter.classes),
            "decoder": self._decoder.name,
            "encoder": self._encoder.name,
            "encoder_reason": self._encoder_reason,
            "output_codec": self._encoder.codec,
            "output_pixel_format": self._encoder.pixel_format,
            "output_extradata": self._encoder.extradata.hex(),
            "output_width": width,
            "output_height": height,
            "warnings": list(self._segmenter.warnings),
        }

    def put(self, packets: Sequence[Packet]) -> None:
        """Take packets that arrived together: they are decoded together, if there are not too many for a group."""
        self._packets.put(packets)

    def end(self) -> None:
        """Take note that no packet follows."""
        self._packets.put(None)

    def pause(self, *, is_paused: bool) -> None:
        """Draw and code no frame for a while, or go on; the decoder soon waits too, as frames in flight are few."""
        if is_paused:
            self._may_render.clear()
        else:
            self._may_render.set()

    def close(self) -> None:
        """Stop the stages and drop what they hold; safe to call twice and from any thread."""
        self._closed.set()
        self._may_render.set()
        self._packets.put(None)
        self._masked.put(None)
        self._batcher.forget(self.session_id)

    def busy_seconds(self, now: float) -> float:
        """How long the longest running call of a stage has taken so far."""
        return self._clock.busy_seconds(now)

    def _open_parts(self, request: Open, settings: Settings, num_frame_threads: int) -> None:
        live = request.mode == "live"
        video = request.video
        self._pixel_format = pixel_format = self._accelerator.choose_format(video, request.output)
        setup = EncoderSetup(
            size_hw=(video.height, video.width),
            mask_hw=self._orientation.stored_hw(self._segmenter.input_hw),
            time_base=video.time_base,
            frame_rate=video.frame_rate,
            color=video.color,
            output=request.output,
            num_threads=settings.num_decoder_threads,
            low_delay=live,
            sample_aspect=video.sample_aspect,
            pixel_format=pixel_format,
            hdr=video.hdr,
            num_frame_threads=max(1, num_frame_threads // len(request.output.effects)),
        )
        with ExitStack() as opened:
            self._decoder = self._accelerator.open_decoder(
                video, pixel_format, low_delay=live, deinterlace=request.output.deinterlace
            )
            opened.callback(self._decoder.close)
            first = self._accelerator.open_output(setup)
            opened.callback(first.encoder.close)
            self._outputs = [first]
            for effect in request.output.more_effects:
                further = replace(setup, output=replace(setup.output, effect=effect))
                self._outputs.append(self._accelerator.open_output(further, first))
                opened.callback(self._outputs[-1].encoder.close)
            opened.pop_all()
        self._encoder, self._encoder_reason, self._matte = first.encoder, first.encoder_reason, first.matte
        self._empty_masks = first.empty_masks
        # What a network keeps of a picture is not what it keeps of its mirror image.
        self._is_mirrored = first.is_mirrored and self._state is None
        self._joined = JoinedFrames(len(self._outputs))

    def _make_thread(self, name: str, stage: Callable[[], None], release: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            # A failure is judged before anything is released: the parts of a device that is lost may not even close.
            self._guard(stage)
            self._guard(release)

        return threading.Thread(target=run, name=f"{name}-{self.session_id[:8]}", daemon=True)

    def _guard(self, call: Callable[[], None]) -> None:
        try:
            call()
        except SegtritonError as error:
            self._sink.failed(self.session_id, error)
        except Exception as error:  # noqa: BLE001 - a stage's thread has no caller: the session is told
            if self._closed.is_set() and not self._accelerator.is_fatal(error):
                return
            session_log(__name__, self.session_id).exception("a stage failed")
            self._sink.failed(self.session_id, judge_failure(error, "A stage", self._accelerator, self._sink))

    # ---------------------------------------------------------------- decode thread

    def _decode_packets(self) -> None:
        is_last = False
        while not is_last:
            packets, is_last = self._next_packets()
            if self._closed.is_set():
                return
            if packets:
                self._decode_together(packets)
        self._submit(self._decoder.flush, 1, Results())
        self._masked.put(None)

    def _next_packets(self) -> tuple[list[Packet], bool]:
        """Wait for a packet and take those that wait behind it, at most a group; and whether they are the last."""
        group_size = self._accelerator.group_size
        is_last = False
        while len(self._unread) < group_size and not is_last:
            try:
                arrived = self._packets.get(block=not self._unread)
            except queue.Empty:
                break
            is_last = arrived is None
            self._unread += arrived or ()
        packets = [self._unread.popleft() for _ in range(min(group_size, len(self._unread)))]
        if is_last and self._unread:
            self._packets.put(None)  # to be met again after the packets before it
            is_last = False
        return packets, is_last

    def _decode_together(self, packets: list[Packet]) -> None:
        results = Results()
        for packet in packets:
            self._admission.expect(packet, results)
        self._submit(lambda: self._decoder.decode(packets), len(packets), results)

    def _submit(self, decode: Callable[[], Decoded], num_packets: int, results: Results) -> None:
        with self._clock.timed("decode", results, num_packets):
            decoded = decode()
        results.damaged = decoded.damaged
        if decoded.damaged:
            self._admission.note_damage()
        self._sink.results(self.session_id, results)
        for group in decoded.groups:
            self._submit_group(group)

    def _submit_group(self, decoded: FrameGroup) -> None:
        results = Results()
        replayed = self._replayed(decoded)
        admitted = self._admission.admit(decoded, results)
        if replayed is not None:
            self._submit_job(replayed, (), results)
        if admitted is not None:
            self._submit_job(*admitted, results)
        self._sink.results(self.session_id, results)

    def _replayed(self, decoded: FrameGroup) -> FrameGroup | None:
        """The frames that another session has answered with, and that masks of this one depend on."""
        if self._state is not None:
            return self._admission.replayed(decoded)
        return self._admission.replayed(decoded, WARM_UP_FRAMES) if self._matte and self._matte.remembers else None

    def _submit_job(self, group: FrameGroup, tags: tuple[FrameTag, ...], results: Results) -> None:
        """Hand frames to the network; those without tags are not drawn, and only those after them depend on them."""
        if not self._acquire_slots(self._slots_of(group)):
            return
        with self._clock.timed("preprocess", results, len(group)):
            network_input = self._segmenter.preprocess(group.pictures, self._orientation)
        self._submitted += 1
        job = NetworkJob(
            self.session_id,
            self._class_ids,
            group,
            tags,
            self._orientation,
            network_input,
            self._masked.put,
            state=self._state,
            is_mirrored=self._is_mirrored,
            restarts_matte=self._admission.restarts(group),
        )
        if self._matte is not None and not self._matte.wants_mask(network_input):
            job.network_input = None
        self._batcher.add(self.session_id, job, job.num_network_frames)

    def _slots_of(self, group: FrameGroup) -> int:
        # A group larger than all slots together waits until it is alone.
        return min(len(group), self._frames_in_flight)

    def _acquire_slots(self, count: int) -> bool:
        for _ in range(count):
            while not self._in_flight.acquire(timeout=_POLL_SECONDS):
                if self._closed.is_set():
                    return False
        return not self._closed.is_set()

    def _release_decoder(self) -> None:
        self._decoder.close()
        if self._closed.is_set():  # a frame may have slipped in after `close` had emptied the line
            self._batcher.forget(self.session_id)

    # ---------------------------------------------------------------- render thread

    def _render_frames(self) -> None:
        if self._request.background is not None and not self._encoder.takes_mask:
            with self._clock.timed("compose", Results(), 1):  # watched, but not the time of a frame
                self._behind = self._load_background(self._request.background)
        self._render_until_end()
        if not self._closed.is_set():
            with self._clock.timed("encode", Results(), 1):  # watched, but not the time of a frame
                for position, output in enumerate(self._outputs):
                    self._joined.add(position, output.encoder.flush())
            for frame in self._joined.take():  # one by one, as the length of a message is bounded
                self._sink.results(self.session_id, Results(packets=[_packet(frame)]))
            notes = *self._decoder.notes, *self._admission.notes
            empty_masks = self._empty_masks
            self._sink.ended(self.session_id, notes, None if empty_masks is None else empty_masks.count)

    def _render_until_end(self) -> None:
        decoding = True
        while decoding or self._rendered < self._submitted:
            job = self._masked.get()
            self._may_render.wait()
            if self._closed.is_set():
                break
            if job is None:
                decoding = False
                continue
            self._render(job)
            self._rendered += 1
            self._in_flight.release(self._slots_of(job.group))

    def _render(self, job: NetworkJob) -> None:
        results = Results()
        pictures, num_frames = job.group.pictures, len(job.group)
        with_memory = self._accelerator.with_memory
        if self._empty_masks is not None and job.tags:
            self._empty_masks.add(job.masks)
        if (matte := self._matte) is not None:
            if job.restarts_matte:
                matte.restart()
            with self._clock.timed("matte", results, num_frames):
                job.masks = with_memory(lambda: matte.refine(pictures, job.masks))
        if not job.tags:
            return
        if self._encoder.takes_mask:
            with self._clock.timed("encode", results, num_frames):
                self._joined.add(0, with_memory(lambda: self._encoder.encode_masks(job.masks, job.tags)))
        else:
            for position in range(len(self._outputs)):
                self._draw_and_encode(position, job, results)
        results.packets = [_packet(frame) for frame in self._joined.take()]
        self._sink.results(self.session_id, results)

    def _draw_and_encode(self, position: int, job: NetworkJob, results: Results) -> None:
        output, with_memory = self._outputs[position], self._accelerator.with_memory
        num_frames = 0 if position else len(job.group)  # a frame takes as long as all its outputs together
        with self._clock.timed("compose", results, num_frames):
            canvas = with_memory(lambda: self._draw(output, job))
        with self._clock.timed("encode", results, num_frames):
            self._joined.add(position, with_memory(lambda: output.encoder.encode(canvas, job.tags)))

    def _draw(self, output: SessionOutput, job: NetworkJob) -> Canvas:
        pictures = job.group.pictures
        canvas = output.encoder.canvas(pictures)
        output.compositor.compose(pictures, job.masks, canvas.pictures, self._behind(job.tags))
        return canvas

    def _release_encoders(self) -> None:
        for output in self._outputs:
            output.encoder.close()

    def _load_background(self, background: Background) -> Callable[[Sequence[FrameTag]], Any]:
        """Decode what stands behind the frames; return what gives the pictures behind some of them, by their times."""
        accelerator = self._accelerator
        decoder = accelerator.open_background(background.video, self._pixel_format)
        loop = decode_background(background, decoder, self._max_background_seconds)
        kept = accelerator.with_memory(lambda: accelerator.keep_pictures(loop.pictures))
        time_base = self._request.video.time_base
        return lambda tags: kept([loop.position_at((tag.pts or 0) * time_base) for tag in tags])


def _packet(frame: EncodedFrame) -> Packet:
    tag = frame.tag
    return Packet(tag.seq, tag.pts, tag.pts, tag.duration, frame.is_keyframe, frame.payload, is_damaged=tag.is_damaged)
