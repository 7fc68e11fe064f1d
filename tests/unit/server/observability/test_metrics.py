import weakref
from collections.abc import Mapping, Sequence

import pytest
from triton_python_backend_utils import Metric, MetricFamily

from segtriton_server.observability.metrics import MOST_OBSERVATIONS, Metrics, thinned

FRAMES, LATENCY = "segtriton_frames_total", "segtriton_frame_latency_seconds"


@pytest.fixture
def families() -> dict[str, MetricFamily]:
    return {}


@pytest.fixture
def metrics(families: dict[str, MetricFamily]) -> Metrics:
    class Recorder:
        COUNTER, GAUGE, HISTOGRAM = MetricFamily.COUNTER, MetricFamily.GAUGE, MetricFamily.HISTOGRAM

        def __call__(self, **options: object) -> MetricFamily:
            family = MetricFamily(**options)  # type: ignore[arg-type]
            families[family.name] = family
            return family

    return Metrics(Recorder())


def test_counters_are_exact_after_a_flush(metrics: Metrics, families: dict[str, MetricFamily]) -> None:
    for _ in range(1000):
        metrics.add(FRAMES, 2, outcome="out")
    metrics.add(FRAMES, outcome="damaged")
    assert not families[FRAMES].metrics

    metrics.flush()
    metrics.flush()
    assert {metric.labels["outcome"]: metric.value() for metric in families[FRAMES].metrics} == {
        "out": 2000,
        "damaged": 1,
    }


def test_a_few_observations_are_all_handed_on(metrics: Metrics, families: dict[str, MetricFamily]) -> None:
    for value in (0.3, 0.1, 0.2):
        metrics.observe(LATENCY, value)
    metrics.flush()

    (metric,) = families[LATENCY].metrics
    assert metric.observations == [0.3, 0.1, 0.2]


def test_what_is_counted_while_it_is_handed_on_is_neither_lost_nor_doubled(
    metrics: Metrics, families: dict[str, MetricFamily], monkeypatch: pytest.MonkeyPatch
) -> None:
    count = metrics.counter(FRAMES, outcome="out")
    increment = Metric.increment

    def increment_while_others_count(metric: Metric, amount: float) -> None:
        count(1)
        increment(metric, amount)

    count(2)
    with monkeypatch.context() as busy:
        busy.setattr(Metric, "increment", increment_while_others_count)
        metrics.flush()
    metrics.flush()

    (metric,) = families[FRAMES].metrics
    assert metric.value() == 3


def test_many_observations_keep_their_distribution_and_their_greatest() -> None:
    values = [float(number) for number in range(1000)]
    kept = thinned(values[::-1], MOST_OBSERVATIONS)

    assert len(kept) == MOST_OBSERVATIONS
    assert (kept[0], kept[-1]) == (0.0, 999.0)
    assert abs(sorted(kept)[len(kept) // 2] - 500) < 50


def test_what_has_gathered_is_handed_on_at_the_end(metrics: Metrics, families: dict[str, MetricFamily]) -> None:
    metrics.add(FRAMES, 3, outcome="out")
    metrics.close()
    (frames,) = families[FRAMES].metrics
    assert frames.value() == 3


def test_no_metric_outlives_the_model_or_its_family() -> None:
    gone: list[str] = []

    class Family(MetricFamily):
        def __init__(self, name: str, description: str, kind: int) -> None:
            super().__init__(name, description, kind)
            weakref.finalize(self, gone.append, "family")

        def Metric(  # noqa: N802 (Triton's name)
            self, labels: Mapping[str, str] | None = None, buckets: Sequence[float] | None = None
        ) -> Metric:
            metric = Metric(labels or {}, buckets or ())
            weakref.finalize(metric, gone.append, "metric")
            return metric

    metrics = Metrics(Family)
    metrics.add(FRAMES, 3, outcome="out")
    metrics.close()
    last_metric, first_family = len(gone) - 1 - gone[::-1].index("metric"), gone.index("family")
    assert last_metric < first_family


def test_what_triton_does_not_take_is_handed_on_later(
    metrics: Metrics, families: dict[str, MetricFamily], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(metric: Metric, amount: float) -> None:
        raise RuntimeError("no room")

    metrics.add(FRAMES, 5, outcome="out")
    metrics.observe(LATENCY, 0.5)
    with monkeypatch.context() as broken:
        broken.setattr(Metric, "increment", fail)
        with pytest.raises(RuntimeError):
            metrics.flush()
    metrics.add(FRAMES, 2, outcome="out")
    metrics.flush()

    assert [metric.value() for metric in families[FRAMES].metrics] == [7]
    assert [metric.observations for metric in families[LATENCY].metrics] == [[0.5]]


def test_what_is_no_number_is_refused_where_it_comes_from(metrics: Metrics) -> None:
    with pytest.raises(ValueError, match="x"):
        metrics.observe(LATENCY, "x")  # type: ignore[arg-type]
    metrics.flush()
