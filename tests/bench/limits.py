"""What the machine could do at most if it did one stage only, with all cores."""

import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from clips import Clip

NUM_CORES = len(os.sched_getaffinity(0))
MAX_ENCODED_FRAMES = 132


def decode_only(clip: Clip) -> float:
    """Frames a second of the decoder with its own threads."""
    started = time.perf_counter()
    with av.open(str(clip.path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        num_frames = sum(1 for _ in container.decode(video=0))
    return num_frames / (time.perf_counter() - started)


def encode_only(clip: Clip, preset: str = "ultrafast", crf: int = 23) -> float:
    """Frames a second of x264 with its own threads, from pictures in memory; nothing is written."""
    with av.open(str(clip.path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        frames = list(itertools.islice(container.decode(video=0), MAX_ENCODED_FRAMES))
        encoder = av.CodecContext.create("libx264", "w")
        encoder.width, encoder.height, encoder.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
        encoder.time_base, encoder.framerate = container.streams.video[0].time_base, 25
    encoder.options = {"preset": preset, "crf": str(crf)}
    encoder.thread_type = "FRAME"  # PyAV's own choice is slices, which use fewer cores
    for frame in frames:
        frame.pict_type = 0  # what the decoder noted would be an order to the encoder
    started = time.perf_counter()
    for frame in [*frames, None]:
        encoder.encode(frame)
    return len(frames) / (time.perf_counter() - started)


def network_only(path: Path, seconds: float = 1.5) -> float:
    """Calls a second of the network: one interpreter of one thread for each core."""

    def count() -> int:
        interpreter = Interpreter(str(path), num_threads=1)
        interpreter.allocate_tensors()
        details = interpreter.get_input_details()[0]
        interpreter.set_tensor(details["index"], np.full(details["shape"], 0.5, np.float32))
        calls, end = 0, time.perf_counter() + seconds
        while time.perf_counter() < end:
            interpreter.invoke()
            calls += 1
        return calls

    with ThreadPoolExecutor(NUM_CORES) as pool:
        return sum(pool.map(lambda _: count(), range(NUM_CORES))) / seconds
