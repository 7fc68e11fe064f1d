"""Valid and nearly valid messages of both dialects, at random, against a real Triton: nobody else notices.

`FUZZ_RUNS` says how many clients come one after another, each with `FUZZ_STEPS` messages at most. What they send is the
same each time.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from process_tree import descendants, wait_until, worker_pids
from raw_client import CLIPS, RawStream, read_clip, stream_clip
from wild_client import Answer, WildClient, WildRequest

from segtriton_protocol import Cancel, ErrorCode, Failed, Open, Output, Packets, SegtritonError, new_session_id
from segtriton_protocol.packets import MAX_SEQ, MAX_TIME, NO_TIMESTAMP
from segtriton_protocol.tensors import PARAMETER_MESSAGE, PARAMETER_PROTOCOL, PARAMETER_SESSION
from segtriton_server.launch import LaunchSettings, TritonProcess

RUNS = int(os.environ.get("FUZZ_RUNS", "40"))
STEPS = int(os.environ.get("FUZZ_STEPS", "25"))
REPORT = os.environ.get("FUZZ_REPORT", "")
CLIP = read_clip("carphone_pristine.mp4").head(60)
NEIGHBOUR = read_clip("bikes.mp4").head(40)
IDLE_SECONDS = 4.0
MAX_AGE_SECONDS = 10.0
# What a client must not bring about: a worker's end, a stage that does not return, an error of ours.
DEADLY = {"WORKER_LOST", "STAGE_TIMEOUT", "INTERNAL"}
TELLTALE = re.compile(r"/\w+/|shm_region|\.py\b|Traceback|line \d+")
THREADS = Counter({"close-requests": 1, "reap-sessions": 1, "watch-workers": 1, "read": 2, "write": 2})

pytestmark = pytest.mark.timeout(7200)

EDGES = st.sampled_from(
    [NO_TIMESTAMP, 1 - 2**63, -MAX_TIME - 1, -1, 0, 1, 2, 59, 2**31 - 1, 2**31, 2**53, MAX_SEQ, MAX_TIME, 2**63 - 1]
)
INT32 = st.sampled_from([-(2**31), -1, 0, 1, 4, 8, 16384, 16385, 2**31 - 1])
JSON_EDGES = st.sampled_from(
    [
        *(None, True, False, "", "yes", "\ud800", "x" * 300, "h264", "mask"),
        *(-1, 0, 1, 1.5, 2**31, 2**62, 2**63, 10**400, float("inf"), float("nan")),
        *([], {}, [0, 0], [2**31 - 1, 1], [1, 2**31 - 1], [True, 1], [2**63], {"a": {"b": []}}),
    ]
)
PICKS = st.integers(0, 3)
VIDEO_IDS = st.sampled_from(["0", "1", "sample 0", "_", "٣"])
DIGITS = ("0", "1", "7", "59", "007", str(MAX_SEQ), str(2**63 - 1), str(2**63), "9" * 40, "9" * 5000)
PAYLOADS = (*(packet.payload for packet in CLIP.packets[:8]), b"x", b"\0\0\0\1\x67", bytes(1000))
# A place in the above says more, where a test fails, than 5,000 digits.
PLACES = st.integers(0, len(PAYLOADS) - 1)


@st.composite
def open_bodies(draw: st.DrawFn) -> dict[str, Any]:
    """The JSON of an OPEN, mostly valid, with a field or two that may be anything."""
    wire: dict[str, Any] = json.loads(Open(video=CLIP.format).to_tensors()["MESSAGE"].tobytes())
    wire["open_key"] = draw(st.sampled_from(["", "", "sample 0", "0"]))
    wire["mode"] = draw(st.sampled_from(["file", "live"]))
    wire["output"]["encoder"] = draw(st.sampled_from(["auto", "h264", "mjpeg", "mask"]))
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        group = draw(st.sampled_from([wire, wire["video"], wire["output"]]))
        group[draw(st.sampled_from(sorted(group)))] = draw(JSON_EDGES)
        if not isinstance(wire["video"], dict) or not isinstance(wire["output"], dict):
            break
    return wire


@st.composite
def index_rows(draw: st.DrawFn) -> tuple[list[list[int]], bytes]:
    """Rows of PACKET_INDEX and their payload; mostly real packets, at times one of their numbers is another."""
    first = draw(st.integers(0, 59))
    packets = CLIP.packets[first : first + draw(st.integers(0, 12))]
    rows = [
        [packet.seq, len(packet.payload), packet.pts, packet.dts, packet.duration, packet.is_keyframe]
        for packet in packets
    ]
    payload = b"".join(packet.payload for packet in packets)
    if draw(st.booleans()):
        payload = PAYLOADS[draw(PLACES)]
        rows = [[draw(EDGES), len(payload), draw(EDGES), draw(EDGES), draw(EDGES), draw(st.sampled_from([0, 1, 2, 7]))]]
    if rows and draw(st.integers(0, 7)) == 0:
        rows[-1][draw(st.integers(0, 5))] = draw(EDGES)
    return rows, payload


def message(kind: str, session_id: str, body: Any = None, **tensors: Any) -> WildRequest:
    parameters: dict[str, str | int | bool] = {
        PARAMETER_PROTOCOL: 1,
        PARAMETER_MESSAGE: kind,
        PARAMETER_SESSION: session_id,
    }
    return WildRequest(parameters, {**tensors, "MESSAGE": as_bytes(json.dumps(body).encode())})


def as_bytes(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)


def annex_b_packets() -> list[bytes]:
    """The clip as the sample's contract wants it."""
    with av.open(CLIPS / "carphone_pristine.mp4") as container:
        stream = container.streams.video[0]
        to_annex_b = BitStreamFilterContext("h264_mp4toannexb", stream)
        packets = (packet for packet in container.demux(stream) if packet.size)
        return [bytes(out) for packet in islice(packets, 60) for out in to_annex_b.filter(packet)]


