"""What Triton itself tells over gRPC and does not put on its metrics page: readiness and statistics of each model."""

from __future__ import annotations

from typing import Any

from tritonclient.grpc import service_pb2

from segtriton_client import ClientError, GrpcTransport
from segtriton_ops.exporter.results import ModelState, TritonState
from segtriton_protocol import SegtritonError

# The chart lets statistics be read by those who show this header only.
ADMIN_HEADER = "triton-grpc-protocol-segtriton-admin-key"
_STEPS = ("queue", "compute_input", "compute_infer", "compute_output")
_NANOSECONDS = 1e-9


async def read_state(transport: GrpcTransport, admin_key: str, seconds: float) -> TritonState:
    """Return what the server says of itself; each call gets `seconds`. Raises the client's error if it says nothing."""
    live = (await transport.call("ServerLive", service_pb2.ServerLiveRequest(), seconds)).live
    ready = (await transport.call("ServerReady", service_pb2.ServerReadyRequest(), seconds)).ready
    headers = {ADMIN_HEADER: admin_key} if admin_key else {}
    try:
        request = service_pb2.ModelStatisticsRequest()
        statistics = await transport.call("ModelStatistics", request, seconds, headers)
        models = [await _read_model(transport, model, seconds) for model in statistics.model_stats]
    except (ClientError, SegtritonError) as error:
        return TritonState(live, ready, error=str(error))
    return TritonState(live, ready, tuple(models))


async def _read_model(transport: GrpcTransport, statistics: Any, seconds: float) -> ModelState:
    request = service_pb2.ModelReadyRequest(name=statistics.name, version=statistics.version)
    ready = (await transport.call("ModelReady", request, seconds)).ready
    durations = statistics.inference_stats
    return ModelState(
        name=statistics.name,
        version=statistics.version,
        ready=ready,
        requests={"success": durations.success.count, "fail": durations.fail.count},
        seconds={step: getattr(durations, step).ns * _NANOSECONDS for step in _STEPS},
        inferences=statistics.inference_count,
        executions=statistics.execution_count,
        batches={batch.batch_size: batch.compute_infer.count for batch in statistics.batch_stats},
    )
