"""What the exporter saw, made up."""

from segtriton_client.probe_result import ProbeResult, ServerInfo
from segtriton_ops.exporter.results import Observation, TritonState


def seen(code: str = "", **fields: object) -> Observation:
    info = ServerInfo("segtriton-server 1", "pod-a", "selfie", "libavcodec h264", "libx264", slots=4)
    known = {"info": info, "frames_sent": 4, "frames_out": 4, "latencies": (0.01, 0.02, 0.03, 0.3), **fields}
    return Observation(ProbeResult(code, **known), TritonState(live=True, ready=True))
