"""How many pictures of a session x264 codes at the same time, each on a thread of its own; chosen at OPEN."""

from __future__ import annotations

from itertools import count, takewhile

from segtriton_protocol import Open
from segtriton_server.settings import Settings, num_cores

_H264 = ("auto", "h264")
# The thread that hands pictures to x264 is the wall before more are busy.
_MOST = 16
# What a decoder may keep unanswered that refuses all packets (see `Admission`), with those that it holds to sort them.
_PACKETS_OF_DECODER = 80
# A picture waits in x264, and on a GPU others of its group wait for the pictures before it.
_PACKETS_OF_THREAD = 2


def choose_frame_threads(request: Open, settings: Settings, num_sessions: int) -> int:
    """Return x264's frame threads for a session that opens beside so many others.

    1 means that no picture waits for another one: x264 then shares each between threads. Live sessions, other encoders
    and sessions for which no two cores are left have that.
    """
    if request.mode == "live" or request.output.encoder not in _H264:
        return 1
    wanted = settings.encoder_threads or num_cores() // (num_sessions + 1)
    spare_packets = settings.window_packets - _PACKETS_OF_DECODER
    return max(1, min(wanted, _MOST, spare_packets // _PACKETS_OF_THREAD))


def most_frame_threads(settings: Settings) -> int:
    """Return the most frame threads that all sessions together have."""
    if settings.encoder_threads:
        return settings.stream_slots * min(settings.encoder_threads, _MOST)
    shares = (num_cores() // sessions for sessions in count(1))
    return sum(min(share, _MOST) for share in takewhile(lambda share: share > 1, shares))
