import logging
from dataclasses import replace
from pathlib import Path

import pytest

from segtriton_server import memory_plan
from segtriton_server.memory_plan import fit_to_memory, plan_memory, session_bytes
from segtriton_server.settings import InvalidSettingError, Settings

MIB, GIB = 1 << 20, 1 << 30
POD = Settings(workers=2, memory_bytes=2 * GIB)
BOUNDED = replace(POD, handover_bytes=MIB, sample_output_bytes=MIB)
SIZES = {"720p": 1280 * 720, "1080p": 1920 * 1080, "2160p": 3840 * 2160, "8K": 8192 * 4320}
# Pixels, bytes of a pixel, and the MiB (VmData) that a worker was seen to take with one such session, 72 without: the
# largest of H.264, HEVC, VP9 and AV1, coded as H.264 (superfast and medium), MJPEG and masks.
SEEN = [(176 * 144, 1.5, 124), (1280 * 720, 1.5, 181), (1920 * 1080, 1.5, 276), (1920 * 1080, 6, 466),
        (3840 * 2160, 1.5, 561), (8192 * 4320, 1.5, 2110)]  # fmt: skip


@pytest.fixture(autouse=True)
def _shared_memory_of_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_plan, "_shared_memory_bytes", lambda: 512 * MIB)


def test_all_shares_together_are_no_more_than_the_limit() -> None:
    for workers in (1, 2, 3):
        plan = plan_memory(POD, workers)
        assert 512 * MIB + 256 * MIB + workers * plan.worker <= 2 * GIB
        assert plan.sessions < plan.worker


@pytest.mark.parametrize(("pixels", "bytes_per_pixel", "seen"), SEEN)
def test_what_a_session_may_take_is_more_than_was_seen(pixels: int, bytes_per_pixel: float, seen: int) -> None:
    plan = plan_memory(POD, 2)
    assert session_bytes(int(pixels * bytes_per_pixel)) + plan.worker - plan.sessions > seen * MIB


@pytest.mark.parametrize(
    ("pixels", "frame_threads", "seen"), [(1280 * 720, 8, 274), (1920 * 1080, 4, 291), (1920 * 1080, 16, 692)]
)
def test_what_frame_threads_may_take_is_more_than_was_seen(pixels: int, frame_threads: int, seen: int) -> None:
    plan = plan_memory(POD, 2)
    assert session_bytes(pixels * 3 // 2, frame_threads) + plan.worker - plan.sessions > seen * MIB


def test_the_limits_follow_from_the_memory() -> None:
    fitted = fit_to_memory(POD)

    assert fitted.stream_slots == 12
    assert fitted.worker_memory_bytes == 640 * MIB
    assert SIZES["2160p"] < fitted.max_pixels < SIZES["8K"]


def test_with_much_memory_they_are_what_they_always_were() -> None:
    fitted = fit_to_memory(replace(POD, memory_bytes=64 * GIB))

    assert fitted.stream_slots == 16
    assert (fitted.worker_memory_bytes, fitted.max_pixels) == (8 * GIB, SIZES["8K"])


def test_what_was_set_is_kept_and_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    asked = replace(BOUNDED, max_pixels=SIZES["8K"] - 1, worker_memory_bytes=0, stream_slots=99)
    with caplog.at_level(logging.WARNING):
        assert fit_to_memory(asked) == asked
    assert [record.args[0] for record in caplog.records if record.args] == ["worker_memory_bytes", "max_pixels"]


def test_what_was_set_and_fits_is_no_matter(caplog: pytest.LogCaptureFixture) -> None:
    asked = replace(BOUNDED, max_pixels=SIZES["1080p"], worker_memory_bytes=500 * MIB, stream_slots=2)
    with caplog.at_level(logging.WARNING):
        assert fit_to_memory(asked) == asked
    assert not caplog.records


def test_sessions_have_no_more_than_the_bound_of_their_worker() -> None:
    assert plan_memory(replace(POD, worker_memory_bytes=500 * MIB), 2).worker == 500 * MIB
    assert plan_memory(replace(POD, worker_memory_bytes=0), 2).worker == 640 * MIB


@pytest.mark.parametrize("change", [{"memory_bytes": 700 * MIB}, {"workers": 40}, {"worker_memory_bytes": 150 * MIB}])
def test_workers_that_hold_nothing_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(InvalidSettingError, match="MiB of memory do not hold"):
        fit_to_memory(replace(POD, **change))  # type: ignore[arg-type]


def test_gpus_bound_their_workers_themselves() -> None:
    settings = Settings(accelerator="gpu", memory_bytes=GIB)
    fitted = fit_to_memory(settings)
    assert (fitted.worker_memory_bytes, fitted.max_pixels) == (settings.worker_memory_bytes, settings.max_pixels)
    assert fitted.stream_slots == 16
    # Each worker and each of three processes for raw frames has a context of CUDA's in the host's memory.
    plan = plan_memory(replace(settings, memory_bytes=18 * GIB), 4)
    assert 4 * plan.worker <= (18 - 3) * GIB
    assert plan.sessions > 12 * session_bytes(SIZES["1080p"] * 3 // 2)


def test_without_an_override_the_containers_limit_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_plan, "memory_limit", lambda: 3 * GIB)
    assert plan_memory(Settings(), 2).limit == 3 * GIB


def test_shared_memory_that_nobody_has_sized_counts_for_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_plan, "_shared_memory_bytes", lambda: GIB)
    assert plan_memory(POD, 2).worker == 640 * MIB


def test_there_may_be_no_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert memory_plan._shared_memory_bytes(tmp_path / "none") == 0
    assert memory_plan._shared_memory_bytes(tmp_path) > 0


@pytest.mark.parametrize("accelerator", ["cpu", "gpu"])
def test_what_one_session_may_leave_with_triton_is_a_part_of_the_memory(accelerator: str) -> None:
    fitted = fit_to_memory(Settings(accelerator=accelerator, workers=1, memory_bytes=1 << 30))
    assert (fitted.handover_bytes, fitted.sample_output_bytes) == (128 << 20, 256 << 20)
    ample = fit_to_memory(Settings(accelerator=accelerator, workers=1, memory_bytes=64 << 30))
    assert (ample.handover_bytes, ample.sample_output_bytes) == (256 << 20, 1 << 30)


def test_a_network_that_takes_more_leaves_less_and_is_counted_once_more_for_raw_frames() -> None:
    plain, large = plan_memory(POD, 2), plan_memory(replace(POD, network_memory_bytes=100 * MIB), 2)

    assert large.worker == plain.worker - (144 + 100) * MIB // 2
    assert large.sessions == large.worker - (144 + 100) * MIB


def test_what_a_network_keeps_for_a_session_is_counted_for_each() -> None:
    plain, recurrent = plan_memory(POD, 2), plan_memory(replace(POD, network_state_bytes=16 * MIB), 2)

    assert recurrent.most_pixels < plain.most_pixels
    assert recurrent.count_sessions(SIZES["720p"]) < plain.count_sessions(SIZES["720p"])
