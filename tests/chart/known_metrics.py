"""Every metric that alerts and dashboards may name. What is not ours is written down as its project documents it."""

import re

from exporter_looks import seen
from prometheus_client import CollectorRegistry

from segtriton_ops.exporter.collector import ObservationCollector, target_metrics
from segtriton_ops.exporter.totals import Totals
from segtriton_server.observability.metrics import _FAMILIES

# docs/user_guide/metrics.md of Triton.
TRITON = {
    "nv_inference_request_success",
    "nv_inference_request_failure",
    "nv_inference_pending_request_count",
}
TRITON_GPU = {
    "nv_gpu_utilization",
    "nv_gpu_memory_total_bytes",
    "nv_gpu_memory_used_bytes",
    "nv_gpu_power_usage",
    "nv_gpu_power_limit",
}
# etc/dcp-metrics-included.csv of DCGM's exporter: what it exports unless told otherwise.
DCGM = {
    "DCGM_FI_DEV_DEC_UTIL",
    "DCGM_FI_DEV_ENC_UTIL",
    "DCGM_FI_DEV_GPU_TEMP",
    "DCGM_FI_DEV_XID_ERRORS",
    "DCGM_FI_PROF_DRAM_ACTIVE",
    "DCGM_FI_PROF_PCIE_RX_BYTES",
    "DCGM_FI_PROF_PCIE_TX_BYTES",
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE",
    "DCGM_FI_PROF_SM_ACTIVE",
}
# Of Prometheus itself.
PROMETHEUS = {"up"}
KUBELET = {"container_cpu_usage_seconds_total", "container_memory_working_set_bytes"}
# docs/metrics of kube-state-metrics.
KUBE_STATE = {
    "kube_deployment_spec_replicas",
    "kube_deployment_status_replicas_available",
    "kube_deployment_status_replicas_updated",
    "kube_horizontalpodautoscaler_spec_max_replicas",
    "kube_horizontalpodautoscaler_spec_min_replicas",
    "kube_horizontalpodautoscaler_status_current_replicas",
    "kube_horizontalpodautoscaler_status_desired_replicas",
    "kube_pod_container_status_restarts_total",
}
# Those that need a GPU or a cluster; all others are there wherever the service runs.
ELSEWHERE = TRITON_GPU | DCGM | KUBELET | KUBE_STATE


def exporter_metrics() -> set[str]:
    registry = CollectorRegistry()
    Totals(registry)
    registry.register(ObservationCollector(seen()))
    families = [*registry.collect(), *target_metrics({})]
    return {f"{family.name}_total" if family.type == "counter" else family.name for family in families}


KNOWN = ELSEWHERE | PROMETHEUS | TRITON | set(_FAMILIES) | exporter_metrics()


def names_in(text: str) -> set[str]:
    """The metrics of a query: the names before a brace, those of variables apart."""
    return {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"(?<![$\w])([A-Za-z_]\w*)\{", text)}


def unknown_metrics(text: str) -> set[str]:
    return names_in(text) - KNOWN
