import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from segtriton_ops.segops.kubernetes_api import Cluster, ClusterError


class Here(Cluster):
    """Runs a container's commands on this machine."""

    def __init__(self) -> None:
        """Know no cluster."""

    def execute(self, pod: str, container: str, command: Sequence[str], given: IO[bytes] | None = None) -> str:
        # As in a pod, nothing tells the command that its input is over.
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
            assert run.stdin is not None
            assert run.stdout is not None
            assert run.stderr is not None
            if given:
                with contextlib.suppress(BrokenPipeError):  # it ended without it
                    run.stdin.write(given.read())
                    run.stdin.flush()
            text, errors = run.stdout.read().decode(), run.stderr.read().decode()
        if run.returncode:
            raise ClusterError(errors.strip())
        return text


@pytest.fixture
def machine() -> Cluster:
    return Here()


@pytest.fixture
def make_model(tmp_path: Path) -> Any:
    """Makes the folder of a model: its versions, each with a file of that content."""

    def make(folder: str, name: str = "selfie", config: str = "name: selfie", **versions: str) -> Path:
        model = tmp_path / folder / name
        model.mkdir(parents=True)
        for version, content in versions.items():
            (model / version.lstrip("v") / "__pycache__").mkdir(parents=True)
            (model / version.lstrip("v") / "model.py").write_text(content)
            (model / version.lstrip("v") / "__pycache__" / "model.pyc").write_text("compiled")
        (model / "config.pbtxt").write_text(config)
        return model

    return make
