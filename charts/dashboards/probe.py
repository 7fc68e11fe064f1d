"""Probe: what users would see, from the exporter's synthetic sessions."""

from dashboards.grafana import ORANGE, RED, Dashboard, Query, Row, graph, heatmap, label_values, stat
from dashboards.queries import TARGET, of, quantile, rate, total

_SESSIONS = "segtriton_probe_sessions_total"
_LATENCY = "segtriton_probe_frame_latency_seconds"
_ENDED = 'outcome=~"ok|failed"'
_LOST = 'outcome="lost"'
_IN_TIME = 'le="0.5"'
_WHERE = "{{target}} {{address}}"


def probe(metric: str, more: str = "") -> str:
    """A metric of the chosen targets."""
    return of(metric, more, labels=TARGET)


def availability(window: str) -> str:
    """Share of the sessions that were whole; what a pod refuses in order a client takes elsewhere."""
    good = total(rate(_SESSIONS, 'outcome="ok"', labels=TARGET, window=window))
    return f"{good} / {total(rate(_SESSIONS, _ENDED, labels=TARGET, window=window))}"


_GLANCE = Row(
    "At a glance",
    [
        stat(
            "Pods that work",
            "Addresses whose last session was whole, of all.",
            "percentunit",
            f"avg({probe('segtriton_probe_success')})",
            thresholds=[(RED, 0), ("green", 1)],
        ),
        stat(
            "Availability, 30 days",
            "Share of the synthetic sessions that were whole.",
            "percentunit",
            availability("30d"),
            thresholds=[(RED, 0), (ORANGE, 0.99), ("green", 0.999)],
        ),
        stat(
            "Latency, p95",
            "From a packet's sending to its frame's arrival; red where the alert begins.",
            "s",
            quantile(0.95, _LATENCY, labels=TARGET),
            thresholds=[(RED, "latency")],
        ),
        stat(
            "Lost frames in an hour",
            "Frames of synthetic sessions that did not come back.",
            "short",
            f"sum(increase({probe('segtriton_probe_session_frames_total', _LOST)}[1h]))",
            thresholds=[(RED, 1)],
        ),
        stat(
            "Versions",
            "Most versions side by side of any target; 2 outside of a roll-out are a skew.",
            "short",
            f"max({probe('segtriton_probe_server_versions')})",
            thresholds=[(ORANGE, 2)],
        ),
        stat(
            "Certificate ends in",
            "The first of all certificates that ends; nothing without TLS.",
            "s",
            f"min({probe('segtriton_probe_certificate_expiry_timestamp_seconds')}) - time()",
            thresholds=[(RED, 0), (ORANGE, 7 * 86400), ("green", 21 * 86400)],
        ),
    ],
)

_SESSIONS_ROW = Row(
    "Sessions",
    [
        graph(
            "Success",
            "1: the last session was whole.",
            "short",
            Query(probe("segtriton_probe_success"), _WHERE),
            width=6,
        ),
        graph(
            "Sessions, by outcome",
            "A minute. Refused: the pod drains or is full; a client goes on elsewhere.",
            "short",
            Query(f"60 * {total(rate(_SESSIONS, labels=TARGET), 'outcome')}", "{{outcome}}"),
            stacked=True,
            width=6,
        ),
        graph(
            "Failures, by code",
            "Addresses whose last session was not whole. What the codes mean stands in docs/operations.md.",
            "short",
            Query(total(probe("segtriton_probe_failure"), "code"), "{{code}}"),
            stacked=True,
            width=6,
        ),
        graph(
            "Addresses",
            "Pods that the target's name leads to; 0 means that nobody finds the service.",
            "short",
            Query(probe("segtriton_probe_addresses"), "{{target}}"),
            width=6,
        ),
    ],
)

_TIMES = Row(
    "Times",
    [
        graph(
            "Phases",
            "Of the last sessions, the mean of all addresses. resolve: DNS; connect: network and TLS; open: a slot, "
            "decoder and encoder; first_frame and end: the pipeline.",
            "s",
            Query(f"avg by (phase) ({probe('segtriton_probe_phase_duration_seconds')})", "{{phase}}"),
            stacked=True,
        ),
        heatmap(
            "Latency",
            "From a packet's sending to its frame's arrival, the network between included.",
            "s",
            total(rate(f"{_LATENCY}_bucket", labels=TARGET), "le"),
        ),
        graph(
            "Latency of each address, p95",
            "Of the last session. One above the others: look at its pod and node.",
            "s",
            Query(probe("segtriton_probe_latency_seconds", 'quantile="0.95"'), _WHERE),
            thresholds=[(RED, "latency")],
        ),
        graph(
            "Opening a session",
            "Of each address. It grows first when a pod gets full.",
            "s",
            Query(probe("segtriton_probe_phase_duration_seconds", 'phase="open"'), _WHERE),
        ),
        graph("Whole sessions", "How long each took.", "s", Query(probe("segtriton_probe_duration_seconds"), _WHERE)),
        graph(
            "Seconds since the last look",
            "More than some intervals: the exporter hangs or has too many addresses.",
            "s",
            Query(f"time() - {probe('segtriton_probe_last_timestamp_seconds')}", _WHERE),
        ),
    ],
)

_WORDS = Row(
    "What Triton says of itself",
    [
        graph("Ready", "1: Triton and all its models are.", "short", Query(probe("segtriton_triton_ready"), _WHERE)),
        graph(
            "Models ready",
            "Ready models of each address.",
            "short",
            Query(total(probe("segtriton_triton_model_ready"), "target", "address"), _WHERE),
        ),
        graph(
            "Slots and statistics",
            "Sessions that an address takes; statistics is 0 where Triton asks for a key that the exporter lacks.",
            "short",
            Query(probe("segtriton_probe_slots"), f"{_WHERE} slots"),
            Query(probe("segtriton_triton_statistics"), f"{_WHERE} statistics"),
        ),
    ],
)

_LEVELS = Row(
    "Service levels",
    [
        graph(
            "Availability",
            "Share of whole sessions, over an hour and over a day.",
            "percentunit",
            Query(availability("1h"), "1 hour"),
            Query(availability("1d"), "1 day"),
            width=12,
        ),
        graph(
            "Frames in time",
            "Share of the frames that came back within half a second, over an hour and over a day.",
            "percentunit",
            *(
                Query(
                    f"{total(rate(_LATENCY + '_bucket', _IN_TIME, labels=TARGET, window=window))} / "
                    f"{total(rate(_LATENCY + '_count', labels=TARGET, window=window))}",
                    name,
                )
                for window, name in (("1h", "1 hour"), ("1d", "1 day"))
            ),
            width=12,
        ),
    ],
)

DASHBOARD = Dashboard(
    "probe",
    "probe",
    "What users would see: synthetic sessions to every pod, each frame checked.",
    [_GLANCE, _SESSIONS_ROW, _TIMES, _WORDS, _LEVELS],
    [
        label_values("namespace", "namespace", "segtriton_probe_success"),
        label_values("probed", "target", 'segtriton_probe_success{namespace="$namespace"}', several=True),
    ],
)
