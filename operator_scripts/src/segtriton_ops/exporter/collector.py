"""Observations as Prometheus' metrics. Collecting only reads what is there: no scrape ever waits for a server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from statistics import quantiles

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from segtriton_client.probe_result import ProbeResult
from segtriton_ops.exporter.results import ModelState, Observation, TritonState
from segtriton_ops.exporter.targets import Target
from segtriton_ops.exporter.watch import TargetState

Place = tuple[str, ...]
_QUANTILES = {"0.5": 49, "0.95": 94, "0.99": 98}


class WatchCollector(Collector):
    """All targets that are watched, with the labels `target` and `address`."""

    def __init__(self, states: Callable[[], Mapping[Target, TargetState]]) -> None:
        self._states = states

    def collect(self) -> Iterator[Metric]:
        """Give the metrics of what was seen last."""
        states = self._states()
        yield from target_metrics(states)
        seen = [
            ((str(target), address), observation)
            for target, state in states.items()
            for address, observation in state.observations.items()
        ]
        yield from observation_metrics(("target", "address"), seen)


class ObservationCollector(Collector):
    """One observation without labels of its own: who asks for it names the target."""

    def __init__(self, observation: Observation) -> None:
        self._observation = observation

    def collect(self) -> Iterator[Metric]:
        """Give the observation's metrics."""
        yield from observation_metrics((), [((), self._observation)])


def target_metrics(states: Mapping[Target, TargetState]) -> Iterator[Metric]:
    """Give what is known of targets as wholes: how many addresses they have, and whether all run one version."""
    addresses = GaugeMetricFamily("segtriton_probe_addresses", "Addresses that a target has.", labels=["target"])
    versions = GaugeMetricFamily(
        "segtriton_probe_server_versions",
        "Different server versions among a target's addresses; more than 1 outside of a roll-out is a skew.",
        labels=["target"],
    )
    for target, state in states.items():
        infos = [observation.probe.info for observation in state.observations.values()]
        addresses.add_metric([str(target)], len(state.addresses))
        versions.add_metric([str(target)], len({info.server for info in infos if info}))
    yield from (addresses, versions)


def observation_metrics(labels: Sequence[str], seen: Sequence[tuple[Place, Observation]]) -> Iterator[Metric]:
    """Give the metrics of observations, each with the values of `labels`."""
    yield from probe_metrics(labels, [(place, observation.probe) for place, observation in seen])
    yield from triton_metrics(labels, [(place, observation.triton) for place, observation in seen])


def probe_metrics(labels: Sequence[str], probes: Sequence[tuple[Place, ProbeResult]]) -> Iterator[Metric]:
    """Give the metrics of synthetic sessions."""
    own = list(labels)

    def gauge(name: str, text: str, values: Callable[[ProbeResult], Mapping[Place, float]], *more: str) -> Metric:
        family = GaugeMetricFamily(f"segtriton_probe_{name}", text, labels=[*own, *more])
        for place, probe in probes:
            for further, value in values(probe).items():
                family.add_metric([*place, *further], value)
        return family

    yield gauge("success", "1 if every frame came back as it should.", lambda probe: {(): probe.success})
    yield gauge("failure", "1, with the code of what was wrong.", _failure, "code")
    yield gauge("duration_seconds", "The whole session.", lambda probe: {(): probe.seconds})
    yield gauge("phase_duration_seconds", "Each phase that was begun, also one that failed.", _phases, "phase")
    yield gauge("frames", "Frames by outcome: sent, out, or why one was dropped.", _frames, "outcome")
    yield gauge("latency_seconds", "From a packet's sending to its frame's arrival.", _latencies, "quantile")
    yield gauge("slots", "Sessions that the server takes at once.", _slots)
    yield gauge("last_timestamp_seconds", "When the session was over.", lambda probe: {(): probe.finished_at})
    yield gauge("certificate_expiry_timestamp_seconds", "When the server's certificate ends.", _expiry)
    yield gauge(
        "info",
        "What the server is and what it chose for the session.",
        lambda probe: {} if probe.info is None else {_info(probe): 1},
        *("server_pod", "server", "network", "decoder", "encoder"),
    )


def triton_metrics(labels: Sequence[str], states: Sequence[tuple[Place, TritonState]]) -> Iterator[Metric]:
    """Give what Triton says of itself and of its models."""
    own = list(labels)
    live = GaugeMetricFamily("segtriton_triton_live", "1 if Triton answers.", labels=own)
    ready = GaugeMetricFamily("segtriton_triton_ready", "1 if Triton and all its models are ready.", labels=own)
    told = GaugeMetricFamily("segtriton_triton_statistics", "1 if Triton tells its models' statistics.", labels=own)
    for place, state in states:
        live.add_metric(place, state.live)
        ready.add_metric(place, state.ready)
        told.add_metric(place, not state.error)
    yield from (live, ready, told)
    models = [((*place, model.name, model.version), model) for place, state in states for model in state.models]
    yield from model_metrics([*own, "model", "version"], models)


def model_metrics(own: Sequence[str], models: Iterable[tuple[Place, ModelState]]) -> Iterator[Metric]:
    """Give the statistics of models."""
    prefix = "segtriton_triton_model"
    ready = GaugeMetricFamily(f"{prefix}_ready", "1 if the model is ready.", labels=own)
    requests = CounterMetricFamily(f"{prefix}_requests", "Requests by outcome.", labels=[*own, "outcome"])
    seconds = CounterMetricFamily(f"{prefix}_seconds", "Time of requests in each step.", labels=[*own, "step"])
    inferences = CounterMetricFamily(f"{prefix}_inferences", "Inferences; each of a batch counts.", labels=own)
    executions = CounterMetricFamily(f"{prefix}_executions", "Runs of the model, each with one batch.", labels=own)
    batches = CounterMetricFamily(f"{prefix}_batches", "Runs by the size of their batch.", labels=[*own, "size"])
    for place, model in models:
        ready.add_metric(place, model.ready)
        inferences.add_metric(place, model.inferences)
        executions.add_metric(place, model.executions)
        for outcome, count in model.requests.items():
            requests.add_metric([*place, outcome], count)
        for step, spent in model.seconds.items():
            seconds.add_metric([*place, step], spent)
        for size, count in model.batches.items():
            batches.add_metric([*place, str(size)], count)
    yield from (ready, requests, seconds, inferences, executions, batches)


def _failure(probe: ProbeResult) -> Mapping[Place, float]:
    return {(probe.code,): 1} if probe.code else {}


def _phases(probe: ProbeResult) -> Mapping[Place, float]:
    return {(phase,): seconds for phase, seconds in probe.phases.items()}


def _frames(probe: ProbeResult) -> Mapping[Place, float]:
    counts = {"sent": probe.frames_sent, "out": probe.frames_out, **probe.frames_dropped}
    return {(outcome,): count for outcome, count in counts.items()}


def _latencies(probe: ProbeResult) -> Mapping[Place, float]:
    if len(probe.latencies) < 2:
        return {}
    cuts = quantiles(probe.latencies, n=100, method="inclusive")
    return {(name,): cuts[index] for name, index in _QUANTILES.items()}


def _slots(probe: ProbeResult) -> Mapping[Place, float]:
    return {(): probe.info.slots} if probe.info and probe.info.slots else {}


def _expiry(probe: ProbeResult) -> Mapping[Place, float]:
    return {} if probe.certificate_expires is None else {(): probe.certificate_expires}


def _info(probe: ProbeResult) -> Place:
    info = probe.info
    assert info is not None
    return info.pod, info.server, info.network, info.decoder, info.encoder
