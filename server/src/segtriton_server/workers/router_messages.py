"""What the router tells a worker: its settings when it starts, and the sessions to open.

A module of its own, as the router would otherwise load all libraries that a worker works with.
"""

from __future__ import annotations

import json
from pathlib import Path

from segtriton_protocol import Open
from segtriton_protocol.json_fields import encode_json
from segtriton_protocol.packets import PacketBlock
from segtriton_protocol.tensors import MESSAGE, PACKET_IN, PACKET_INDEX, Tensors
from segtriton_server.settings import Settings
from segtriton_server.workers.channel import ChannelMessage

WORKER_SETTINGS = (
    "accelerator",
    "network",
    "networks",
    "weights",
    "network_width",
    "network_height",
    "visualization_class_name",
    "inference_backend",
    "compile_cache",
    "workers",
    "group_size",
    "spare_decoders",
    "device_cache_bytes",
    "decoder_threads",
    "network_threads",
    "batch_size",
    "batch_deadline",
    "frames_in_flight",
    "confinement",
    "worker_memory_bytes",
    "max_pixels",
    "stage_deadline",
    "log_level",
    "log_json",
)
"""The settings that a worker is told; the others name files with secrets, or are none of its business."""


def settings_argument(settings: Settings) -> str:
    """Return the settings that a worker has, as the argument that the worker's `main` reads."""
    return json.dumps({name: getattr(settings, name) for name in WORKER_SETTINGS}, default=str)


def read_settings(argument: str) -> Settings:
    """Return the settings of `settings_argument`."""
    values = json.loads(argument)
    return Settings(**{**values, "networks": Path(values["networks"])})


def open_message(session_id: str, request: Open, num_frame_threads: int = 1) -> ChannelMessage:
    """Return the message that opens a session in a worker, and says how many frame threads its encoder has.

    The packets of a background, if there is one, follow in the next message.
    """
    opened = json.loads(request.to_tensors()[MESSAGE.name].tobytes())
    return ChannelMessage("open", session_id, {"request": opened, "num_frame_threads": num_frame_threads})


def awaits_background(message: ChannelMessage) -> bool:
    """Whether the packets of a background follow the message of `open_message`."""
    return "background" in message.body["request"]


def read_open(message: ChannelMessage, background: PacketBlock | None = None) -> Open:
    """Return the request of `open_message`, with its background's packets."""
    tensors: Tensors = {MESSAGE.name: encode_json(message.body["request"])}
    if background is not None:
        tensors[PACKET_INDEX.name], tensors[PACKET_IN.name] = background.to_arrays()
    return Open.from_tensors("", tensors)
