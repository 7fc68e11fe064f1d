"""The JSON that `--report` writes: what became of each input, of those that failed, too."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segtriton_client.errors import ClientError, StoppedError
from segtriton_client.runs import Outcome
from segtriton_client.unfinished_file import write_file
from segtriton_protocol import SegtritonError


def write_run_report(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Write an object for one input, a list of them for several; raises OutputError."""
    entries = [_entry(outcome) for outcome in outcomes]
    _write(path, entries[0] if len(entries) == 1 else entries)


def write_refusal(path: Path, error: ClientError) -> None:
    """Write what kept a run from its beginning; raises OutputError."""
    _write(path, {"input": None, "outputs": [], "error": _describe(error)})


def _entry(outcome: Outcome) -> dict[str, Any]:
    done = outcome.report.to_json() if outcome.report is not None else {}
    failure = _describe(outcome.error, outcome.frames_done) if outcome.error is not None else None
    job = outcome.job
    return {**done, "input": str(job.input), "outputs": [str(output) for output in job.outputs], "error": failure}


def _describe(error: ClientError | SegtritonError, frames_done: int = 0) -> dict[str, Any]:
    code, advice = (
        (error.code.name, error.code.advice) if isinstance(error, SegtritonError) else (error.code, error.advice)
    )
    kept = [str(path) for path in error.kept] if isinstance(error, StoppedError) else []
    return {"code": code, "message": error.message, "advice": advice, "frames_done": frames_done, "kept": kept}


def _write(path: Path, content: Any) -> None:
    write_file(path, json.dumps(content, indent=2).encode() + b"\n")
