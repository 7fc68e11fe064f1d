"""A network as an engine of TensorRT for RTX, built here and kept between starts.

The package's own errors go to its logger, and its calls then return nothing: hence the checks after each of them.
"""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from segtriton_server.device.compile_cache import write_whole
from segtriton_server.vision.errors import BackendError
from segtriton_server.vision.gpu.runner import batch_sizes, class_masks
from segtriton_server.vision.networks.torchvision_network import VOC_CLASSES

try:
    import tensorrt_rtx_bindings as trt
except ImportError as import_error:
    raise BackendError(
        "inference_backend tensorrt needs packages that cannot be loaded: pip install "
        f"tensorrt-rtx-cu13-bindings tensorrt-rtx-cu13-libs ({import_error})"
    ) from import_error

_LOG = logging.getLogger(__name__)
_INPUTS, _LOGITS = "inputs", "logits"
_OPSET = 17
# Part of the names in the cache: to be raised when engines are built in another way.
_FORMAT = 1


class TensorRtRunner:
    """An engine that takes any batch up to a size, captured in CUDA graphs for a few; see `Runner` for each member."""

    def __init__(
        self,
        network: nn.Module,
        name: str,
        input_hw: tuple[int, int],
        max_batch_size: int,
        stream: torch.cuda.Stream,
        cache: Path | None,
    ) -> None:
        """Build the engine or take it from the cache, and run it once for each batch size that it will be run with.

        Args:
            network: as `TorchvisionNetwork.load` returns it; it is changed to half precision and moved to the GPU.
            name: the network's name.
            input_hw: height and width of the network's input in pixels.
            max_batch_size: the most inputs of one run.
            stream: where all runs are queued.
            cache: folder for engines and for the kernels that the driver made of them, or None to keep nothing.

        Raises:
            BackendError: TensorRT does not take the network, or does not run on this GPU.
        """
        self.inputs = torch.zeros((max_batch_size, *input_hw, 3), dtype=torch.half, device="cuda")
        self.weights = torch.zeros((max_batch_size, len(VOC_CLASSES)), dtype=torch.half, device="cuda")
        self._stream = stream
        self._log = _ErrorLog()
        files = _CacheFiles(cache, _cache_key(network, name, self.inputs.shape))
        self._runtime = trt.Runtime(self._log)
        self._engine = self._load_engine(network, files)
        self._context = self._create_context(files)
        self._logits = self._bind()
        self._runs = self._prepare_runs(max_batch_size)
        files.write(".kernels", self._kernels.serialize())

    def run(self, count: int) -> Tensor:
        """See `Runner`."""
        size = next(size for size in sorted(self._runs) if size >= count)
        graph, masks = self._runs[size]
        if graph is None:
            with torch.cuda.stream(self._stream):
                return self._masks(size)[:count]
        graph.replay()
        return masks[:count]

    def _load_engine(self, network: nn.Module, files: _CacheFiles) -> trt.ICudaEngine:
        kept = files.read(".engine")
        if kept is not None:
            engine = self._runtime.deserialize_cuda_engine(kept)
            if engine is not None:
                return engine
            _LOG.warning("An engine in the cache cannot be used and is built again: %s", self._log.last_error)
        plan = _build(network, tuple(self.inputs.shape), self._log)
        engine = self._runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise self._log.as_error("cannot run its engine on this GPU")
        files.write(".engine", plan)
        return engine

    def _create_context(self, files: _CacheFiles) -> trt.IExecutionContext:
        config = self._engine.create_runtime_config()
        self._kernels = config.create_runtime_cache()
        kept = files.read(".kernels")
        if kept is not None:
            self._kernels.deserialize(kept)  # False for kernels of another driver: they are then compiled again
        config.set_runtime_cache(self._kernels)
        # All batch sizes are run once before the first session, which therefore never waits for a compiler.
        config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        context = self._engine.create_execution_context(config)
        if context is None:
            raise self._log.as_error("cannot prepare its engine to run")
        return context

    def _bind(self) -> Tensor:
        """Tell the engine where its input and output lie, and return the output: half [n, classes, h, w]."""
        self._set_batch_size(len(self.inputs))
        shape = tuple(self._context.get_tensor_shape(_LOGITS))
        logits = torch.zeros(shape, dtype=torch.half, device="cuda")
        self._context.set_tensor_address(_INPUTS, self.inputs.data_ptr())
        self._context.set_tensor_address(_LOGITS, logits.data_ptr())
        return logits

    def _prepare_runs(self, max_batch_size: int) -> dict[int, tuple[torch.cuda.CUDAGraph | None, Tensor]]:
        """For each batch size a graph and the masks uint8 [n, h, w] that it writes."""
        pool = torch.cuda.graph_pool_handle()
        # The largest first: the smaller ones then fit into the memory that it has taken.
        with torch.inference_mode():
            return {size: self._prepare_run(size, pool) for size in reversed(batch_sizes(max_batch_size))}

    def _prepare_run(self, size: int, pool: tuple[int, int]) -> tuple[torch.cuda.CUDAGraph | None, Tensor]:
        self._set_batch_size(size)
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            for _ in range(2):  # the engine compiles its kernels for this size, which a capture forbids
                masks = self._enqueue(size)
        self._stream.synchronize()
        if not self._context.is_stream_capturable(self._stream.cuda_stream):
            _LOG.warning("The engine cannot be captured in a CUDA graph; batches of %d run slower", size)
            return None, masks
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, stream=self._stream, capture_error_mode="thread_local"):
            masks = self._enqueue(size)
        return graph, masks

    def _masks(self, size: int) -> Tensor:
        self._set_batch_size(size)
        return self._enqueue(size)

    def _set_batch_size(self, size: int) -> None:
        if not self._context.set_input_shape(_INPUTS, (size, *self.inputs.shape[1:])):
            raise self._log.as_error(f"refuses batches of {size}")

    def _enqueue(self, size: int) -> Tensor:
        """Queue a run on the stream, which must be torch's current one, and return its masks uint8 [n, h, w]."""
        if not self._context.execute_async_v3(self._stream.cuda_stream):
            raise self._log.as_error("cannot run its engine")
        return class_masks(self._logits[:size], self.weights[:size])


