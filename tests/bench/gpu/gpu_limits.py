"""What the machine could do at most if it did one stage only; each is a process of its own.

python tests/bench/gpu/gpu_limits.py LIMIT CLIP [--seconds N] [--threads N...]; LIMIT is one of `LIMITS`.
"""

import argparse
import itertools
import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from children import wait_for_go
from gpu_clips import Clip, open_clip

NUM_CORES = len(os.sched_getaffinity(0))
BATCH_SIZE = 32
GROUP_SIZE = 8
JPEG_QUALITY = 85
X264_FRAMES = 48


def nvdec(clip: Clip, seconds: float, num_threads: int) -> Callable[[], float]:
    """Frames a second of so many decoders; the frames stay where the decoder puts them."""
    import torch
    from gpu_parts import NvdecLoop

    packets = clip.annex_b()
    torch.cuda.init()  # before the start, so that several processes decode at the same time

    def count(start: threading.Barrier) -> int:
        torch.cuda.set_device(0)  # a thread has no context of its own accord
        decoder = NvdecLoop(packets, torch.cuda.Stream())
        groups = decoder.groups()
        for _ in range(30):
            next(groups)
        start.wait()
        frames, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            frames += len(next(groups))
        decoder.close()
        return frames

    return lambda: _on_threads(count, num_threads) / seconds


def network(_: Clip, seconds: float, __: int) -> Callable[[], float]:
    """Pictures a second of torchvision's network in half precision."""
    import torch
    from gpu_parts import DEVICE, INPUT_HW, fcn_resnet101, per_second

    module = fcn_resnet101().half().to(DEVICE, memory_format=torch.channels_last)
    pictures = torch.rand((BATCH_SIZE, 3, *INPUT_HW), dtype=torch.half, device=DEVICE)
    pictures = pictures.contiguous(memory_format=torch.channels_last)

    def step() -> int:
        module(pictures)
        return len(pictures)

    def run() -> float:
        with torch.inference_mode():
            return per_second(step, seconds, warm_steps=10)

    return run


def network_ours(_: Clip, seconds: float, __: int) -> Callable[[], float]:
    """Masks a second of the service's own network."""
    import torch
    from gpu_parts import INPUT_HW, fcn_resnet101

    from segtriton_server.vision.gpu.runner import ClassMasks, GraphRunner
    from segtriton_server.vision.networks.fused import fuse

    stream = torch.cuda.Stream()
    runner = GraphRunner(ClassMasks(fuse(fcn_resnet101())), INPUT_HW, BATCH_SIZE, stream)
    return _full_batches(runner, stream, seconds)


def selfie(_: Clip, seconds: float, __: int) -> Callable[[], float]:
    """Masks a second of the selfie network, as the service runs it."""
    import torch
    from gpu_host import ROOT

    from segtriton_server.vision.gpu.networks import create_card_runner
    from segtriton_server.vision.networks.selfie_card import selfie_card

    stream = torch.cuda.Stream()
    card = selfie_card("selfie", ROOT / ".assets" / "networks")
    assert card is not None
    runner = create_card_runner(card, BATCH_SIZE, stream)
    return _full_batches(runner, stream, seconds)


def _full_batches(runner: Any, stream: Any, seconds: float) -> Callable[[], float]:
    """Pictures a second of a runner that gets nothing but full batches."""
    import torch
    from gpu_parts import per_second

    def step() -> int:
        runner.run(BATCH_SIZE)
        return BATCH_SIZE

    def run() -> float:
        with torch.cuda.stream(stream), torch.inference_mode():
            return per_second(step, seconds, warm_steps=10)

    return run


def pre_post(clip: Clip, seconds: float, __: int) -> Callable[[], float]:
    """Pictures a second of the service's own input and blur, without decoder, network and encoder."""
    import torch
    from gpu_parts import DEVICE, INPUT_HW, per_second

    from segtriton_protocol import UPRIGHT
    from segtriton_server.device.pictures import DeviceMasks, DevicePictures, nv12_planes
    from segtriton_server.vision.effects import EffectSpec
    from segtriton_server.vision.gpu.compositor import GpuCompositor
    from segtriton_server.vision.gpu.pixel_kernels import PixelKernels

    stream = torch.cuda.Stream()
    kernels = PixelKernels(None)
    frames = clip.frames(GROUP_SIZE, "nv12")
    buffer = torch.stack([torch.from_numpy(frame.to_ndarray()) for frame in frames]).to(DEVICE)
    pictures = DevicePictures(nv12_planes(buffer, frames[0].height, frames[0].width))
    drawn = DevicePictures(nv12_planes(torch.empty_like(buffer), frames[0].height, frames[0].width))
    masks = DeviceMasks(torch.randint(0, 256, (GROUP_SIZE, *INPUT_HW), dtype=torch.uint8, device=DEVICE))
    inputs = torch.empty((GROUP_SIZE, *INPUT_HW, 3), dtype=torch.half, device=DEVICE)
    guide = torch.empty((GROUP_SIZE, *INPUT_HW), dtype=torch.uint8, device=DEVICE)
    normal = torch.ones((2, 3), device=DEVICE)
    compositor = GpuCompositor(EffectSpec("blur"), pictures.size_hw, kernels, stream)
    torch.cuda.synchronize()

    def step() -> int:
        kernels.to_input(pictures, UPRIGHT, normal, inputs, guide)
        compositor.compose(pictures, masks, drawn)
        return GROUP_SIZE

    def run() -> float:
        with torch.cuda.stream(stream), torch.inference_mode():
            return per_second(step, seconds, warm_steps=10)

    return run


