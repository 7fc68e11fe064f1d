"""A session's stages over parts that decode nothing: groups travel whole, and failures are told apart."""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import pytest
from pipeline_parts import DeviceLostError, Parts

from segtriton_protocol import Background, ErrorCode, Open, OutputSpec, Packet, SegtritonError, VideoFormat
from segtriton_protocol.frame_parts import FramePart, split_parts
from segtriton_protocol.packets import PacketBlock
from segtriton_server.encoders.encoder import EncoderSetup
from segtriton_server.settings import Settings
from segtriton_server.vision.empty_masks import EmptyMasks
from segtriton_server.workers.accelerator import SessionOutput
from segtriton_server.workers.frame_batcher import FrameBatcher
from segtriton_server.workers.network_job import NetworkJob
from segtriton_server.workers.results import Results, ResultSink
from segtriton_server.workers.session_pipeline import SessionPipeline

VIDEO = VideoFormat("h264", 64, 48, Fraction(1, 25))
REQUEST = Open(video=VIDEO, output=OutputSpec())


class Sink(ResultSink):
    """Keeps what comes."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self.stages: dict[str, list[tuple[float, int]]] = {}
        self.errors: list[SegtritonError] = []
        self.num_lost = 0
        self.over = threading.Event()

    def results(self, session_id: str, results: Results) -> None:
        self.packets += results.packets
        for stage, total in results.stages.items():
            self.stages.setdefault(stage, []).append(total)

    def ended(self, session_id: str, notes: Sequence[str], frames_without_class: int | None) -> None:
        self.notes, self.frames_without_class = notes, frames_without_class
        self.over.set()

    def failed(self, session_id: str, error: SegtritonError) -> None:
        self.errors.append(error)
        self.over.set()

    def lost(self) -> None:
        self.num_lost += 1


@dataclass
class Run:
    """A pipeline with the network's thread beside it."""

    parts: Parts
    sink: Sink
    pipeline: SessionPipeline

    def finish(self, num_packets: int) -> None:
        for seq in range(num_packets):
            self.pipeline.put([Packet(seq, seq, seq, 1, True, b"x")])
        self.pipeline.end()
        self.pipeline.start()
        assert self.sink.over.wait(10)


def segment(parts: Parts, batch: Sequence[NetworkJob]) -> list[str]:
    for job in batch:
        parts.calls.append(("see", (job.state, job.network_input.numbers)))
    return parts.segment([job.network_input for job in batch], [])


@pytest.fixture
def make_run() -> Iterator[Callable[..., Run]]:
    batcher: FrameBatcher[NetworkJob] = FrameBatcher(16, 0.0)
    runs: list[Run] = []

    def run_network(parts: Parts) -> None:
        while batch := batcher.next_batch():
            for job, masks in zip(batch, segment(parts, batch), strict=True):
                job.masks = masks
                job.deliver(job)

    def make(parts: Parts, request: Open = REQUEST, **settings: Any) -> Run:
        sink = Sink()
        pipeline = SessionPipeline("0" * 32, request, Settings(**settings), parts, batcher, sink)
        threading.Thread(target=run_network, args=(parts,), daemon=True).start()
        runs.append(Run(parts, sink, pipeline))
        return runs[-1]

    yield make
    for run in runs:
        run.pipeline.close()
    batcher.close()


@pytest.mark.parametrize("takes_mask", [False, True], ids=["pictures", "masks"])
@pytest.mark.parametrize("frames_in_flight", [1, 3, 6, 100])
def test_groups_travel_whole_however_few_slots_there_are(
    make_run: Callable[..., Run], frames_in_flight: int, takes_mask: bool
) -> None:
    run = make_run(Parts(takes_mask=takes_mask), frames_in_flight=frames_in_flight)
    run.finish(10)

    groups = [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9)]
    assert run.sink.errors == []
    assert run.sink.notes == run.parts.notes
    assert run.parts.named("decode") == run.parts.named("preprocess") == groups
    assert [packet.seq for packet in run.sink.packets] == list(range(10))
    if takes_mask:
        assert [packet.payload for packet in run.sink.packets] == [b"masks of 4"] * 8 + [b"masks of 2"] * 2
    else:
        assert run.parts.named("compose") == [(group, f"masks of {len(group)}") for group in groups]


def test_the_encoder_is_told_its_frame_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    parts, setups = Parts(), []
    open_output = parts.open_output
    monkeypatch.setattr(parts, "open_output", lambda setup: (setups.append(setup), open_output(setup))[1])
    batcher: FrameBatcher[NetworkJob] = FrameBatcher(16, 0.0)
    SessionPipeline("0" * 32, Open(video=VIDEO), Settings(), parts, batcher, Sink(), 7).close()

    assert [setup.num_frame_threads for setup in setups] == [7]


