"""Runs the plain script, or clients against the server, and measures."""

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from clips import Clip
from processes import cpu_seconds_by_role, processor_name, proportional_bytes

HERE = Path(__file__).parent
SAMPLE_SECONDS = 0.5


@dataclass(frozen=True)
class Run:
    """One measured run.

    Attributes:
        frames_per_second: of all sessions together, from the start of the first to the end of the last.
        cores: processor time of clients and server, by wall time.
        cpu_ms: processor time for each frame by role, in milliseconds.
        stages: mean time of a frame in each of the server's stages, in milliseconds.
        memory: the most that the server took meanwhile, in bytes.
    """

    frames_per_second: float
    cores: float
    cpu_ms: dict[str, float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    latency_ms: dict[str, float] = field(default_factory=dict)
    memory: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def run_plain(clip: Clip, network: Path) -> Run:
    """The plain script; its time leaves out imports and the loading of the network."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(HERE / "plain_script.py"), str(clip.path), f"{folder}/out.mp4"]
        used, started = _children_cpu_seconds(), time.monotonic()
        answer = subprocess.run([*command, "--network", str(network)], check=True, stdout=subprocess.PIPE)
        seconds, used = time.monotonic() - started, _children_cpu_seconds() - used
    return Run(
        json.loads(answer.stdout)["frames_per_second"], used / seconds, {"plain script": used / clip.num_frames * 1e3}
    )


def run_clients(endpoint: str, server_pid: int, clip: Clip, num_clients: int = 1, way: str = "streamed") -> Run:
    """So many clients at once, each a process and a session of its own."""
    with tempfile.TemporaryDirectory() as folder:
        clients = [
            subprocess.Popen(
                [sys.executable, str(HERE / "client.py"), endpoint, str(clip.path), f"{folder}/{number}.mp4", way],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for number in range(num_clients)
        ]
        for client in clients:
            assert client.stdout is not None
            client.stdout.readline()
        before = cpu_seconds_by_role(server_pid)
        with MemoryPeak(server_pid) as memory:
            for client in clients:
                assert client.stdin is not None
                client.stdin.write("go\n")
                client.stdin.flush()
            results = [json.loads(client.communicate()[0] or "null") for client in clients]
        after = cpu_seconds_by_role(server_pid)
    if None in results:
        raise RuntimeError(f"a client failed ({way}, {num_clients} at once); its message is above")
    used = {role: seconds - before.get(role, 0.0) for role, seconds in after.items()}
    used["clients"] = sum(result["cpu_seconds"] for result in results)
    return _summarize(results, used, memory.peak)


class MemoryPeak:
    """Looks now and then at how much memory a server takes."""

    def __init__(self, server_pid: int) -> None:
        self.peak = 0
        self._pid = server_pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample)

    def __enter__(self) -> "MemoryPeak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            self.peak = max(self.peak, proportional_bytes(self._pid))


def _summarize(results: list[dict[str, Any]], used: dict[str, float], memory: int) -> Run:
    reports = [result["report"] for result in results]
    frames = sum(report["frames_out"] for report in reports)
    seconds = max(result["ended"] for result in results) - min(result["started"] for result in results)
    return Run(
        frames_per_second=frames / seconds,
        cores=sum(used.values()) / seconds,
        cpu_ms={role: value / frames * 1e3 for role, value in used.items()},
        stages=_means([report["stages"] for report in reports]),
        latency_ms=_means([report["latency_ms"] for report in reports]),
        memory=memory,
    )


def _means(dicts: list[dict[str, float]]) -> dict[str, float]:
    return {key: sum(values[key] for values in dicts) / len(dicts) for key in dicts[0]}


def _children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def machine() -> dict[str, Any]:
    """What the figures were taken on, and how busy it was before."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": processor_name(),
        "load_before": os.getloadavg()[0],
    }
