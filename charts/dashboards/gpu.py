"""GPU: the decoder chips, the multiprocessors and the memory, by Triton's and DCGM's names."""

from dashboards.fleet import VARIABLES
from dashboards.grafana import ORANGE, RED, Dashboard, Query, Row, graph, stat
from dashboards.queries import mean, of, of_gpu, quantile, total

_GPU = "{{pod}}{{exported_pod}} {{gpu}}"
_TRITON = "{{pod}} {{gpu_uuid}}"
_FULL = [(ORANGE, 0.85), (RED, 0.95)]

_GLANCE = Row(
    "At a glance",
    [
        stat(
            "Decoder chips",
            "NVDEC, the busiest GPU. Full: no further session fits, whatever the multiprocessors do.",
            "percentunit",
            f"max({of_gpu('DCGM_FI_DEV_DEC_UTIL')}) / 100",
            thresholds=_FULL,
        ),
        stat(
            "GPU",
            "Share of the time that anything ran on the busiest GPU.",
            "percentunit",
            f"max({of('nv_gpu_utilization')})",
        ),
        stat(
            "Memory",
            "Of the fullest GPU.",
            "percentunit",
            f"max({of('nv_gpu_memory_used_bytes')} / {of('nv_gpu_memory_total_bytes')})",
            thresholds=_FULL,
        ),
        stat("Power", "Of all GPUs together.", "watt", total(of("nv_gpu_power_usage"))),
        stat("Sessions", "Open sessions on all pods.", "short", total(of("segtriton_active_streams"))),
        stat(
            "Xid errors",
            "Code of the last error that the driver told; not 0: look at the node.",
            "none",
            f"max({of_gpu('DCGM_FI_DEV_XID_ERRORS')})",
            thresholds=[(RED, 1)],
        ),
    ],
)

_CHIPS = Row(
    "Chips",
    [
        graph(
            "Decoder chips (NVDEC)",
            "The wall of bare masks: at 100 % the pod carries no more sessions.",
            "percentunit",
            Query(f"{of_gpu('DCGM_FI_DEV_DEC_UTIL')} / 100", _GPU),
            thresholds=_FULL,
        ),
        graph(
            "Encoder chips (NVENC)",
            "0 on A100, H100 and H200, which have none.",
            "percentunit",
            Query(f"{of_gpu('DCGM_FI_DEV_ENC_UTIL')} / 100", _GPU),
        ),
        graph(
            "Multiprocessors",
            "Share of the time that multiprocessors had work, and that their tensor cores had.",
            "percentunit",
            Query(of_gpu("DCGM_FI_PROF_SM_ACTIVE"), f"{_GPU} active"),
            Query(of_gpu("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE"), f"{_GPU} tensor"),
        ),
        graph(
            "GPU, as Triton sees it",
            "Share of the time that anything ran.",
            "percentunit",
            Query(of("nv_gpu_utilization"), _TRITON),
        ),
        graph(
            "Memory bandwidth",
            "Share of the time that the memory was read or written.",
            "percentunit",
            Query(of_gpu("DCGM_FI_PROF_DRAM_ACTIVE"), _GPU),
        ),
        graph(
            "To and from the host",
            "Bytes a second over PCIe.",
            "Bps",
            Query(of_gpu("DCGM_FI_PROF_PCIE_RX_BYTES"), f"{_GPU} to the GPU"),
            Query(of_gpu("DCGM_FI_PROF_PCIE_TX_BYTES"), f"{_GPU} from the GPU"),
        ),
    ],
)

_CARD = Row(
    "Memory and card",
    [
        graph(
            "Memory",
            "Used on each GPU, and what there is.",
            "bytes",
            Query(of("nv_gpu_memory_used_bytes"), f"{_TRITON} used"),
            Query(of("nv_gpu_memory_total_bytes"), f"{_TRITON} in all"),
        ),
        graph(
            "Power",
            "And where the card is slowed down.",
            "watt",
            Query(of("nv_gpu_power_usage"), f"{_TRITON} used"),
            Query(of("nv_gpu_power_limit"), f"{_TRITON} limit"),
        ),
        graph(
            "Temperature",
            "Above 85 degrees most cards slow down.",
            "celsius",
            Query(of_gpu("DCGM_FI_DEV_GPU_TEMP"), _GPU),
            thresholds=[(RED, 85)],
        ),
    ],
)

_WORK = Row(
    "What the GPUs work for",
    [
        graph(
            "Sessions of each pod",
            "Beside the chips above: which one is full first.",
            "short",
            Query(of("segtriton_active_streams"), "{{pod}}"),
            thresholds=[(ORANGE, "target"), (RED, "capacity")],
        ),
        graph(
            "Network, p95",
            "The network's run; it grows when the multiprocessors are full.",
            "s",
            Query(quantile(0.95, "segtriton_stage_duration_seconds", "pod", more='stage="network"'), "{{pod}}"),
        ),
        graph(
            "Batch fill",
            "Mean frames of a network call.",
            "short",
            Query(mean("segtriton_batch_frames", "pod"), "{{pod}}"),
        ),
    ],
)

DASHBOARD = Dashboard(
    "gpu",
    "GPU",
    "Decoder chips, multiprocessors and memory, from Triton and from NVIDIA's DCGM exporter.",
    [_GLANCE, _CHIPS, _CARD, _WORK],
    VARIABLES,
)