def test_stage_times_are_sums_over_the_frames_of_a_call(make_run: Callable[..., Run]) -> None:
    run = make_run(Parts())
    run.finish(10)

    stages = run.sink.stages
    for stage in ("preprocess", "compose", "encode"):
        assert [frames for _, frames in stages[stage]] == [4, 4, 2]
    assert [frames for _, frames in stages["decode"]] == [4, 4, 2, 1]  # the last is the flush


def test_a_packet_does_not_wait_for_its_group_to_fill(make_run: Callable[..., Run]) -> None:
    run = make_run(Parts(group_size=8))
    run.pipeline.start()
    run.pipeline.put([Packet(0, 0, 0, 1, True, b"x")])

    for _ in range(500):
        if run.sink.packets:
            break
        threading.Event().wait(0.01)
    assert [packet.seq for packet in run.sink.packets] == [0]


@pytest.mark.parametrize("stage", ["decode", "preprocess", "compose"])
@pytest.mark.parametrize(
    ("error", "code", "num_lost"),
    [
        (MemoryError(), ErrorCode.RESOURCE_EXHAUSTED, 0),
        (KeyError("a path that is nobody's business"), ErrorCode.INTERNAL, 0),
        (DeviceLostError(), ErrorCode.INTERNAL, 1),
        (SegtritonError(ErrorCode.DECODE_FAILED, "It does not decode."), ErrorCode.DECODE_FAILED, 0),
    ],
)
def test_a_failure_is_judged(
    make_run: Callable[..., Run], stage: str, error: Exception, code: ErrorCode, num_lost: int
) -> None:
    run = make_run(Parts(errors={stage: error}))
    run.finish(3)

    assert [told.code for told in run.sink.errors] == [code]
    assert run.sink.num_lost == num_lost
    assert "business" not in str(run.sink.errors[0])


def test_the_decoder_is_closed_when_there_is_no_encoder_for_it(make_run: Callable[..., Run]) -> None:
    parts = Parts(errors={"open_output": MemoryError()})
    with pytest.raises(MemoryError):
        make_run(parts)

    assert len(parts.named("close")) == 1


def test_the_reply_names_what_was_chosen(make_run: Callable[..., Run]) -> None:
    described = make_run(Parts(), visualization_class_name="background").pipeline.describe()

    assert described["class_name"] == "background"
    assert described["warnings"] == ["The masks are random."]
    assert described["output_pixel_format"] == "points"
    assert make_run(Parts()).pipeline.describe()["class_name"] == "person"
    both = make_run(Parts(), visualization_class_name="person, background").pipeline.describe()
    assert both["class_name"] == "person,background"


def test_packets_that_arrived_together_are_decoded_together(make_run: Callable[..., Run]) -> None:
    run = make_run(Parts(group_size=4))
    packets = [Packet(seq, seq, seq, 1, True, b"x") for seq in range(11)]
    run.pipeline.put(packets[:3])
    run.pipeline.put(packets[3:])
    run.pipeline.end()
    run.pipeline.start()

    assert run.sink.over.wait(10)
    assert run.parts.named("decode") == [(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10)]


def test_memory_that_is_back_in_a_moment_costs_no_session(make_run: Callable[..., Run]) -> None:
    run = make_run(Parts(passing_errors={"compose": [MemoryError(), MemoryError()]}))
    run.finish(10)

    assert run.sink.errors == []
    assert [packet.seq for packet in run.sink.packets] == list(range(10))
    assert len(run.parts.named("give_memory_back")) == 2


RESUMED = Open(video=VIDEO, output=OutputSpec(), wanted_seq=6, answered_seqs=(7,))


def test_a_network_with_a_memory_sees_what_was_answered_before_a_resume(
    make_run: Callable[..., Run],
) -> None:
    run = make_run(Parts(state="kept"), RESUMED, frames_in_flight=2)
    run.finish(10)

    groups = [(0, 1, 2, 3), (4, 5, 7), (6,), (8, 9)]
    assert run.sink.errors == []
    assert run.parts.named("see") == [("kept", group) for group in groups]
    assert [packet.seq for packet in run.sink.packets] == [6, 8, 9]


def test_a_network_without_a_memory_sees_what_is_wanted_only(make_run: Callable[..., Run]) -> None:
    run = make_run(Parts(), RESUMED)
    run.finish(10)

    assert run.parts.named("see") == [(None, (6,)), (None, (8, 9))]


def with_background(*times: tuple[int, int]) -> Open:
    """OPEN with a background in hundredths of a second whose pictures have these pts and durations."""
    packets = [Packet(seq, pts, pts, duration, True, b"x") for seq, (pts, duration) in enumerate(times)]
    background = Background(VideoFormat("h264", 64, 48, Fraction(1, 100)), PacketBlock.pack(packets))
    return Open(video=VIDEO, output=OutputSpec(effect="image"), background=background)


