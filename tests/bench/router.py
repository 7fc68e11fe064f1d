"""What a frame costs the router, without a GPU, a network or Triton.

    python tests/bench/router.py [--seconds SECONDS] [--json FILE]

The streamed model's adapter runs with its real service, threads, locks and sockets. Its workers are real processes that
give each packet back at once (`echo_worker.py`). Each session has one message under way: its next one is sent when
the last is answered. Figures are the processor time of the router's process, less what the benchmark's clients take,
by frame: the median of the rounds, and the lowest, which a busy machine changes least. They are to be at most 100 us.
The limit is a bare echo of the same bytes by a thread that sends and one that receives, in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "fakes"))

import triton_python_backend_utils as pb_utils
from processes import core_speed
from table import Row, render

from segtriton_protocol import Open, Packet, Packets, VideoFormat
from segtriton_protocol.answer_ids import AnswerId
from segtriton_protocol.tensors import MESSAGE_OUT, Tensors
from segtriton_server.adapters.streaming_model import TritonPythonModel

FAKES = Path(__file__).parents[1] / "fakes"
SESSIONS = (1, 48, 100)
FRAMES = (1, 2, 8)
PAYLOAD_BYTES = 8192
WORKERS = 2
ROUNDS = 5
ECHO = """
import socket, sys
connection = socket.socket(fileno=int(sys.argv[1]))
buffer = memoryview(bytearray(1 << 20))
while length := connection.recv_into(buffer):
    connection.sendall(buffer[:length])
"""


@dataclass(frozen=True)
class Cost:
    """What was measured of one load: processor seconds of the router and its threads, and frames a second."""

    microseconds: float
    frames_per_second: float


class Answers:
    """Counts the answers that have come, and wakes who waits for so many."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted = 0
        self._come = threading.Event()

    def expect(self, count: int) -> None:
        with self._lock:
            self._wanted += count
            self._come.clear()

    def note(self) -> None:
        with self._lock:
            self._wanted -= 1
            if not self._wanted:
                self._come.set()

    def wait(self) -> None:
        if not self._come.wait(20):
            raise RuntimeError(f"{self._wanted} answers did not come")


class Client:
    """One session; keeps its last answer, which names what the next message acknowledges."""

    def __init__(self, answers: Answers, open_request: Open) -> None:
        self._answers = answers
        self._next_seq = 0
        self._parameters = json.dumps(open_request.to_parameters())
        self._last: list[pb_utils.InferenceResponse] = []
        self.opening = self._request(open_request.to_tensors())

    def send(self, response: pb_utils.InferenceResponse | None = None, flags: int = 0) -> None:
        """What Triton's response sender does."""
        if response is not None:
            self._last[:] = [response]
            self._answers.note()

    def is_cancelled(self) -> bool:
        return False

    def note_opened(self) -> None:
        self._parameters = json.dumps(Packets(self._body()["session_id"], ()).to_parameters())

    def next_request(self, frames: int) -> pb_utils.InferenceRequest:
        """The next message, which acknowledges the last answer."""
        seqs = range(self._next_seq, self._next_seq + frames)
        self._next_seq += frames
        packets = tuple(Packet(seq, seq * 512, seq * 512, 512, seq == 0, bytes(PAYLOAD_BYTES)) for seq in seqs)
        acknowledged = AnswerId(*self._body()["answer_id"])
        return self._request(Packets("", packets, acknowledged.number, acknowledged).to_tensors())

    def _body(self) -> dict[str, Any]:
        tensors = {tensor.name(): tensor for tensor in self._last[0].output_tensors()}
        body: dict[str, Any] = json.loads(tensors[MESSAGE_OUT.name].as_numpy().tobytes())
        return body

    def _request(self, tensors: Tensors) -> pb_utils.InferenceRequest:
        request = _Request([pb_utils.Tensor(name, array) for name, array in tensors.items()])
        request.text = self._parameters
        request.response_sender = self  # type: ignore[assignment]
        return request


class _Request(pb_utils.InferenceRequest):
    text = ""

    def parameters(self) -> str:
        return self.text


