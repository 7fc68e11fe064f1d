from __future__ import annotations

from dataclasses import replace

import pytest
from exporter_looks import seen
from prometheus_client import CollectorRegistry

from segtriton_ops.exporter.collector import ObservationCollector, WatchCollector
from segtriton_ops.exporter.results import ModelState, Observation, TritonState
from segtriton_ops.exporter.targets import Target
from segtriton_ops.exporter.totals import Totals
from segtriton_ops.exporter.watch import TargetState

PODS = Target("pods", 1, each_address=True)
PLACE = {"target": "dns:///pods:1", "address": "a:1"}


def registry_of(**observations: Observation) -> CollectorRegistry:
    by_address = {f"{name}:1": observation for name, observation in observations.items()}
    registry = CollectorRegistry()
    registry.register(WatchCollector(lambda: {PODS: TargetState(tuple(by_address), by_address)}))
    return registry


def test_an_observation_has_its_metrics() -> None:
    read = registry_of(a=seen(phases={"open": 0.25}, certificate_expires=99.0)).get_sample_value
    assert read("segtriton_probe_success", PLACE) == 1
    assert read("segtriton_probe_phase_duration_seconds", {**PLACE, "phase": "open"}) == 0.25
    assert read("segtriton_probe_frames", {**PLACE, "outcome": "out"}) == 4
    assert read("segtriton_probe_certificate_expiry_timestamp_seconds", PLACE) == 99
    assert read("segtriton_probe_slots", PLACE) == 4
    assert read("segtriton_probe_latency_seconds", {**PLACE, "quantile": "0.5"}) == pytest.approx(0.025)
    assert read("segtriton_triton_ready", PLACE) == 1


def test_a_failure_names_its_code_and_lacks_what_was_not_reached() -> None:
    registry = registry_of(a=seen("TIMEOUT", info=None, latencies=()))
    assert registry.get_sample_value("segtriton_probe_success", PLACE) == 0
    assert registry.get_sample_value("segtriton_probe_failure", {**PLACE, "code": "TIMEOUT"}) == 1
    names = {sample.name for metric in registry.collect() for sample in metric.samples}
    assert not names & {"segtriton_probe_info", "segtriton_probe_latency_seconds", "segtriton_probe_slots"}


def test_two_versions_side_by_side_are_a_skew() -> None:
    old, new = seen(), seen()
    info = replace(new.probe.info, server="segtriton-server 2")  # type: ignore[type-var]
    new = replace(new, probe=replace(new.probe, info=info))
    read = registry_of(a=old, b=new, c=old).get_sample_value
    assert read("segtriton_probe_server_versions", {"target": "dns:///pods:1"}) == 2
    assert read("segtriton_probe_addresses", {"target": "dns:///pods:1"}) == 3


def test_models_have_their_statistics() -> None:
    model = ModelState("selfie", "1", True, {"success": 3}, {"queue": 0.5}, 12, 4, {3: 4})
    read = registry_of(a=replace(seen(), triton=TritonState(True, True, (model,)))).get_sample_value
    place = {**PLACE, "model": "selfie", "version": "1"}
    assert read("segtriton_triton_model_ready", place) == 1
    assert read("segtriton_triton_model_inferences_total", place) == 12
    assert read("segtriton_triton_model_batches_total", {**place, "size": "3"}) == 4
    assert read("segtriton_triton_model_seconds_total", {**place, "step": "queue"}) == 0.5


def test_one_observation_alone_has_no_labels_of_its_own() -> None:
    registry = CollectorRegistry()
    registry.register(ObservationCollector(seen()))
    assert registry.get_sample_value("segtriton_probe_success") == 1


def test_totals_begin_with_zero_and_tell_refusals_from_failures() -> None:
    registry = CollectorRegistry()
    totals = Totals(registry)
    totals.watch(PODS)
    name = "segtriton_probe_sessions_total"
    target = {"target": "dns:///pods:1"}
    assert registry.get_sample_value(name, {**target, "outcome": "failed"}) == 0
    for code in ("", "", "DRAINING", "TIMEOUT"):
        totals.add(PODS, seen(code, frames_sent=5))
    assert registry.get_sample_value(name, {**target, "outcome": "ok"}) == 2
    assert registry.get_sample_value(name, {**target, "outcome": "refused"}) == 1
    assert registry.get_sample_value(name, {**target, "outcome": "failed"}) == 1
    frames = "segtriton_probe_session_frames_total"
    assert registry.get_sample_value(frames, {**target, "outcome": "lost"}) == 4
    bucket = "segtriton_probe_frame_latency_seconds_bucket"
    assert registry.get_sample_value(bucket, {**target, "le": "0.1"}) == 12
