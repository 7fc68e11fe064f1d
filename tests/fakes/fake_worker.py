"""What the workers that decode nothing have in common: the start, the heartbeat, and the answer to OPEN."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable

from segtriton_server.workers.channel import AnyMessage, Channel, ChannelMessage, SessionResults

READY = {"network": "selfie", "classes": ["person"], "default_class": "person", "licence": "Apache-2.0"}
OPENED = {
    "network": "selfie",
    "class_name": "person",
    "classes": ["person"],
    "decoder": "none",
    "encoder": "none",
    "encoder_reason": "",
    "output_codec": "h264",
    "output_pixel_format": "yuv420p",
    "output_extradata": "",
    "output_width": 64,
    "output_height": 48,
    "warnings": [],
}

Send = Callable[[ChannelMessage | SessionResults], None]


def serve(answer: Callable[[Channel, Send, AnyMessage], None], beat_seconds: float) -> None:
    """Be ready on the socket that the arguments name, and answer each message until the router has closed its end."""
    channel, lock = Channel(socket.socket(fileno=int(sys.argv[-2]))), threading.Lock()

    def send(message: ChannelMessage | SessionResults) -> None:
        with lock:
            channel.send(message.pack())

    def beat() -> None:
        while True:
            send(ChannelMessage("beat", body={"busy_seconds": 0.0, "batches": []}))
            time.sleep(beat_seconds)

    try:
        send(ChannelMessage("ready", body=READY))
        threading.Thread(target=beat, daemon=True).start()
        while True:
            answer(channel, send, channel.receive())
    except (EOFError, OSError):
        os._exit(0)
