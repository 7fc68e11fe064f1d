"""A router in which something fails as long as a file is there.

`make_repository` writes a model repository whose model.py calls `install` before it hands on the real model.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[2]
MODEL = "selfie_streaming"
VICTIMS_WIDTH = 176
_MODEL_PY = """
import sys
from pathlib import Path
sys.path.insert(0, {folder!r})
import router_faults
router_faults.install({fault!r}, Path({trigger!r}))
from segtriton_server.adapters.streaming_model import TritonPythonModel
"""


def make_repository(folder: Path, fault: str, trigger: Path) -> Path:
    """Return a repository with the router alone, which has the fault while `trigger` exists."""
    shutil.copytree(ROOT / "triton_models" / MODEL, folder / MODEL, ignore=shutil.ignore_patterns("__pycache__"))
    text = _MODEL_PY.format(folder=str(Path(__file__).parent), fault=fault, trigger=str(trigger))
    (folder / MODEL / "1" / "model.py").write_text(text)
    return folder


def install(fault: str, trigger: Path) -> None:
    """Break this process."""
    FAULTS[fault](trigger)


def _break(owner: Callable[[], Any], name: str, error: type[BaseException]) -> Callable[[Path], None]:
    def install_into(trigger: Path) -> None:
        owned = owner()
        call = getattr(owned, name)

        def broken(*arguments: Any, **options: Any) -> Any:
            if trigger.exists():
                raise error("Failed to increase the shared memory pool size")
            return call(*arguments, **options)

        setattr(owned, name, broken)

    return install_into


def _break_victims_answers(trigger: Path) -> None:
    from segtriton_server.adapters.streaming_model import RequestResponder

    send = RequestResponder.send

    def broken(self: Any, tensors: Any, *, is_final: bool = False) -> None:
        if getattr(self, "is_victim", False) and trigger.exists():
            raise RuntimeError("Failed to increase the shared memory pool size")
        send(self, tensors, is_final=is_final)
        if json.loads(tensors["MESSAGE"].tobytes()).get("output_width") == VICTIMS_WIDTH:
            self.is_victim = True

    RequestResponder.send = broken  # type: ignore[method-assign]


def _responder() -> type:
    from segtriton_server.adapters.streaming_model import RequestResponder

    return RequestResponder


def _worker_clock() -> Any:
    from segtriton_server.workers import worker_pool

    worker_pool.time = SimpleNamespace(monotonic=time.monotonic)  # type: ignore[assignment]
    return worker_pool.time


def _keep_order() -> type:
    from segtriton_server.services.keep_order import KeepOrder

    return KeepOrder


FAULTS: dict[str, Callable[[Path], None]] = {
    "close-requests": _break(_responder, "close", SystemExit),
    "watch-workers": _break(_worker_clock, "monotonic", RuntimeError),
    "housekeeping": _break(_keep_order, "read", RuntimeError),
    "answers": _break_victims_answers,
}
