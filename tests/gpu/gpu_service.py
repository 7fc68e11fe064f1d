"""A real Triton with the GPU's models, and sessions on it."""

from __future__ import annotations

import re
import urllib.request
from pathlib import Path

import numpy as np
import torch
from process_tree import wait_until
from raw_client import Clip, RawStream, Run, decode, follow

from segtriton_protocol import OutputSpec
from segtriton_server.launch import LaunchSettings, TritonProcess

NETWORK = "fcn_resnet101"
STREAMING = f"{NETWORK}_streaming"
MJPEG = OutputSpec(encoder="mjpeg", quality=95)
_ROOT = Path(__file__).parents[2]


def launch_settings(folder: Path, models: tuple[str, ...], **settings: object) -> LaunchSettings:
    """Settings of a server on free ports with seeded weights; keywords are settings of the models."""
    settings = {"weights": "seeded", "compile_cache": folder / "compiled", **settings}
    return LaunchSettings(
        model_repository=_ROOT / "triton_models",
        models=models,
        grpc_port=0,
        http_port=0,
        metrics_port=0,
        networks=folder,
        log_path=folder / "triton.log",
        ready_timeout_seconds=240.0,
        environment={f"SEGTRITON_{name.upper()}": str(value) for name, value in settings.items()},
    )


def run_session(server: TritonProcess, clip: Clip, output: OutputSpec = MJPEG) -> Run:
    """A clip through a session of its own; raises the server's error."""
    with RawStream(server.grpc_address, STREAMING) as stream:
        return follow(stream, clip, stream.open(clip, output))


def pictures_of(run: Run) -> np.ndarray:
    """The decoded output as RGB [n, h, w, 3]."""
    return np.stack([frame.to_ndarray(format="rgb24") for frame in decode(run)])


def check_whole(run: Run, clip: Clip) -> None:
    """Every frame came back, in the order of its timestamps."""
    assert run.pts == clip.pts
    assert not run.drops
    by_seq = {packet.seq: packet.pts for packet in clip.packets}
    assert [by_seq[packet.seq] for packet in run.packets] == clip.pts
    assert run.ended is not None
    assert (run.ended.frames_in, run.ended.frames_out) == (len(clip.packets), len(clip.packets))


def active_streams(server: TritonProcess) -> float:
    with urllib.request.urlopen(server.metrics_url, timeout=10) as response:
        text = response.read().decode()
    return sum(float(value) for value in re.findall(r"^segtriton_active_streams\S* (\S+)$", text, re.MULTILINE))


def wait_idle(server: TritonProcess) -> None:
    assert wait_until(lambda: active_streams(server) == 0, 5.0)


def device_bytes_used() -> int:
    """What all processes together have taken of the device's memory."""
    torch.cuda.synchronize()
    free, total = torch.cuda.mem_get_info()
    return total - free