ANNEX_B = annex_b_packets()


class Clients(RuleBasedStateMachine):
    """One client on one stream, with sessions in both dialects."""

    address = ""
    codes: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.client = WildClient(self.address)
        self.sessions: list[str] = []

    def session(self, pick: int) -> str:
        """One of those that were opened, or nobody's; what is drawn must not depend on what was answered."""
        return [*self.sessions, new_session_id()][pick % (len(self.sessions) + 1)]

    def teardown(self) -> None:
        answers = self.client.all_answers()
        self.client.close()
        self.check(answers)
        self.codes.update(answer.code or answer.kind for answer in answers)

    def check(self, answers: list[Answer]) -> None:
        for answer in answers:
            assert answer.code not in DEADLY, answer
            assert not TELLTALE.search(answer.text), answer

    @initialize()
    def open_well(self) -> None:
        self.open_any(json.loads(Open(video=CLIP.format).to_tensors()["MESSAGE"].tobytes()))

    @rule(body=open_bodies())
    def open_any(self, body: dict[str, Any]) -> None:
        answer = self.client.open(message("open", "", body))
        self.check([answer])
        if answer.kind == "opened":
            self.sessions.append(answer.session_id)

    @rule(pick=PICKS, rows=index_rows(), received=EDGES)
    def packets(self, pick: int, rows: tuple[list[list[int]], bytes], received: int) -> None:
        index, payload = rows
        tensors = {"PACKET_INDEX": np.array(index, np.int64).reshape(-1, 6), "PACKET_IN": as_bytes(payload)}
        self.check(self.client.exchange(message("packets", self.session(pick), {"received": received}, **tensors)))

    @rule(pick=PICKS)
    def all_packets(self, pick: int) -> None:
        whole = Packets(self.session(pick), CLIP.packets)
        self.check(self.client.exchange(WildRequest(whole.to_parameters(), whole.to_tensors())))

    @rule(pick=PICKS, kind=st.sampled_from(["packets", "end", "cancel", "open", "hello", ""]), body=JSON_EDGES)
    def anything(self, pick: int, kind: str, body: Any) -> None:
        self.check(self.client.exchange(message(kind, self.session(pick), body)))

    @rule(pick=PICKS, next_seq=EDGES)
    def end(self, pick: int, next_seq: int) -> None:
        self.check(self.client.exchange(message("end", self.session(pick), {"next_seq": next_seq})))

    @rule(pick=PICKS)
    def cancel(self, pick: int) -> None:
        self.check(self.client.exchange(WildRequest(Cancel(self.session(pick)).to_parameters(), {})))

    @rule(
        video=VIDEO_IDS,
        digits=st.integers(0, len(DIGITS) - 1),
        payload=PLACES,
        meta0=st.none() | st.tuples(st.integers(0, 8), INT32),
        meta1=st.none() | st.tuples(EDGES, EDGES, EDGES),
        duration=st.sampled_from([0, 1, 2**62, 2**63, 2**64 - 1]),
        is_first=st.booleans(),
        is_last=st.booleans(),
    )
    def sample(
        self,
        video: str,
        digits: int,
        payload: int,
        meta0: tuple[int, int] | None,
        meta1: tuple[int, int, int] | None,
        duration: int,
        is_first: bool,
        is_last: bool,
    ) -> None:
        tensors: dict[str, np.ndarray] = {
            "PACKET_IN": as_bytes(PAYLOADS[payload]),
            "META2": np.array([0, 0, duration], np.uint64),
            "FIRST_PACKET": np.array([is_first]),
            "LAST_PACKET": np.array([is_last]),
        }
        if is_first:
            tensors["META0"] = np.array([1, 176, 144, 25, 60, 3, 4, 2, 2], np.int32)
            if meta0:
                tensors["META0"][meta0[0]] = meta0[1]
        if meta1:
            tensors["META1"] = np.array(meta1, np.int64)
        self.check(self.client.exchange(WildRequest({}, tensors, f"{video}_{DIGITS[digits]}")))

    @rule(video=VIDEO_IDS, is_whole=st.booleans())
    def sample_video(self, video: str, is_whole: bool) -> None:
        payloads = ANNEX_B if is_whole else ANNEX_B[:5]
        for number, payload in enumerate(payloads):
            tensors: dict[str, np.ndarray] = {
                "PACKET_IN": as_bytes(payload),
                "FIRST_PACKET": np.array([number == 0]),
                "LAST_PACKET": np.array([is_whole and number == len(payloads) - 1]),
            }
            if number == 0:
                tensors["META0"] = np.array([1, 176, 144, 25, 60, 3, 4, 2, 2], np.int32)
            self.check(self.client.exchange(WildRequest({}, tensors, f"{video}_{number}")))

    @rule(
        name=st.sampled_from(["MESSAGE", "PACKET_IN", "META0", "META1", "LAST_PACKET"]), size=st.sampled_from([0, 1, 9])
    )
    def a_tensor_of_another_type(self, name: str, size: int) -> None:
        self.check(self.client.exchange(WildRequest({}, {name: np.zeros(size, np.int64)}, "0_1")))


