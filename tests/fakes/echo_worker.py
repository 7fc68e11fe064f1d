"""A worker that gives each packet back as its output, at once: what is left of the service is its router.

Run in place of Python (setting `python`):

echo_worker.py -m segtriton_server.workers.worker_process DESCRIPTOR SETTINGS
"""

from __future__ import annotations

from fake_worker import OPENED, Send, serve

from segtriton_server.workers.channel import (
    STAGES,
    AnyMessage,
    Channel,
    ChannelMessage,
    SessionPackets,
    SessionResults,
)

_BEAT_SECONDS = 0.5


def answer(channel: Channel, send: Send, message: AnyMessage) -> None:
    """Answer a message."""
    match message:
        case ChannelMessage("open", session_id):
            send(ChannelMessage("opened", session_id, OPENED))
        case ChannelMessage("end", session_id):
            send(ChannelMessage("ended", session_id, {"notes": [], "batches": []}))
        case SessionPackets(session_id, block):
            send(SessionResults(session_id, block, stages={stage: (0.001, len(block)) for stage in STAGES}))


if __name__ == "__main__":
    serve(answer, _BEAT_SECONDS)
