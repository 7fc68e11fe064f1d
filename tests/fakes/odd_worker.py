"""A worker that decodes nothing and behaves as a file says, which may change.

Run in place of Python (setting `python`), with a file that says how:

odd_worker.py FILE -m segtriton_server.workers.worker_process DESCRIPTOR SETTINGS
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from pathlib import Path

from segtriton_server.workers.channel import Channel, ChannelMessage

HOW = ("well", "deaf", "dying", "garbage")
_BEAT_SECONDS = 0.1
OPENED = {
    "network": "none",
    "class_name": "",
    "classes": [],
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


def serve(channel: Channel, how: str) -> None:
    """Answer every OPEN, none if deaf, and with what nobody can read if told so."""
    lock = threading.Lock()

    def send(message: ChannelMessage) -> None:
        with lock:
            channel.send(message.pack())

    def beat() -> None:
        while True:
            send(ChannelMessage("beat", body={"busy_seconds": 0.0, "batches": []}))
            time.sleep(_BEAT_SECONDS)

    send(ChannelMessage("ready"))
    threading.Thread(target=beat, daemon=True).start()
    while True:
        match channel.receive():
            case ChannelMessage("open") if how == "garbage":
                os.write(channel.fileno(), b"\2\0\0\0{}")
            case ChannelMessage("open", session_id) if how != "deaf":
                send(ChannelMessage("opened", session_id, OPENED))


def main() -> None:
    """Behave as the file says at this moment."""
    how = Path(sys.argv[1]).read_text()
    if how == "dying":
        sys.exit(1)
    try:
        serve(Channel(socket.socket(fileno=int(sys.argv[-2]))), how)
    except (EOFError, OSError):
        os._exit(0)


if __name__ == "__main__":
    main()
