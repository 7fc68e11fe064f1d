"""What an exception inside a worker means: for one session, or for the whole process."""

from __future__ import annotations

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.workers.accelerator import Accelerator
from segtriton_server.workers.results import ResultSink

_RETRY_AFTER_SECONDS = 2.0


def judge_failure(error: Exception, what: str, accelerator: Accelerator, sink: ResultSink) -> SegtritonError:
    """Return what to tell the sessions concerned; gives the process up first if none can go on in it.

    Args:
        error: what was raised.
        what: what failed, to begin a sentence with.
        accelerator: knows what its errors mean.
        sink: told if the process is lost.
    """
    if isinstance(error, SegtritonError):
        return error
    if accelerator.is_fatal(error):
        sink.lost()
    elif accelerator.is_out_of_memory(error):
        return SegtritonError(
            ErrorCode.RESOURCE_EXHAUSTED,
            f"{what} failed, as the memory ran out.",
            retry_after_seconds=_RETRY_AFTER_SECONDS,
        )
    return SegtritonError(ErrorCode.INTERNAL, f"{what} failed with {type(error).__name__}.")