def nvjpeg(clip: Clip, seconds: float, __: int) -> Callable[[], float]:
    """Pictures a second of the service's own motion JPEG encoder, from NV12 on the device to bytes on the host."""
    import torch
    from gpu_parts import DEVICE, per_second

    from segtriton_protocol import ColorTags, OutputSpec
    from segtriton_server.device.pictures import DevicePictures, nv12_planes
    from segtriton_server.encoders.encoder import Canvas, EncoderSetup, FrameTag
    from segtriton_server.encoders.gpu.nvjpeg_encoder import NvjpegEncoder
    from segtriton_server.vision.gpu.pixel_kernels import PixelKernels

    stream = torch.cuda.Stream()
    frames = clip.frames(GROUP_SIZE, "nv12")
    size_hw = frames[0].height, frames[0].width
    buffer = torch.stack([torch.from_numpy(frame.to_ndarray()) for frame in frames]).to(DEVICE)
    canvas = Canvas(DevicePictures(nv12_planes(buffer, *size_hw)), None)
    tags = [FrameTag(seq, seq, 1) for seq in range(GROUP_SIZE)]
    output = OutputSpec(encoder="mjpeg", quality=JPEG_QUALITY)
    setup = EncoderSetup(size_hw, (0, 0), Fraction(1, 30), None, ColorTags(), output, 1, low_delay=False)
    encoder = NvjpegEncoder(setup, stream, PixelKernels(None).jpeg_planes)
    torch.cuda.synchronize()
    return lambda: per_second(lambda: len(encoder.encode(canvas, tags)), seconds)


def x264(clip: Clip, seconds: float, num_threads: int) -> Callable[[], float]:
    """Frames a second of one encoder on each core, from pictures in memory."""
    pictures = [frame.to_ndarray() for frame in clip.frames(X264_FRAMES)]

    def count(start: threading.Barrier) -> int:
        frames = [av.VideoFrame.from_ndarray(picture, "yuv420p") for picture in pictures]
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        encoder.time_base, encoder.framerate, encoder.thread_count = Fraction(1, 30), 30, 1
        encoder.options = {"preset": "ultrafast", "crf": "23"}
        start.wait()
        end = time.perf_counter() + seconds
        for number, frame in enumerate(itertools.cycle([*frames, *frames[-2:0:-1]])):
            if time.perf_counter() >= end:
                return number
            frame.pts = number
            encoder.encode(frame)
        raise AssertionError("a cycle has no end")

    return lambda: _on_threads(count, num_threads or NUM_CORES) / seconds


LIMITS: dict[str, Callable[[Clip, float, int], Callable[[], float]]] = {
    "nvdec": nvdec,
    "network": network,
    "network_ours": network_ours,
    "selfie": selfie,
    "pre_post": pre_post,
    "nvjpeg": nvjpeg,
    "x264": x264,
}


def _on_threads(count: Callable[[threading.Barrier], int], num_threads: int) -> int:
    """The sum of what threads count that begin together."""
    start = threading.Barrier(num_threads)

    def guarded(_: Any) -> int:
        try:
            return count(start)
        except BaseException:
            start.abort()  # the others would wait for ever
            raise

    with ThreadPoolExecutor(num_threads) as pool:
        return sum(pool.map(guarded, range(num_threads)))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("limit", choices=LIMITS)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--threads", type=int, nargs="+", default=[0], help="one figure for each number")
    options = parser.parse_args()
    limit, clip = LIMITS[options.limit], open_clip(options.clip)
    measures = {threads: limit(clip, options.seconds, threads) for threads in options.threads}
    wait_for_go()
    print(json.dumps({"per_second": {str(threads): measure() for threads, measure in measures.items()}}))


if __name__ == "__main__":
    main()
