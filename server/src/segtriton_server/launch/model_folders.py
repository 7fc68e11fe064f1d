"""Writes the two model folders of a network: Triton's `config.pbtxt`, from the protocol's tensors, and `model.py`."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from segtriton_protocol.tensors import FRAMES, STREAMING, ModelSpec, TensorSpec

_FRAMES_MODEL = '''"""Frames in, composites out; what is particular to this model stands in config.pbtxt."""

from segtriton_server.adapters.frames_model import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''
_STREAMING_MODEL = '''"""Packets in, packets out; what is particular to this model stands in config.pbtxt."""

from segtriton_server.adapters.streaming_model import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''


def model_names(network: str) -> tuple[str, str]:
    """Return the names of a network's two models: for raw frames, and for packets."""
    return network, f"{network}_streaming"


def write_model_folders(repository: Path, network: str, settings: Mapping[str, object]) -> list[Path]:
    """Write both folders, in place of those that are there; return them.

    Args:
        repository: Triton's model repository; made if it is not there.
        network: the network's name.
        settings: what `config.pbtxt` says beside the network.
    """
    frames, streaming = model_names(network)
    models = ((frames, FRAMES, _FRAMES_MODEL), (streaming, STREAMING, _STREAMING_MODEL))
    written = []
    for name, spec, program in models:
        folder = repository / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "1").mkdir(parents=True)
        (folder / "config.pbtxt").write_text(render_config(name, spec, {"network": network, **settings}), "utf-8")
        (folder / "1" / "model.py").write_text(program, "utf-8")
        written.append(folder)
    return written


def render_config(name: str, spec: ModelSpec, settings: Mapping[str, object]) -> str:
    """Return a model's `config.pbtxt`."""
    lines = [f'name: "{name}"', 'backend: "python"', f"max_batch_size: {spec.max_batch_size}"]
    if spec.decoupled:
        lines.append("model_transaction_policy { decoupled: true }")
    lines += ["", *_tensors("input", spec.inputs), *_tensors("output", spec.outputs)]
    lines += ["", "instance_group [ { kind: KIND_CPU count: 1 } ]", ""]
    lines += [f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}' for key, value in settings.items()]
    return "\n".join(lines) + "\n"


def _tensors(kind: str, specs: tuple[TensorSpec, ...]) -> list[str]:
    tensors = [
        f'  {{ name: "{spec.name}" data_type: TYPE_{spec.data_type} dims: [ {", ".join(map(str, spec.dims))} ]'
        f"{' optional: true' if spec.optional else ''} }}"
        for spec in specs
    ]
    return [f"{kind} [", ",\n".join(tensors), "]"]
