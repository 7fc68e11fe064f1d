"""Frames in batches, without streaming: the client decodes and encodes, the service segments."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from segtriton_client.background import Background
from segtriton_client.compositors import Compose, make_compose
from segtriton_client.errors import MENDED, IntegrityError, OutputError
from segtriton_client.image_files import ImageFiles, is_images
from segtriton_client.job import Job
from segtriton_client.report import Report, summarize_latency
from segtriton_client.threads import run_blocking
from segtriton_client.transport import Endpoint, GrpcTransport, Transport
from segtriton_client.video_file import VideoFile
from segtriton_protocol.tensors import INPUT_RGB, OUTPUT_RGB

Pictures = NDArray[np.uint8]

_IN_FLIGHT = 2
_BATCH_BYTES = 128 * 1024 * 1024
_REQUEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture, UINT8 [height, width, 3], and what its file needs to place it again."""

    rgb: Pictures
    place: Any


class PictureFile(Protocol):
    """Where pictures come from and go to."""

    frames: int
    encoder: str
    codec: str
    pixel_format: str
    damaged: dict[int, str]

    @property
    def notes(self) -> tuple[str, ...]:
        """What was changed about the pictures or left out, each one sentence."""

    @property
    def is_truncated(self) -> bool:
        """Whether the input ended before its header says."""

    def read(self) -> Iterator[tuple[Pictures, Any]]:
        """Give each picture, UINT8 [height, width, 3], with its place."""

    def write(self, rgb: Pictures, place: Any) -> None:
        """Write one finished picture at its place."""

    def finish(self) -> None:
        """Write what is left after the last picture."""

    def commit(self) -> None:
        """Give the output its name."""


async def segment_frames(endpoint: Endpoint | str, job: Job) -> Report:
    """Send a video, an image or a folder of images as batches of raw frames.

    Raises:
        InputError: the input cannot be read.
        ClientError: see `segtriton_client.errors`.
    """
    with _open_pictures(job) as pictures:
        async with GrpcTransport(endpoint) as transport:
            await transport.check_live()
            report = await send_frames(transport, pictures, job, await transport.server_name())
        await run_blocking(pictures.commit)
    return report


def _open_pictures(job: Job) -> ImageFiles | VideoFile:
    if is_images(job.input):
        if not job.spec.matte.is_default:
            raise OutputError("Images take no option of the mask but --invert.", "Leave them out.")
        return ImageFiles(job.input, job.output)
    if job.composed:
        raise OutputError("Only images can be composed without streaming.", "Give -sv.")
    return VideoFile(job.input, job.output, deinterlace=job.spec.deinterlace, strict=job.strict)


def _choose_compose(job: Job) -> Compose | None:
    if not job.composed:
        return None
    if len(job.composed) > 1:
        raise OutputError("Images take one effect at a time.", "Run the command once for each.")
    (composed,) = job.composed
    background = Background(composed.background) if composed.background else None
    return make_compose(composed.effect, job.spec, background)


async def send_frames(transport: Transport, pictures: PictureFile, job: Job, server: str) -> Report:
    """Do the work of `segment_frames` over any transport."""
    started = time.monotonic()
    done = 0
    latencies = array("d")
    compose = _choose_compose(job)
    reading = pictures.read()
    async for batch, result, seconds in _infer_all(transport, job.until_stopped(reading), job):
        for picture, rgb in zip(batch, result, strict=True):
            drawn = rgb if compose is None else compose(picture.rgb, rgb[..., 0], Fraction(0))
            await run_blocking(pictures.write, drawn, picture.place)
        done += len(batch)
        latencies.extend([seconds] * len(batch))
        job.report_progress(done, pictures.frames, started)
    await run_blocking(pictures.finish)
    await run_blocking(job.raise_if_cut, reading, done)
    seconds = time.monotonic() - started
    lost = Counter(reason for reason in pictures.damaged.values() if reason != MENDED)
    return Report(
        frames_in=done + lost.total(),
        frames_out=done,
        frames_dropped=dict(lost),
        seconds=round(seconds, 3),
        frames_per_second=round(done / seconds, 2),
        latency_ms=summarize_latency(latencies),
        session_id="",
        resumes=0,
        network=job.network,
        decoder="local",
        encoder=pictures.encoder,
        output_codec=pictures.codec,
        pixel_format=pictures.pixel_format,
        server=server,
        notes=pictures.notes,
        damaged_frames=[[seq, reason] for seq, reason in sorted(pictures.damaged.items())],
        is_truncated=pictures.is_truncated,
    )


async def _infer_all(
    transport: Transport, pictures: Iterator[tuple[Pictures, Any]], job: Job
) -> AsyncIterator[tuple[list[Picture], Pictures, float]]:
    """Give the batches' results in order, with a couple of requests on their way."""
    batches = _batches(pictures, job.batch_size)
    running: deque[tuple[list[Picture], asyncio.Task[tuple[Pictures, float]]]] = deque()
    try:
        while batch := await run_blocking(next, batches, None):
            request = _infer(transport, job, np.stack([picture.rgb for picture in batch]))
            running.append((batch, asyncio.create_task(request)))
            if len(running) > _IN_FLIGHT:
                sent, task = running.popleft()
                yield sent, *(await task)
        while running:
            sent, task = running.popleft()
            yield sent, *(await task)
    finally:
        for _, task in running:
            task.cancel()
        await asyncio.gather(*(task for _, task in running), return_exceptions=True)


async def _infer(transport: Transport, job: Job, batch: Pictures) -> tuple[Pictures, float]:
    sent_at = time.monotonic()
    answer = await transport.infer(job.network, _parameters(job), {INPUT_RGB.name: batch}, _REQUEST_SECONDS)
    result = answer.get(OUTPUT_RGB.name)
    if result is None or result.shape != batch.shape:
        raise IntegrityError("The service answered frames of another size.")
    return result.astype(np.uint8, copy=False), time.monotonic() - sent_at


def _batches(pictures: Iterator[tuple[Pictures, Any]], batch_size: int) -> Iterator[list[Picture]]:
    """Group consecutive pictures of one size."""
    batch: list[Picture] = []
    for rgb, place in pictures:
        limit = min(batch_size, max(1, _BATCH_BYTES // rgb.nbytes))
        if batch and (len(batch) >= limit or batch[0].rgb.shape != rgb.shape):
            yield batch
            batch = []
        batch.append(Picture(rgb, place))
    if batch:
        yield batch


def _parameters(job: Job) -> dict[str, str | int | float]:
    spec = job.spec
    asked = {"inverted": spec.matte.inverted, "despill": spec.despill and spec.effect == "color"}
    return {
        "effect": "mask" if job.composed or spec.encoder == "mask" else spec.effect,
        "class_name": spec.class_name,
        "strength": str(spec.strength),
        "color_rgb": ",".join(str(level) for level in spec.color_rgb),
        **{name: True for name, is_asked in asked.items() if is_asked},
    }
