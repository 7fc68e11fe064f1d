"""A worker that decodes nothing and behaves as a file says, which may change.

Run in place of Python (setting `python`), with a file that says how:

odd_worker.py FILE -m segtriton_server.workers.worker_process DESCRIPTOR SETTINGS
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fake_worker import OPENED, Send, serve

from segtriton_server.workers.channel import AnyMessage, Channel, ChannelMessage

HOW = ("well", "deaf", "dying", "garbage")
_BEAT_SECONDS = 0.1


def main() -> None:
    """Behave as the file says at this moment: answer every OPEN, none if deaf, or with what nobody can read."""
    how = Path(sys.argv[1]).read_text()
    if how == "dying":
        sys.exit(1)

    def answer(channel: Channel, send: Send, message: AnyMessage) -> None:
        match message:
            case ChannelMessage("open") if how == "garbage":
                os.write(channel.fileno(), b"\2\0\0\0{}")
            case ChannelMessage("open", session_id) if how != "deaf":
                send(ChannelMessage("opened", session_id, OPENED))

    serve(answer, _BEAT_SECONDS)


if __name__ == "__main__":
    main()