class Router:
    """The model with its workers."""

    def __init__(self, echo_worker: Path, folder: Path) -> None:
        python = folder / "python"
        path = os.environ.get("PYTHONPATH", "")
        python.write_text(f'#!/bin/sh\nPYTHONPATH="{path}" exec "{sys.executable}" "{echo_worker}" "$@"\n')
        python.chmod(0o755)
        values = {
            "workers": WORKERS,
            "stream_slots": max(SESSIONS),
            "memory_bytes": 64 << 30,
            "python": python,
            "log_level": "WARNING",
        }
        parameters = {key: {"string_value": str(value)} for key, value in values.items()}
        self._model = TritonPythonModel()
        self._model.initialize({"model_config": json.dumps({"parameters": parameters})})

    def close(self) -> None:
        self._model.finalize()

    def measure(self, sessions: int, frames: int, seconds: float) -> Cost:
        """Measure so many sessions that put so many frames into each message."""
        answers = Answers()
        clients = [self._open(answers) for _ in range(sessions)]
        started, cpu, client_cpu, rounds = time.perf_counter(), time.process_time(), 0.0, 0
        while rounds < 3 or time.perf_counter() - started < seconds:
            before = time.thread_time()
            requests = [client.next_request(frames) for client in clients]
            answers.expect(sessions)
            client_cpu += time.thread_time() - before
            for request in requests:
                self._model.execute([request])
            before = time.thread_time()
            answers.wait()
            client_cpu += time.thread_time() - before
            rounds += 1
        cpu, elapsed = time.process_time() - cpu - client_cpu, time.perf_counter() - started
        for client in clients:
            self._cancel(client)
        count = rounds * sessions * frames
        return Cost(cpu / count * 1e6, count / elapsed)

    def _open(self, answers: Answers) -> Client:
        video = VideoFormat("h264", 64, 48, Fraction(1, 15360), frame_rate=Fraction(30))
        client = Client(answers, Open(video=video, mode="live", acknowledges=True))
        answers.expect(1)
        self._model.execute([client.opening])
        answers.wait()
        client.note_opened()
        return client

    def _cancel(self, client: Client) -> None:
        request = client._request({})
        request.text = client._parameters.replace('"packets"', '"cancel"')
        self._model.execute([request])


class BareEcho:
    """The same bytes through a process that gives them back: one thread sends, one receives."""

    def __init__(self) -> None:
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", ECHO, str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )
        self._received = 0
        self._wanted = 0
        self._come = threading.Event()
        threading.Thread(target=self._receive, daemon=True).start()

    def close(self) -> None:
        self._connection.shutdown(socket.SHUT_RDWR)
        self._process.wait()

    def measure(self, sessions: int, frames: int, seconds: float) -> Cost:
        """Measure as `Router.measure` does."""
        message = bytes((PAYLOAD_BYTES + 48) * frames + 64)
        started, cpu, rounds = time.perf_counter(), time.process_time(), 0
        while rounds < 3 or time.perf_counter() - started < seconds:
            self._come.clear()
            self._wanted = self._received + sessions * len(message)
            for _ in range(sessions):
                self._connection.sendall(message)
            self._come.wait()
            rounds += 1
        cpu, elapsed = time.process_time() - cpu, time.perf_counter() - started
        count = rounds * sessions * frames
        return Cost(cpu / count * 1e6, count / elapsed)

    def _receive(self) -> None:
        buffer = bytearray(1 << 20)
        while length := self._connection.recv_into(buffer):
            self._received += length
            if self._received >= self._wanted:
                self._come.set()


@contextmanager
def opened(echo_worker: Path) -> Iterator[tuple[Router, BareEcho]]:
    """The router and its limit."""
    with tempfile.TemporaryDirectory() as folder:
        router, bare = Router(echo_worker, Path(folder)), BareEcho()
        try:
            yield router, bare
        finally:
            router.close()
            bare.close()


def measure(echo_worker: Path, seconds: float) -> list[Row]:
    """Measure every load, the router and its limit in turn; a figure is the median of the rounds."""
    rows = []
    with opened(echo_worker) as (router, bare):
        for sessions in SESSIONS:
            for frames in FRAMES:
                pairs = [
                    (router.measure(sessions, frames, seconds), bare.measure(sessions, frames, seconds / 4))
                    for _ in range(ROUNDS)
                ]
                rows.append(_row(sessions, frames, pairs))
    return rows


def _row(sessions: int, frames: int, pairs: Sequence[tuple[Cost, Cost]]) -> Row:
    cost, limit = (statistics.median(pair[side].microseconds for pair in pairs) for side in (0, 1))
    speed = statistics.median(pair[0].frames_per_second for pair in pairs)
    lowest = min(pair[0].microseconds for pair in pairs)
    return Row(
        "Router: processor time of a frame",
        f"{sessions} session{'s' * (sessions > 1)}, {frames} a message",
        cost,
        "us",
        cost / limit,
        "bare echo",
        note=f"lowest {lowest:.0f} us, {speed:.0f} fps",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure what a frame costs the router.")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each round, default: %(default)s")
    parser.add_argument("--echo-worker", type=Path, default=FAKES / "echo_worker.py", help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE, too")
    options = parser.parse_args(arguments)
    speed = core_speed()
    rows = measure(options.echo_worker, options.seconds)
    print(f"one core: {speed:.0f} million passes of a Python loop a second")
    print(render(rows))
    if options.json:
        options.json.write_text(json.dumps([row.to_json() for row in rows], indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