class _HwcLogits(nn.Module):
    """A network that takes pictures as they lie in memory, so that the engine does the transposing."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = network

    def forward(self, inputs: Tensor) -> Tensor:
        """Make logits [n, classes, h, w] of inputs [n, h, w, 3]."""
        return self._network(inputs.permute(0, 3, 1, 2))["out"]


class _ErrorLog(trt.ILogger):
    """Keeps the last error that TensorRT has reported."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)  # not by super(), which does not reach the class written in C++
        self.last_error = "no reason given"

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """TensorRT calls this, from any of its threads."""
        if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
            self.last_error = msg
        _LOG.debug("TensorRT: %s", msg)

    def as_error(self, what: str) -> BackendError:
        """Say what TensorRT does not do, and why."""
        return BackendError(
            f"TensorRT {trt.__version__} {what}: {self.last_error}. Choose inference_backend pytorch instead."
        )


class _CacheFiles:
    """The files of one engine; without a folder, nothing is kept."""

    def __init__(self, folder: Path | None, key: str) -> None:
        self._folder = folder
        self._key = key

    def read(self, suffix: str) -> bytes | None:
        """Return a file's content, None if there is none."""
        if self._folder is None:
            return None
        try:
            return self._path(self._folder, suffix).read_bytes()
        except OSError:
            return None

    def write(self, suffix: str, content: trt.IHostMemory | bytes | None) -> None:
        """Keep a file, or warn: the next start then takes longer, and nothing else is lost."""
        if self._folder is None or content is None:
            return
        try:
            write_whole(self._path(self._folder, suffix), content)
        except OSError as error:
            _LOG.warning("Cannot write to the cache of engines: %s", error)

    def _path(self, folder: Path, suffix: str) -> Path:
        return folder / f"tensorrt-{self._key}{suffix}"


def _cache_key(network: nn.Module, name: str, input_shape: tuple[int, ...]) -> str:
    """Hash everything that makes engines differ; 32 hexadecimal digits."""
    capability = torch.cuda.get_device_capability()
    digest = hashlib.sha256(f"{_FORMAT} {trt.__version__} {capability} {name} {tuple(input_shape)}".encode())
    for key, value in network.state_dict().items():
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _build(network: nn.Module, input_shape: tuple[int, ...], log: _ErrorLog) -> trt.IHostMemory:
    """Build an engine for the current GPU and batches of 1 to n.

    Args:
        network: takes [n, 3, h, w]; it is changed to half precision and moved to the GPU.
        input_shape: n, h, w, 3.
        log: where TensorRT reports errors.

    Raises:
        BackendError: TensorRT does not take the network, or does not build for this GPU.
    """
    builder = trt.Builder(log)
    definition = builder.create_network()
    # The parser does not copy the weights: the model must live until the engine is built.
    model = _to_onnx(network.half().to("cuda"), input_shape)
    parser = trt.OnnxParser(definition, log)
    if not parser.parse(model):
        raise log.as_error("does not take the network")
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.CURRENT, 0)
    profile = builder.create_optimization_profile()
    profile.set_shape(_INPUTS, (1, *input_shape[1:]), input_shape, input_shape)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(definition, config)
    if plan is None:
        raise log.as_error("cannot build an engine for this GPU")
    return plan


def _to_onnx(network: nn.Module, input_shape: tuple[int, ...]) -> bytes:
    """Export a network with half inputs [n, h, w, 3] and logits [n, classes, h, w], n being free."""
    device = next(network.parameters()).device
    example = torch.zeros((2, *input_shape[1:]), dtype=torch.half, device=device)
    model = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # Deprecated in favour of one that needs onnxscript as well.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            _HwcLogits(network).eval(),
            (example,),
            model,
            input_names=[_INPUTS],
            output_names=[_LOGITS],
            dynamic_axes={_INPUTS: {0: "n"}, _LOGITS: {0: "n"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    return model.getvalue()
