"""A file through a streaming session: demuxer, session and muxer with bounded memory."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from segtriton_client.background import Background as LocalBackground
from segtriton_client.codec_change import OTHER_CODEC
from segtriton_client.coded_background import code_background
from segtriton_client.composed_outputs import ComposedOutputs, Drawing, open_drawing
from segtriton_client.compositors import make_compose
from segtriton_client.demuxer import CarriedPacket, Demuxer
from segtriton_client.errors import ClientError, InputError, ServiceLostError, StoppedError, damage_error
from segtriton_client.frame_rate import DEFAULT_RATE
from segtriton_client.image_sequence import ImageSequence, ImageSequenceWriter, is_sequence
from segtriton_client.job import Composed, Job
from segtriton_client.live_queue import LiveQueue
from segtriton_client.local_frames import LocalFrames
from segtriton_client.mask_writer import MaskWriter
from segtriton_client.muxer import Muxer, OutputFile
from segtriton_client.picture_metadata import PictureMetadata
from segtriton_client.report import Report, summarize_latency
from segtriton_client.resuming import Connect, ResumingSession
from segtriton_client.several_outputs import SeveralFiles, SeveralMuxers
from segtriton_client.sources import is_live
from segtriton_client.threads import run_blocking
from segtriton_client.transport import Endpoint, GrpcTransport
from segtriton_protocol import (
    PLAIN_PIXEL_FORMAT,
    Background,
    Ended,
    ErrorCode,
    OutputSpec,
    Packet,
    SegtritonError,
    VideoFormat,
)

_READ_AHEAD = 8
_REASON_SECONDS = 2.0
_STALE = "stale"
_MASK_CODEC = "rawmask_zlib"


async def segment_video(endpoint: Endpoint | str, job: Job) -> Report:
    """Stream a video file through the service and write the result.

    Raises:
        InputError: before anything is sent, if the input is no video.
        ClientError: see `segtriton_client.errors`.
        SegtritonError: what the service reported.
    """
    opened = await run_blocking(
        lambda: Demuxer(job.input, duration=job.duration, reconnect_seconds=job.reconnect_seconds)
    )
    with opened as demuxer:
        async with GrpcTransport(endpoint) as transport:
            await transport.check_live()
        return await stream_file(lambda: GrpcTransport(endpoint), demuxer, job)


async def stream_file(connect: Connect, demuxer: Demuxer, job: Job) -> Report:
    """Do the work of `segment_video` over any transport; `connect` makes a new one for each session."""
    started = time.monotonic()
    async with AsyncExitStack() as stack:
        session, job, notes = await _open_session(connect, demuxer, job, stack)
        frames = LocalFrames(demuxer.format, deinterlace=job.spec.deinterlace) if job.composed else None
        with _open_output(job, demuxer, session, frames) as output:
            writer = _open_writer(output, demuxer, session)
            receiving = asyncio.ensure_future(_receive(session, writer, job, demuxer.frames, started))
            live = LiveQueue(job.max_latency) if job.live else None
            sink = _Outgoing(session, frames)
            reading = iter(demuxer) if live is None or is_live(job.input) else _paced(demuxer, job)
            packets = job.until_stopped(reading)
            send = _send_file(sink, packets, output) if live is None else _send_live(sink, packets, output, live)
            ended = await _complete(receiving, asyncio.ensure_future(send))
            if not ended.frames_out:
                raise _no_picture(job, ended)
            if job.strict:
                demuxer.raise_if_other_codec()
            await run_blocking(writer.finish)
            await run_blocking(job.raise_if_cut, reading, ended.frames_out)
            if job.strict:
                demuxer.truncation.raise_if_truncated()
            await run_blocking(output.commit)
    report = _make_report(session, ended, job, time.monotonic() - started, demuxer, [*notes, *output.notes])
    report = _with_drawn_here(report, job, output)
    return _with_unsent(report, {_STALE: live.num_stale if live else 0, OTHER_CODEC: demuxer.num_other_codec})


async def _open_session(
    connect: Connect, demuxer: Demuxer, job: Job, stack: AsyncExitStack
) -> tuple[ResumingSession, Job, tuple[str, ...]]:
    """Open a session for a job; where the service does not draw its background, for one whose `image` is drawn here.

    Returns:
        The session, its job, and why it is another one.
    """
    background = None
    if job.background is not None:
        background = await run_blocking(code_background, job.background, demuxer.format)
        if background is None:
            job = job.drawn_here()
            return await _enter(connect, demuxer, job, stack), job, ("The background is large; it was drawn here.",)
    is_plain = background is None and not job.more_outputs
    async with AsyncExitStack() as entered:
        try:
            session = await _enter(connect, demuxer, job, entered, background)
        except SegtritonError as error:
            if is_plain or error.code not in (ErrorCode.INVALID_MESSAGE, ErrorCode.LIMIT_EXCEEDED):
                raise
            reason = f"{error.message} What the service does not draw was drawn here."
        else:
            if is_plain or not job.more_outputs or session.opened.effects == job.spec.effects:
                stack.push_async_exit(entered.pop_all())
                return session, job, ()
            reason = "The service draws one effect at a time; they were drawn here."
    job = job.drawn_here()
    return await _enter(connect, demuxer, job, stack), job, (reason,)


async def _enter(
    connect: Connect, demuxer: Demuxer, job: Job, stack: AsyncExitStack, background: Background | None = None
) -> ResumingSession:
    session = ResumingSession(
        connect,
        demuxer.format,
        _spec_of(job),
        network=job.network,
        mode="live" if job.live else "file",
        resume_seconds=job.resume_seconds,
        background=background,
    )
    return await stack.enter_async_context(session)


def _no_picture(job: Job, ended: Ended) -> ClientError:
    if job.stopping.is_set():
        return StoppedError(f"Stopped before the first frame of {job.input}.")
    return InputError(f"{job.input} gave no picture; {ended.frames_in} packets were sent.")


def segment_file(
    endpoint: Endpoint | str,
    input_path: str | Path,
    output_path: str | Path,
    spec: OutputSpec | None = None,
    network: str = "selfie",
) -> Report:
    """Stream one file and wait for it: `segment_video` for programs without an event loop."""
    job = Job(Path(input_path), Path(output_path), spec or OutputSpec(), network)
    return asyncio.run(segment_video(endpoint, job))


_OneOutput = TypeVar("_OneOutput", OutputFile, Drawing)
_Output = OutputFile | ImageSequence | ComposedOutputs | SeveralFiles
_Writer = Muxer | MaskWriter | ImageSequenceWriter | ComposedOutputs | SeveralMuxers


def _spec_of(job: Job) -> OutputSpec:
    if not job.composed:
        return job.spec
    # What is drawn here is plain, so that the service's notes say it of both.
    return dataclasses.replace(
        job.spec, effect="mask", more_effects=(), encoder="mask", pixel_format=PLAIN_PIXEL_FORMAT
    )


def _open_output(job: Job, demuxer: Demuxer, session: ResumingSession, frames: LocalFrames | None) -> _Output:
    if frames is not None:
        drawings = _all_open(_open_drawing(composed, job, demuxer) for composed in job.composed)
        return ComposedOutputs(drawings, frames, (session.opened.output_height, session.opened.output_width))
    if job.more_outputs:
        return SeveralFiles(_all_open(OutputFile(path, demuxer.format, demuxer.carried) for path in job.outputs))
    if isinstance(job.output, Path) and is_sequence(job.output):
        images = ImageSequence(job.output)
        images.notes += demuxer.carried.picture.lost_in(PictureMetadata(), job.output)
        return images
    return OutputFile(job.output, demuxer.format, demuxer.carried)


def _all_open(outputs: Iterable[_OneOutput]) -> list[_OneOutput]:
    """Return what is opened one by one; one that cannot be opened takes those before it along."""
    opened: list[_OneOutput] = []
    with ExitStack() as opening:
        for output in outputs:
            opened.append(output)
            opening.push(output)
        opening.pop_all()
    return opened


def _open_drawing(composed: Composed, job: Job, demuxer: Demuxer) -> Drawing:
    background = LocalBackground(composed.background, demuxer.format) if composed.background else None
    compose = make_compose(composed.effect, job.spec, background)
    return open_drawing(composed.output, composed.effect, compose, demuxer.format, demuxer.carried, job.spec)


def _open_writer(output: _Output, demuxer: Demuxer, session: ResumingSession) -> _Writer:
    opened, video = session.opened, demuxer.format
    if isinstance(output, ComposedOutputs):
        return output
    if isinstance(output, SeveralFiles):
        return SeveralMuxers([_muxer(file, session, video) for file in output.outputs])
    if isinstance(output, ImageSequence):
        return ImageSequenceWriter(output, video, opened.output_codec, opened.output_extradata)
    if opened.output_codec == _MASK_CODEC:
        return MaskWriter(output, video, (opened.output_width, opened.output_height))
    return _muxer(output, session, video)


def _muxer(output: OutputFile, session: ResumingSession, video: VideoFormat) -> Muxer:
    opened = session.opened
    return Muxer(
        output,
        video,
        codec=opened.output_codec,
        extradata=opened.output_extradata,
        size=(opened.output_width, opened.output_height),
    )


async def _complete(receiving: asyncio.Future[Ended], sending: asyncio.Future[None]) -> Ended:
    """Wait for both; when one fails the other is cancelled, and the receiver knows the reason better."""
    try:
        both: set[asyncio.Future[Any]] = {receiving, sending}
        await asyncio.wait(both, return_when=asyncio.FIRST_EXCEPTION)
        if not receiving.done() and isinstance(sending.exception(), ServiceLostError):
            await asyncio.wait({receiving}, timeout=_REASON_SECONDS)
        if receiving.done():
            receiving.result()
        sending.result()
        return receiving.result()
    finally:
        for task in (receiving, sending):
            task.cancel()
        await asyncio.gather(receiving, sending, return_exceptions=True)


async def _receive(session: ResumingSession, writer: _Writer, job: Job, total: int, started: float) -> Ended:
    def write(packets: tuple[Packet, ...]) -> None:
        for packet in packets:
            writer.write(packet)

    async for output in session:
        if job.strict and session.damaged:
            raise damage_error(*next(iter(session.damaged.items())))
        await run_blocking(write, output.packets)
        job.report_progress(session.answered, total, started)
    assert session.ended is not None, "the iteration ends with ENDED"
    return session.ended


class _Outgoing:
    """A session, and where the packets that it is sent are kept for drawing."""

    def __init__(self, session: ResumingSession, frames: LocalFrames | None) -> None:
        self._session = session
        self._frames = frames
        self.end = session.end

    async def send(self, packets: Sequence[Packet]) -> None:
        """Keep and send packets."""
        if self._frames is not None:
            self._frames.add(packets)
        await self._session.send(packets)


_Packets = Iterator[Packet | CarriedPacket]


async def _send_file(session: _Outgoing, packets: _Packets, output: _Output) -> None:
    """Send all packets, as fast as the service takes them."""
    while batch := await run_blocking(_read, packets, output, _READ_AHEAD):
        await session.send(batch)
    await session.end()


async def _send_live(session: _Outgoing, packets: _Packets, output: _Output, line: LiveQueue) -> None:
    """Send packets as they come, at the speed of a clip or of a camera, and drop those that have waited too long."""
    reading = asyncio.ensure_future(run_blocking(line.read, packets, lambda found: output.write_carried(found.packet)))
    seq = 0
    try:
        while batch := await run_blocking(line.take):
            await session.send([dataclasses.replace(packet, seq=seq + at) for at, packet in enumerate(batch)])
            seq += len(batch)
        await session.end()
    finally:
        line.close()
        await asyncio.gather(reading, return_exceptions=True)


def _paced(demuxer: Demuxer, job: Job) -> _Packets:
    """Hold packets back until the wall clock has reached their time."""
    time_base, rate = float(demuxer.format.time_base), float(demuxer.format.frame_rate or DEFAULT_RATE)
    offset: float | None = None
    for packet in demuxer:
        if isinstance(packet, Packet):
            stamp = packet.pts if packet.dts is None else packet.dts
            due = packet.seq / rate if stamp is None else stamp * time_base  # raw video has no times
            offset = time.monotonic() - due if offset is None else offset
            job.stopping.wait(max(0.0, due + offset - time.monotonic()))
        yield packet


def _read(packets: _Packets, output: _Output, count: int) -> list[Packet]:
    """Return the next video packets; what is copied goes straight to the output."""

    def video() -> Iterator[Packet]:
        for packet in packets:
            if isinstance(packet, Packet):
                yield packet
            else:
                output.write_carried(packet.packet)

    return list(islice(video(), count))


def _with_drawn_here(report: Report, job: Job, output: _Output) -> Report:
    if not isinstance(output, ComposedOutputs):
        return report
    effects = tuple(composed.effect for composed in job.composed)
    share = round(min(1.0, output.busy_seconds / report.seconds), 3) if report.seconds else 0.0
    return dataclasses.replace(report, drawn_here=effects, drawing_share=share)


def _with_unsent(report: Report, unsent: dict[str, int]) -> Report:
    """Count in what was dropped before it was sent, by reason."""
    counts = {reason: count for reason, count in unsent.items() if count}
    return dataclasses.replace(
        report,
        frames_in=report.frames_in + sum(counts.values()),
        frames_dropped={**report.frames_dropped, **counts},
    )


def _make_report(
    session: ResumingSession, ended: Ended, job: Job, seconds: float, demuxer: Demuxer, notes: Sequence[str]
) -> Report:
    opened = session.opened
    notes_of_input = [*demuxer.notes, *demuxer.timeline.notes, *demuxer.truncation.notes]
    return Report(
        frames_in=ended.frames_in,
        frames_out=ended.frames_out,
        frames_dropped={reason: count for reason, count in ended.frames_dropped.items() if count},
        seconds=round(seconds, 3),
        frames_per_second=round(ended.frames_out / seconds, 2),
        latency_ms=summarize_latency(session.latencies),
        session_id=opened.session_id,
        resumes=session.resumes,
        network=opened.network or job.network,
        decoder=opened.decoder,
        encoder=opened.encoder,
        output_codec=opened.output_codec,
        pixel_format=opened.output_pixel_format,
        server=opened.server,
        stages=dict(ended.stages),
        warnings=opened.warnings,
        notes=(*ended.notes, *notes_of_input, *notes),
        damaged_frames=[[seq, reason] for seq, reason in sorted(session.damaged.items())],
        is_truncated=bool(demuxer.truncation.notes),
        class_name=opened.class_name,
        # Of the sessions before the last one, nobody has counted.
        frames_without_class=None if session.resumes else ended.frames_without_class,
    )
