"""Frames in shared memory that a client on the same machine has registered, which takes the operators' key."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.utils.shared_memory as shm
from servers import ROOT
from test_frames import frames_of, infer
from tritonclient.grpc import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from segtriton_server.launch import TritonProcess
from segtriton_server.launch.cli import parse

HEADER = "triton-grpc-protocol-segtriton-admin-key"
FRAMES = frames_of("carphone_pristine.mp4", 5)


class Region:
    """Shared memory with room for frames and, behind them, their composites."""

    def __init__(self) -> None:
        self.name = f"frames-{secrets.token_hex(8)}"
        self.handle = shm.create_shared_memory_region(self.name, f"/{self.name}", 2 * FRAMES.nbytes)

    def register(self, client: InferenceServerClient, headers: dict[str, str] | None) -> None:
        client.register_system_shared_memory(self.name, f"/{self.name}", 2 * FRAMES.nbytes, headers=headers)


@pytest.fixture
def region() -> Iterator[Region]:
    made = Region()
    yield made
    shm.destroy_shared_memory_region(made.handle)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TritonProcess, dict[str, str]]]:
    """What `segtriton-serve --admin-key-file` starts, and the header with its key."""
    folder = tmp_path_factory.mktemp("served")
    options = [f"--{name}-port=0" for name in ("grpc", "http", "metrics")]
    options += [f"--model-repository={ROOT}/triton_models", f"--networks={ROOT}/.assets/networks", "--model=selfie"]
    key_file: Path = folder / "key"
    settings, _ = parse([*options, f"--log-file={folder}/triton.log", f"--admin-key-file={key_file}"])
    with TritonProcess(settings) as running:
        yield running, {HEADER: key_file.read_text(encoding="utf-8").strip()}


@pytest.fixture
def client(served: tuple[TritonProcess, dict[str, str]]) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(served[0].grpc_address) as connected:
        yield connected


@pytest.fixture
def key(served: tuple[TritonProcess, dict[str, str]]) -> dict[str, str]:
    return served[1]


def infer_in(
    region: Region, client: InferenceServerClient, shape: tuple[int, ...], output_offset: int, **parameters: str
) -> None:
    """Let the model read frames from the region's start, and write composites at the offset."""
    frames, composites = InferInput("inputrgb", list(shape), "UINT8"), InferRequestedOutput("outputrgb")
    num_bytes = int(np.prod(shape))
    frames.set_shared_memory(region.name, num_bytes)
    composites.set_shared_memory(region.name, num_bytes, output_offset)
    client.infer("selfie", [frames], outputs=[composites], parameters=parameters)


@pytest.mark.parametrize("effect", ["blur", "mask", "overlay", "color"])
def test_composites_are_those_of_the_ordinary_way(
    client: InferenceServerClient, key: dict[str, str], region: Region, effect: str
) -> None:
    region.register(client, key)
    shm.set_shared_memory_region(region.handle, [FRAMES])
    infer_in(region, client, FRAMES.shape, FRAMES.nbytes, effect=effect)

    composites = shm.get_contents_as_numpy(region.handle, np.uint8, list(FRAMES.shape), FRAMES.nbytes)
    assert np.array_equal(composites, infer(client, FRAMES, effect=effect))
    assert np.array_equal(shm.get_contents_as_numpy(region.handle, np.uint8, list(FRAMES.shape)), FRAMES)


@pytest.mark.parametrize("headers", [None, {HEADER: "guessed"}], ids=["without the key", "with another key"])
def test_regions_are_registered_with_the_key_only(
    client: InferenceServerClient, region: Region, headers: dict[str, str] | None
) -> None:
    with pytest.raises(InferenceServerException, match="restricted"):
        region.register(client, headers)
    with pytest.raises(InferenceServerException, match="Unable to find"):
        infer_in(region, client, FRAMES.shape, FRAMES.nbytes)


@pytest.mark.parametrize(
    ("count", "output_offset"),
    [(11, 0), (5, FRAMES.nbytes + 1), (5, 2**63 - 1), (5, -8)],
    ids=[
        "frames beyond the end",
        "composites beyond the end",
        "an offset that overflows",
        "an offset before the start",
    ],
)
def test_what_lies_outside_of_a_region_is_neither_read_nor_written(
    client: InferenceServerClient, key: dict[str, str], region: Region, count: int, output_offset: int
) -> None:
    region.register(client, key)
    shm.set_shared_memory_region(region.handle, [FRAMES])
    with pytest.raises(InferenceServerException):
        infer_in(region, client, (count, *FRAMES.shape[1:]), output_offset)

    assert np.array_equal(infer(client, FRAMES[:1]), infer(client, FRAMES[:1]))
