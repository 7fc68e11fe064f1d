"""Streams video through a segtriton server and writes it back segmented.

`segment_file` is the whole client in one call; `segment_video` and `StreamSession` are its parts.
"""

from segtriton_client.errors import (
    ClientError,
    InputError,
    IntegrityError,
    NoProgressError,
    OutputError,
    ServiceLostError,
    ServiceRefusedError,
    ServiceUnavailableError,
    StoppedError,
)
from segtriton_client.frames import segment_frames
from segtriton_client.job import Composed, Job, Progress
from segtriton_client.report import Report
from segtriton_client.segmentation import segment_file, segment_video
from segtriton_client.session import StreamSession
from segtriton_client.transport import Endpoint, GrpcTransport

__version__ = "0.1.0"

__all__ = [
    "ClientError",
    "Composed",
    "Endpoint",
    "GrpcTransport",
    "InputError",
    "IntegrityError",
    "Job",
    "NoProgressError",
    "OutputError",
    "Progress",
    "Report",
    "ServiceLostError",
    "ServiceRefusedError",
    "ServiceUnavailableError",
    "StoppedError",
    "StreamSession",
    "segment_file",
    "segment_frames",
    "segment_video",
]
