"""Service: where the time of a frame goes, what becomes of frames, what was chosen, what failed."""

from dashboards.fleet import VARIABLES
from dashboards.grafana import ORANGE, RED, Dashboard, Panel, Query, Row, graph, heatmap, stat
from dashboards.queries import NAMESPACE, mean, of, quantile, rate, total

_LATENCY = "segtriton_frame_latency_seconds"
_STAGE = "segtriton_stage_duration_seconds"
_BATCH = "segtriton_batch_frames"
_FRAMES = "segtriton_frames_total"
_LOST = 'outcome=~"damaged|no_frame|abandoned"'
_SERVER = 'container="triton"'
_LIMITS = [(RED, "latency")]
STAGES = {
    "decode": "Packets to pictures. High: it wants cores, or NVDEC is full.",
    "preprocess": "Pictures to the network's small input.",
    "network": "The network's run, shared by the frames of a batch. High: the GPU is full.",
    "compose": "Masks and pictures to what is shown.",
    "encode": "Pictures to packets. High: it wants cores, or a quicker preset.",
}

_GLANCE = Row(
    "At a glance",
    [
        stat("Frames a second", "Frames that went out.", "short", total(rate(_FRAMES, 'outcome="out"'))),
        stat(
            "Latency, p95",
            "From a packet's arrival to the sending of its frame; red where the alert begins.",
            "s",
            quantile(0.95, _LATENCY),
            thresholds=_LIMITS,
        ),
        stat(
            "Frames without a picture",
            "Share of the frames that were damaged, gave no picture or were abandoned.",
            "percentunit",
            f"({total(rate(_FRAMES, _LOST))} or vector(0)) / {total(rate(_FRAMES))}",
            thresholds=[(ORANGE, 0.001), (RED, 0.01)],
        ),
        stat("Frames of a network call", "The mean fill of a batch.", "short", mean(_BATCH)),
        stat(
            "Failed in an hour",
            "Open sessions that ended with an error.",
            "short",
            f"sum(increase({of('segtriton_sessions_failed_total')}[1h])) or vector(0)",
            thresholds=[(RED, 1)],
        ),
        stat("Sessions", "Open sessions on all pods.", "short", total(of("segtriton_active_streams"))),
    ],
)

_LATENCIES = Row(
    "Latency",
    [
        heatmap(
            "Latency",
            "From a packet's arrival to the sending of its frame. Files wait in their own queue, live sessions do not.",
            "s",
            total(rate(f"{_LATENCY}_bucket"), "le"),
        ),
        graph(
            "Latency, quantiles",
            "The dashed line is where the alert begins.",
            "s",
            *(Query(quantile(share, _LATENCY), f"p{100 * share:g}") for share in (0.5, 0.95, 0.99)),
            thresholds=_LIMITS,
        ),
        graph(
            "Latency of each pod, p95",
            "One pod above the others: look at its node.",
            "s",
            Query(quantile(0.95, _LATENCY, "pod"), "{{pod}}"),
            thresholds=_LIMITS,
        ),
    ],
)


def _stage(name: str, description: str) -> Panel:
    return heatmap(
        f"Stage: {name}", description, "s", total(rate(f"{_STAGE}_bucket", f'stage="{name}"'), "le"), height=7
    )


_STAGES = Row(
    "Stages: where the time of a frame goes",
    [
        *(_stage(name, description) for name, description in STAGES.items()),
        graph(
            "Stages, mean",
            "Time of one frame in each stage, stacked: all that a frame costs.",
            "s",
            Query(mean(_STAGE, "stage"), "{{stage}}"),
            stacked=True,
            height=7,
        ),
        graph(
            "Stages, p95",
            "The slowest frames of each stage.",
            "s",
            Query(quantile(0.95, _STAGE, "stage"), "{{stage}}"),
            width=12,
        ),
        graph(
            "Triton's own steps",
            "Seconds of requests a second, by model and step, from the exporter. Queue grows: the router is full.",
            "s",
            Query(
                total(rate("segtriton_triton_model_seconds_total", labels=NAMESPACE), "model", "step"),
                "{{model}} {{step}}",
            ),
            width=12,
        ),
    ],
)

_FRAMES_ROW = Row(
    "Frames",
    [
        graph(
            "Frames a second, by outcome",
            "out, or why a frame was dropped.",
            "short",
            Query(total(rate(_FRAMES), "outcome"), "{{outcome}}"),
            stacked=True,
        ),
        heatmap(
            "Frames of a network call",
            "How full batches are: fuller when more sessions run.",
            "short",
            total(rate(f"{_BATCH}_bucket"), "le"),
        ),
        graph(
            "Batch fill",
            "Mean and p95 of the frames of a call.",
            "short",
            Query(mean(_BATCH), "mean"),
            Query(quantile(0.95, _BATCH), "p95"),
        ),
    ],
)

_CHOICES = Row(
    "What was chosen, what failed",
    [
        graph(
            "Encoders",
            "Pods by the encoder that they chose for the exporter's session; a GPU that falls back to x264 shows here.",
            "short",
            Query(f"count by (encoder) ({of('segtriton_probe_info', labels=NAMESPACE)})", "{{encoder}}"),
        ),
        graph(
            "Decoders",
            "Pods by the decoder that they chose for the exporter's session.",
            "short",
            Query(f"count by (decoder) ({of('segtriton_probe_info', labels=NAMESPACE)})", "{{decoder}}"),
        ),
        graph(
            "Failed sessions, by code",
            "Open sessions that ended with an error, in five minutes.",
            "short",
            Query(total(f"increase({of('segtriton_sessions_failed_total')}[5m])", "code"), "{{code}}"),
        ),
        graph(
            "Refused sessions, by reason",
            "Sessions that were refused at OPEN, in five minutes.",
            "short",
            Query(total(f"increase({of('segtriton_streams_rejected_total')}[5m])", "reason"), "{{reason}}"),
        ),
        graph(
            "Requests that Triton calls failed",
            "A second, by reason; the models answer errors in words, so these are Triton's own.",
            "ops",
            Query(total(rate("nv_inference_request_failure"), "reason"), "{{reason}}"),
        ),
        graph(
            "Raw frames, by batch",
            "Runs a second of the model for raw frames by the size of their batch, from the exporter.",
            "ops",
            Query(total(rate("segtriton_triton_model_batches_total", labels=NAMESPACE), "model", "size"), "{{size}}"),
        ),
    ],
)

_PODS = Row(
    "Pods",
    [
        graph(
            "Memory",
            "Shared memory counts. From the kubelet.",
            "bytes",
            Query(
                f"max by (pod) ({of('container_memory_working_set_bytes', _SERVER)})",
                "{{pod}}",
            ),
            width=12,
        ),
        graph(
            "Cores",
            "Used by each pod. From the kubelet.",
            "short",
            Query(total(rate("container_cpu_usage_seconds_total", _SERVER), "pod"), "{{pod}}"),
            width=12,
        ),
    ],
)

DASHBOARD = Dashboard(
    "service",
    "service",
    "Where the time of a frame goes, what becomes of frames, what was chosen and what failed.",
    [_GLANCE, _LATENCIES, _STAGES, _FRAMES_ROW, _CHOICES, _PODS],
    VARIABLES,
)
