import importlib
import logging
import sys
import time
from pathlib import Path

import pytest
import torch

from segtriton_server.vision.errors import BackendError
from segtriton_server.vision.gpu.runner import ClassMasks, GraphRunner, Runner
from segtriton_server.vision.networks.fused import fuse
from segtriton_server.vision.networks.torchvision_network import TorchvisionNetwork

# An engine is built, and its kernels are compiled for each batch size.
pytestmark = pytest.mark.timeout(600)

INPUT_HW = 224, 224
MAX_BATCH_SIZE = 32
NAMES = "fcn_resnet101", "deeplabv3_resnet50", "lraspp_mobilenet_v3_large"
# Where TensorRT for RTX loads engines (NVIDIA's support matrix); it builds them anywhere.
CAPABILITIES = (7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1)


def is_supported() -> bool:
    return torch.cuda.get_device_capability() in CAPABILITIES


@pytest.fixture
def supported() -> None:
    """A GPU that engines run on; what happens on others has a test of its own."""
    if not is_supported():
        pytest.skip("TensorRT for RTX loads no engines on this GPU")


def definition(name: str) -> TorchvisionNetwork:
    network: TorchvisionNetwork = importlib.import_module(f"segtriton_server.vision.networks.{name}").NETWORK
    return network


def tensorrt_runner(name: str, max_batch_size: int, cache: Path | None) -> Runner:
    # Imported here: without the package, the tests fail one by one, and say what to install.
    from segtriton_server.vision.gpu.tensorrt_runner import TensorRtRunner

    network = definition(name).load(Path(), "seeded")
    return TensorRtRunner(network, name, INPUT_HW, max_batch_size, torch.cuda.Stream(), cache)


def graph_runner(name: str, max_batch_size: int) -> Runner:
    network = fuse(definition(name).load(Path(), "seeded"))
    return GraphRunner(ClassMasks(network), INPUT_HW, max_batch_size, torch.cuda.Stream())


def run(runner: Runner, inputs: torch.Tensor, class_ids: torch.Tensor) -> torch.Tensor:
    count = len(inputs)
    runner.inputs[:count] = inputs
    runner.weights[:count] = torch.nn.functional.one_hot(class_ids, runner.weights.shape[1])
    torch.cuda.synchronize()
    with stream_of(runner):
        masks = runner.run(count)
    torch.cuda.synchronize()
    return masks.clone()


def stream_of(runner: Runner) -> torch.cuda.StreamContext:
    # Graphs run on torch's current stream; both kinds of runners shall see the same one.
    return torch.cuda.stream(getattr(runner, "_stream", None) or torch.cuda.Stream())


@pytest.mark.usefixtures("supported")
@pytest.mark.parametrize("name", NAMES)
def test_masks_are_those_of_the_float32_network(name: str, tmp_path: Path) -> None:
    runner = tensorrt_runner(name, 8, tmp_path)
    reference = definition(name).load(Path(), "seeded").cuda()
    generator = torch.Generator("cuda").manual_seed(1)
    for count in (1, 3, 8):
        inputs = torch.randn((count, *INPUT_HW, 3), generator=generator, device="cuda").half()
        class_ids = torch.arange(count, device="cuda") * 2
        masks = run(runner, inputs, class_ids)
        with torch.inference_mode():
            logits = reference(inputs.float().permute(0, 3, 1, 2))["out"]
        expected = logits.softmax(dim=1)[torch.arange(count, device="cuda"), class_ids]
        assert masks.shape == (count, *INPUT_HW)
        assert masks.dtype == torch.uint8
        assert (masks.float() / 255 - expected).abs().mean().item() < 0.01


@pytest.mark.usefixtures("supported")
def test_engine_and_kernels_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times = []
    masks = []
    inputs = torch.randn((2, *INPUT_HW, 3), device="cuda").half()
    class_ids = torch.tensor([0, 5], device="cuda")
    for _ in range(2):
        start = time.perf_counter()
        runner = tensorrt_runner("lraspp_mobilenet_v3_large", 2, tmp_path)
        times.append(time.perf_counter() - start)
        masks.append(run(runner, inputs, class_ids))
    print(f"TensorRT ready after {times[0]:.1f} s, from the cache after {times[1]:.1f} s")  # noqa: T201
    assert {path.suffix for path in tmp_path.iterdir()} == {".engine", ".kernels"}
    assert torch.equal(*masks)
    for path in tmp_path.glob("*.engine"):
        path.write_bytes(b"not an engine")
    with caplog.at_level(logging.WARNING):
        again = tensorrt_runner("lraspp_mobilenet_v3_large", 2, tmp_path)
    assert "built again" in caplog.text
    assert (run(again, inputs, class_ids).int() - masks[0].int()).abs().max() <= 1


@pytest.mark.usefixtures("supported")
def test_speed_beside_graphs() -> None:
    tensorrt = tensorrt_runner("fcn_resnet101", MAX_BATCH_SIZE, None)
    graphs = graph_runner("fcn_resnet101", MAX_BATCH_SIZE)
    for count in (1, 8, 32):
        rates = [pictures_per_second(runner, count) for runner in (tensorrt, graphs)]
        print(  # noqa: T201
            f"fcn_resnet101, batches of {count}: TensorRT {rates[0]:.0f} pictures/s, torch {rates[1]:.0f}, "
            f"ratio {rates[0] / rates[1]:.2f}"
        )


def pictures_per_second(runner: Runner, count: int, runs: int = 200) -> float:
    with stream_of(runner):
        for _ in range(20):
            runner.run(count)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(runs):
            runner.run(count)
        torch.cuda.synchronize()
    return runs * count / (time.perf_counter() - start)


def test_gpu_without_support_is_refused_with_advice(tmp_path: Path) -> None:
    if is_supported():
        assert tensorrt_runner("lraspp_mobilenet_v3_large", 2, tmp_path)
        return
    with pytest.raises(BackendError, match=r"does not support this compute capability.*inference_backend pytorch"):
        tensorrt_runner("lraspp_mobilenet_v3_large", 2, tmp_path)
    assert not list(tmp_path.iterdir())


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "segtriton_server.vision.gpu.tensorrt_runner"
    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx_bindings", None)
    with pytest.raises(BackendError, match="pip install tensorrt-rtx-cu13-bindings"):
        importlib.import_module(name)