def test_each_frame_of_a_group_has_the_picture_of_its_time_behind_it(make_run: Callable[..., Run]) -> None:
    run = make_run(Parts(group_size=4), with_background((0, 6), (6, 4), (10, 2)))
    run.finish(8)

    assert run.sink.errors == []
    # The frames are at 0, 4, 8 ... 28 hundredths, the loop is twelve long.
    assert run.parts.named("behind") == [(0, 0, 1, 0), (0, 1, 0, 0)]
    assert "compose" not in {stage for stage, totals in run.sink.stages.items() if len(totals) != 2}


def test_bare_masks_have_nothing_behind_them(make_run: Callable[..., Run]) -> None:
    run = make_run(Parts(takes_mask=True), with_background((0, 1)))
    run.finish(4)

    assert run.sink.errors == []
    assert run.parts.named("open_background") == []


def test_a_background_that_does_not_decode_ends_its_session(make_run: Callable[..., Run]) -> None:
    error = SegtritonError(ErrorCode.UNSUPPORTED_FORMAT, "no background")
    run = make_run(Parts(errors={"open_background": error}), with_background((0, 1)))
    run.finish(4)

    assert run.sink.errors == [error]
    assert run.sink.packets == []


def test_each_effect_is_drawn_and_all_come_in_one_packet(make_run: Callable[..., Run]) -> None:
    request = Open(video=VIDEO, output=OutputSpec(effect="blur", more_effects=("mask", "overlay")))
    run = make_run(Parts(group_size=4), request)
    run.finish(6)

    assert run.sink.errors == []
    assert run.parts.named("effect") == ["blur", "mask", "overlay"]
    assert run.parts.named("decode") == run.parts.named("preprocess") == [(0, 1, 2, 3), (4, 5)]
    assert [numbers for numbers, _ in run.parts.named("compose")] == [*[(0, 1, 2, 3)] * 3, *[(4, 5)] * 3]
    assert [packet.seq for packet in run.sink.packets] == list(range(6))
    for packet in run.sink.packets:
        assert split_parts(packet.payload, 3) == [FramePart(b"frame", True)] * 3
    for stage in ("compose", "encode"):
        assert [frames for _, frames in run.sink.stages[stage]] == [4, 2]  # of a frame, whatever its outputs


def test_what_was_opened_is_closed_where_a_further_output_fails(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts()
    open_output = parts.open_output

    def open_one(setup: EncoderSetup, beside: SessionOutput | None = None) -> SessionOutput:
        if beside is not None:
            raise MemoryError
        return open_output(setup)

    monkeypatch.setattr(parts, "open_output", open_one)
    with pytest.raises(MemoryError):
        make_run(parts, Open(video=VIDEO, output=OutputSpec(more_effects=("mask",))))

    assert len(parts.named("close")) == 2  # the decoder and the first encoder


def test_the_count_of_empty_masks_is_told_at_the_end(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Countable(EmptyMasks):
        def add(self, mask: Any) -> None:
            self.count += len(str(mask))

    parts = Parts()
    open_output = parts.open_output
    empty_masks = Countable(is_inverted=False)
    monkeypatch.setattr(parts, "open_output", lambda setup: replace(open_output(setup), empty_masks=empty_masks))
    run = make_run(parts)
    run.finish(10)

    assert run.sink.frames_without_class == 3 * len("masks of 4")  # as the network gave them


def test_without_a_counter_nothing_is_told(make_run: Callable[..., Run]) -> None:
    run = make_run(Parts())
    run.finish(10)

    assert run.sink.frames_without_class is None


class Recall:
    """A matte that remembers; notes what it is given."""

    remembers = True

    def __init__(self) -> None:
        self.refined: list[tuple[int, ...]] = []
        self.num_restarts = 0

    def wants_mask(self, network_input: Any) -> bool:
        return True

    def restart(self) -> None:
        self.num_restarts += 1

    def refine(self, pictures: Any, masks: Any) -> Any:
        self.refined.append(pictures.numbers)
        return masks


@pytest.mark.parametrize("remembers", [True, False])
def test_a_matte_sees_frames_before_the_wanted_ones(
    make_run: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, remembers: bool
) -> None:
    parts, matte = Parts(), Recall()
    matte.remembers = remembers
    open_output = parts.open_output
    monkeypatch.setattr(parts, "open_output", lambda setup: replace(open_output(setup), matte=matte))
    run = make_run(parts, Open(video=VIDEO, output=OutputSpec(), wanted_seq=6))
    run.finish(10)

    wanted = [(6, 7), (8, 9)]
    assert matte.refined == ([(0, 1, 2, 3), (4, 5), *wanted] if remembers else wanted)
    assert matte.num_restarts == (1 if remembers else 0)  # at the first of the keyframes in a row
    assert [pictures for pictures, _ in parts.named("compose")] == wanted
    assert [packet.seq for packet in run.sink.packets] == [6, 7, 8, 9]
