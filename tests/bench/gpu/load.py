"""Puts a load on the server and measures while it is steady."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from children import Children
from gpu_host import gpu_use
from metrics_page import StageTimes, read_stage_times
from processes import cpu_seconds_by_role

from segtriton_server.launch import TritonProcess

MOST_PROCESSES = 8
SESSIONS_PER_PROCESS = 2
SLACK_SECONDS = 45.0
CLIENT_WALL = 0.9


@dataclass(frozen=True)
class Load:
    """One measured load.

    Attributes:
        frames_per_second: of all sessions together, while all were open and sending.
        server_cores: processor time of the server by wall time, by role.
        busiest_client: processor time of the busiest client process by wall time; near 1, the client is the wall.
        stages: mean time of a frame in each stage, in milliseconds.
        names: decoders, encoders and codecs that sessions got, with how many got them.
        gpu_percent: how busy parts of the GPU were at the end, as its driver says.
        stage_times: what the server's histograms of stages counted meanwhile.
    """

    sessions: int
    frames_per_second: float
    server_cores: dict[str, float]
    busiest_client: float
    latency_ms: dict[str, float]
    stages: dict[str, float] = field(default_factory=dict)
    names: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    gpu_percent: dict[str, float] = field(default_factory=dict)
    stage_times: dict[str, StageTimes] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def note(self) -> str:
        """What a reader of the table should know beside the speed."""
        clients = f"clients {self.busiest_client:.2f}"
        if self.busiest_client > CLIENT_WALL:
            clients += ", THE CLIENT IS THE WALL"
        dropped = f"dropped {self.dropped}" if self.dropped else ""
        total = sum(self.server_cores.values())
        cores = f"{total:.1f} server cores, {1000 * total / max(self.frames_per_second, 1):.1f} for 1,000 fps"
        return ", ".join(filter(None, (cores, clients, *self.names, dropped)))


@dataclass(frozen=True)
class Stream:
    """What each session of a streamed load is."""

    clip: Path
    network: str
    output: dict[str, Any]
    mode: str = "file"


def run_streams(server: TritonProcess, stream: Stream, sessions: int, seconds: float, warm_seconds: float) -> Load:
    """So many streamed sessions at once, spread over a few processes; live ones begin evenly over the warm time."""
    num_processes = min(MOST_PROCESSES, -(-sessions // SESSIONS_PER_PROCESS))
    ramp = warm_seconds / 2 if stream.mode == "live" else 0.0
    plans = []
    for process in range(num_processes):
        starts = [number / sessions * ramp for number in range(process, sessions, num_processes)]
        fields = {**asdict(stream), "clip": str(stream.clip), "endpoint": server.grpc_address, "starts": starts}
        plans.append([json.dumps(fields)])
    return _measure(server, "load_client.py", plans, seconds, warm_seconds)


def run_frames(
    server: TritonProcess, clip: Path, network: str, clients: int, seconds: float, warm_seconds: float, way: str
) -> Load:
    """So many clients that send raw frames; a way is one of `frame_client.WAYS`."""
    arguments = [[server.grpc_address, str(clip), network, "blur", way]] * clients
    return _measure(server, "frame_client.py", arguments, seconds, warm_seconds)


def _measure(
    server: TritonProcess, script: str, arguments: Sequence[Sequence[str]], seconds: float, warm_seconds: float
) -> Load:
    with Children(script, arguments, seconds + warm_seconds + SLACK_SECONDS) as clients:
        clients.wait_for("ready")
        clients.tell("go")
        clients.wait_for("open")
        time.sleep(warm_seconds)
        stages_before = read_stage_times(server.metrics_url)
        cpu_before, begin = cpu_seconds_by_role(server.pid), time.monotonic()
        time.sleep(seconds)
        cpu_after, end = cpu_seconds_by_role(server.pid), time.monotonic()
        stages_after, gpu_percent = read_stage_times(server.metrics_url), gpu_use()
        clients.tell(f"{begin} {end}")
        results = clients.results()
    elapsed = end - begin
    return _summarize(
        [session for result in results for session in result["sessions"]],
        elapsed,
        server_cores={role: (value - cpu_before.get(role, 0.0)) / elapsed for role, value in cpu_after.items()},
        busiest_client=max(result["cores"] for result in results),
        gpu_percent=gpu_percent,
        stage_times={name: times.since(stages_before.get(name)) for name, times in stages_after.items()},
    )


def _summarize(sessions: list[dict[str, Any]], elapsed: float, **measured: Any) -> Load:
    latencies = [value for session in sessions for value in session["latencies_ms"]]
    dropped: Counter[str] = Counter()
    for session in sessions:
        dropped.update(session.get("dropped", {}))
    streamed = [session for session in sessions if "codec" in session]
    names = Counter(f"{session['decoder']} -> {session['encoder']} ({session['codec']})" for session in streamed)
    return Load(
        sessions=len(sessions),
        frames_per_second=sum(session["frames"] for session in sessions) / elapsed,
        latency_ms=_percentiles(latencies),
        stages=_means([session.get("stages", {}) for session in sessions]),
        names=dict(names),
        dropped=dict(dropped),
        warnings=tuple(sorted({text for session in sessions for text in session.get("warnings", ())})),
        **measured,
    )


def _percentiles(values: list[float]) -> dict[str, float]:
    if not values:
        return {"p50": float("inf"), "p95": float("inf"), "p99": float("inf")}
    return dict(zip(("p50", "p95", "p99"), np.percentile(values, (50, 95, 99)).tolist(), strict=True))


def _means(dicts: list[dict[str, float]]) -> dict[str, float]:
    return {key: sum(values.get(key, 0.0) for values in dicts) / len(dicts) for key in dicts[0]}