@pytest.fixture(scope="module")
def drain_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("drain") / "drain"


@pytest.fixture(scope="module")
def triton(server_settings: Callable[..., LaunchSettings], drain_file: Path) -> Iterator[TritonProcess]:
    heartbeat = drain_file.with_name("heartbeat")
    # Enough for the sessions of one client, those that the last one left, and the neighbour.
    settings = server_settings(
        workers=2, stream_slots=3 * STEPS, idle_timeout=IDLE_SECONDS, drain_file=drain_file, heartbeat_file=heartbeat
    )
    with TritonProcess(settings) as running:
        yield running


def router_threads(server: TritonProcess) -> Counter[str]:
    """The router's own threads by name, those of one worker without its number."""
    router = next(
        pid
        for pid in descendants(server.pid)
        if b"selfie_streaming/1/model.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    names = [path.read_text().strip() for path in Path(f"/proc/{router}/task").glob("*/comm")]
    return Counter(name for name in (re.sub(r"-\d+$", "", name) for name in names) if name in THREADS)


class Neighbour:
    """Streams the same clip again and again, until told to stop."""

    def __init__(self, address: str, pool: ThreadPoolExecutor) -> None:
        self._address = address
        self._alone = stream_clip(address, NEIGHBOUR).payloads
        self._is_over = threading.Event()
        self._runs: Future[int] = pool.submit(self._stream)

    def stop(self) -> int:
        """How often it got, to the bit, what it gets alone; raises if it once did not."""
        self._is_over.set()
        return self._runs.result()

    def _stream(self) -> int:
        runs = 0
        while not self._is_over.is_set():
            assert stream_clip(self._address, NEIGHBOUR).payloads == self._alone
            runs += 1
        return runs


def test_messages_at_random_harm_nobody(
    triton: TritonProcess, read_metrics: Callable[[TritonProcess], dict[str, float]]
) -> None:
    before = worker_pids(triton.pid)
    assert router_threads(triton) == THREADS
    Clients.address = triton.grpc_address
    Clients.codes.clear()
    rules = settings(
        max_examples=RUNS,
        stateful_step_count=STEPS,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    with ThreadPoolExecutor(1) as pool:
        neighbour = Neighbour(triton.grpc_address, pool)
        try:
            run_state_machine_as_test(Clients, settings=rules)  # type: ignore[no-untyped-call]
        finally:
            runs = neighbour.stop()

    assert runs
    assert worker_pids(triton.pid) == before
    assert router_threads(triton) == THREADS
    assert wait_until(lambda: read_metrics(triton)["segtriton_active_streams"] == 0)
    metrics = read_metrics(triton)
    assert metrics["segtriton_worker_restarts_total"] == 0
    assert metrics["segtriton_housekeeping_failures_total"] == 0
    # Sessions were opened and refused, in both dialects, or the messages would be too wild or too tame.
    assert Clients.codes["opened"] > RUNS
    assert Clients.codes["INVALID_MESSAGE"] > RUNS
    if REPORT:
        Path(REPORT).write_text(json.dumps({"answers": Clients.codes, "neighbour's runs": runs}) + "\n")


def test_afterwards_the_router_does_its_duties(triton: TritonProcess, drain_file: Path) -> None:
    """Each of its threads does what it is there for."""
    assert stream_clip(triton.grpc_address, NEIGHBOUR).pts == NEIGHBOUR.pts
    with RawStream(triton.grpc_address) as stream:
        stream.open(CLIP)
        while isinstance(answer := stream.receive(), Output):
            pass
        assert isinstance(answer, Failed)
        assert answer.error.code is ErrorCode.IDLE_TIMEOUT

    before = worker_pids(triton.pid)
    os.kill(before[0], signal.SIGKILL)
    assert wait_until(lambda: len({*worker_pids(triton.pid)} - {*before}) == 1)
    assert wait_until(lambda: router_threads(triton) == THREADS)

    drain_file.write_text("drain")
    assert wait_until(lambda: refusal_of(triton) is ErrorCode.DRAINING)
    drain_file.unlink()
    assert wait_until(lambda: refusal_of(triton) is None)
    assert time.time() - drain_file.with_name("heartbeat").stat().st_mtime < MAX_AGE_SECONDS


def refusal_of(server: TritonProcess) -> ErrorCode | None:
    with RawStream(server.grpc_address) as stream:
        try:
            stream.open(CLIP)
        except SegtritonError as error:
            return error.code
    return None
