"""The server's own books: what its log says of each session, and its metrics."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from segtriton_server.launch import TritonProcess

Metrics = dict[str, float]
COUNTERS = re.compile(
    r"segtriton_(frames|streams_opened|streams_rejected|sessions_failed|worker_restarts)_total(\{.*\})?$"
)
_CLOSED = re.compile(r"closed: (\d+) in, (\d+) out, dropped (\{.*\}), (\w+)$")


@dataclass(frozen=True)
class Closed:
    """How the server saw a session end; `outcome` is "complete" or the error's code."""

    frames_in: int
    frames_out: int
    dropped: dict[str, int]
    outcome: str


class ServerBooks:
    """What a server has written since the last look; its log must be JSON."""

    def __init__(self, server: TritonProcess, read_metrics: Callable[[TritonProcess], Metrics]) -> None:
        self._server = server
        self._read_metrics = read_metrics
        self._position = 0
        self._before: Metrics = {}
        self.opened: set[str] = set()
        self.closed: dict[str, Closed] = {}

    def begin(self) -> None:
        """Forget all that was before."""
        self.read_log()
        self.opened, self.closed = set(), {}
        self._before = self._read_metrics(self._server)

    def read_log(self) -> None:
        """Take note of the sessions that have opened and closed meanwhile."""
        for record in self._records():
            session_id, message = record.get("session", ""), record.get("message", "")
            if message.startswith("opened: "):
                self.opened.add(session_id)
            elif found := _CLOSED.fullmatch(message):
                frames_in, frames_out, dropped, outcome = found.groups()
                self.closed[session_id] = Closed(int(frames_in), int(frames_out), ast.literal_eval(dropped), outcome)

    def gauges(self) -> Metrics:
        metrics = self._read_metrics(self._server)
        return {name: metrics[name] for name in ("segtriton_active_streams", "segtriton_stream_load")}

    def counted(self) -> Counter[str]:
        """How much each counter has grown, those that have not left out."""
        now = self._read_metrics(self._server)
        grown = {name: int(now[name] - self._before.get(name, 0)) for name in now if COUNTERS.match(name)}
        return Counter({name: count for name, count in grown.items() if count})

    def _records(self) -> Iterator[dict[str, str]]:
        assert self._server.log_path is not None
        with self._server.log_path.open("rb") as log:
            log.seek(self._position)
            whole, _, _ = log.read().rpartition(b"\n")
        self._position += len(whole) + 1 if whole else 0
        for line in whole.splitlines():
            if line.startswith(b'{"time"'):
                yield json.loads(line)


def expected_counts(opened: set[str], closed: dict[str, Closed], killed: int) -> Counter[str]:
    """What the counters must say of these sessions."""
    counts: Counter[str] = Counter()
    counts["segtriton_streams_opened_total"] = len(opened)
    counts["segtriton_worker_restarts_total"] = killed
    for session_id, end in closed.items():
        counts['segtriton_frames_total{outcome="out"}'] += end.frames_out
        for reason, count in end.dropped.items():
            counts[f'segtriton_frames_total{{outcome="{reason}"}}'] += count
        if session_id not in opened:
            counts[f'segtriton_streams_rejected_total{{reason="{end.outcome}"}}'] += 1
        elif end.outcome != "complete":
            counts[f'segtriton_sessions_failed_total{{code="{end.outcome}"}}'] += 1
    return +counts
