"""A worker that gives each packet back as its output, at once: what is left of the service is its router.

Run in place of Python (setting `python`):

echo_worker.py -m segtriton_server.workers.worker_process DESCRIPTOR SETTINGS
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time

from segtriton_server.workers.channel import STAGES, Channel, ChannelMessage, SessionPackets, SessionResults

BEAT_SECONDS = 0.5
OPENED = {
    "network": "selfie",
    "class_name": "person",
    "classes": ["person"],
    "decoder": "echo",
    "encoder": "echo",
    "encoder_reason": "",
    "output_codec": "h264",
    "output_pixel_format": "yuv420p",
    "output_extradata": "",
    "output_width": 64,
    "output_height": 48,
    "warnings": [],
}


def serve(channel: Channel) -> None:
    """Answer until the router has closed its end."""
    lock = threading.Lock()

    def send(message: ChannelMessage | SessionResults) -> None:
        with lock:
            channel.send(message.pack())

    def beat() -> None:
        while True:
            send(ChannelMessage("beat", body={"busy_seconds": 0.0, "batches": []}))
            time.sleep(BEAT_SECONDS)

    send(ChannelMessage("ready"))
    threading.Thread(target=beat, daemon=True).start()
    while True:
        match channel.receive():
            case ChannelMessage("open", session_id):
                send(ChannelMessage("opened", session_id, OPENED))
            case ChannelMessage("end", session_id):
                send(ChannelMessage("ended", session_id, {"notes": [], "batches": []}))
            case SessionPackets(session_id, block):
                send(SessionResults(session_id, block, stages={stage: (0.001, len(block)) for stage in STAGES}))


if __name__ == "__main__":
    try:
        serve(Channel(socket.socket(fileno=int(sys.argv[-2]))))
    except (EOFError, OSError):
        os._exit(0)
