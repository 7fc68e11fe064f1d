"""Ways to run an ONNX network with a card on a GPU, each in a process of its own, in turns.

    python tests/bench/gpu/onnx_ways.py selfie [FOLDER...] [--batch N...] [--seconds N] [--rounds N] [--ort FOLDER]

A network is `selfie`, `selfie_square`, or a folder with a card. The ways:

    graphs        what the server does: a torch module in CUDA graphs, in the precision that its masks allow
    graphs32      the same in float32
    eager         the same module without CUDA graphs
    ort           ONNX Runtime's CUDA provider, its input and output bound to torch's tensors
    ort-graph     the same in the provider's own CUDA graph

The last two need onnxruntime-gpu, whose folder `--ort` names where it is installed beside another ONNX Runtime. From a
normalised float32 or half input on the device to masks uint8 there, as the segmenter runs it. Figures are medians of
the rounds; memory is what the process took of the device beside CUDA's context.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[3]
WAYS = ("graphs", "graphs32", "eager", "ort", "ort-graph")
LIMIT_SECONDS = 180.0
MIB = 1 << 20


def find_card(network: str, networks: Path) -> Any:
    """The card of a network's name or folder."""
    from segtriton_server.vision.networks.card_reader import read_card
    from segtriton_server.vision.networks.selfie_card import selfie_card

    return selfie_card(network, networks) or read_card(Path(network))


def by_graphs(card: Any, batch: int, *, in_float32: bool) -> Callable[[], Any]:
    """The server's way."""
    import torch

    from segtriton_server.vision.gpu.card_masks import CardMasks, choose_precision
    from segtriton_server.vision.gpu.runner import GraphRunner

    masks = CardMasks(card, card.read_file()).eval()
    dtype = torch.float32 if in_float32 else choose_precision(masks, card)
    states = [state.shape[1:] for state in card.states]
    runner = GraphRunner(
        masks,
        card.input.size_hw,
        batch,
        torch.cuda.current_stream(),
        num_classes=len(card.labels),
        dtype=dtype,
        sizes=[batch],
        state_shapes=states,
    )
    fill(runner.inputs, runner.weights)
    return lambda: runner.run(batch)


def by_eager_calls(card: Any, batch: int) -> Callable[[], Any]:
    """The same module, called."""
    import torch

    from segtriton_server.vision.gpu.card_masks import CardMasks, choose_precision

    masks = CardMasks(card, card.read_file()).eval()
    dtype = choose_precision(masks, card)
    masks = masks.to(device="cuda", dtype=dtype)
    height, width = card.input.size_hw
    inputs = torch.zeros((batch, height, width, 3), dtype=dtype, device="cuda")
    weights = torch.zeros((batch, len(card.labels)), dtype=dtype, device="cuda")
    states = [torch.full((batch, *state.shape[1:]), state.start, dtype=dtype, device="cuda") for state in card.states]
    fill(inputs, weights)
    return lambda: masks(inputs.permute(0, 3, 1, 2), weights, *states)[0]


def by_onnx_runtime(card: Any, batch: int, *, in_graph: bool) -> Callable[[], Any]:
    """ONNX Runtime on torch's stream and memory."""
    import numpy as np
    import onnxruntime
    import torch

    from segtriton_server.vision.gpu.runner import to_masks

    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise RuntimeError(f"onnxruntime {onnxruntime.__version__} has no CUDA provider")
    onnxruntime.preload_dlls()  # CUDA's and cuDNN's, which torch has loaded
    options = {
        "device_id": "0",
        "user_compute_stream": str(torch.cuda.current_stream().cuda_stream),
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "use_tf32": "1",
        "enable_cuda_graph": str(int(in_graph)),
        "arena_extend_strategy": "kSameAsRequested",
    }
    session = onnxruntime.InferenceSession(card.read_file(), providers=[("CUDAExecutionProvider", options)])
    binding = session.io_binding()
    height, width = card.input.size_hw
    kinds = {"float32": torch.float32, "float16": torch.half}
    inputs = torch.zeros((batch, 3, height, width), dtype=kinds[card.input.data_type], device="cuda")
    weights = torch.zeros((batch, len(card.labels)), device="cuda")
    fill(inputs, weights)
    given = inputs if card.input.layout == "NCHW" else inputs.permute(0, 2, 3, 1).contiguous()
    feeds = {card.input.tensor: given}
    for state in card.states:
        shape = (batch, *state.shape[1:])
        feeds[state.input] = torch.full(shape, state.start, dtype=kinds[state.data_type], device="cuda")
    for one in card.constants:
        feeds[one.tensor] = torch.full(one.shape, one.value, dtype=kinds[one.data_type], device="cuda")
    for name, tensor in feeds.items():
        binding.bind_input(
            name, "cuda", 0, np.dtype(str(tensor.dtype)[6:]).type, tuple(tensor.shape), tensor.data_ptr()
        )
    made = _bind_outputs(card, session, binding, batch, kinds)
    in_order = made if card.output.layout == "NCHW" else made.permute(0, 3, 1, 2)

    def run() -> Any:
        session.run_with_iobinding(binding)
        output = in_order.float()
        if card.output.kind == "scores":
            return to_masks(output.softmax(dim=1), weights)
        return to_masks(torch.cat([1 - output, output], dim=1) if card.output.kind == "alpha" else output, weights)

    run.kept = (session, feeds)  # type: ignore[attr-defined]
    return run


def _bind_outputs(card: Any, session: Any, binding: Any, batch: int, kinds: dict[str, Any]) -> Any:
    """Bind the output to a tensor of ours, the states to what the provider allocates; return the tensor."""
    import numpy as np
    import torch

    (info,) = (output for output in session.get_outputs() if output.name == card.output.tensor)
    shape = [batch, *(side if isinstance(side, int) else None for side in info.shape[1:])]
    if None in shape:
        channels, (height, width) = 1 if card.output.kind == "alpha" else len(card.labels), card.input.size_hw
        shape = [batch, channels, height, width] if card.output.layout == "NCHW" else [batch, height, width, channels]
    kind = "float16" if info.type == "tensor(float16)" else "float32"
    made = torch.zeros(shape, dtype=kinds[kind], device="cuda")
    binding.bind_output(info.name, "cuda", 0, np.dtype(kind).type, tuple(shape), made.data_ptr())
    for state in card.states:
        binding.bind_output(state.output, "cuda", 0)
    return made


def fill(inputs: Any, weights: Any) -> None:
    """The same noise for every way, and the last label."""
    import torch

    torch.manual_seed(1)
    channels_last = inputs.shape[-1] == 3
    height, width = inputs.shape[1:3] if channels_last else inputs.shape[2:]
    levels = torch.rand((len(inputs), 3, height, width))
    inputs.copy_(levels.permute(0, 2, 3, 1) if channels_last else levels)
    weights.zero_()
    weights[:, -1] = 1


def measure(options: argparse.Namespace) -> dict[str, float]:
    """The child: one way, one network, one batch size."""
    if options.ort:
        sys.path.insert(0, str(options.ort))
    import torch
    from gpu_parts import per_second

    free, _ = torch.cuda.mem_get_info()
    started = time.perf_counter()
    card = find_card(options.networks_wanted[0], options.networks)
    batch = options.batch[0]
    card = replace(card, batch_sizes=(1, batch) if batch > 1 else (1,))
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        ways: dict[str, Callable[[], Callable[[], Any]]] = {
            "graphs": lambda: by_graphs(card, batch, in_float32=False),
            "graphs32": lambda: by_graphs(card, batch, in_float32=True),
            "eager": lambda: by_eager_calls(card, batch),
            "ort": lambda: by_onnx_runtime(card, batch, in_graph=False),
            "ort-graph": lambda: by_onnx_runtime(card, batch, in_graph=True),
        }
        run = ways[options.way]()
    with torch.cuda.stream(stream), torch.inference_mode():
        masks = run()
        stream.synchronize()
        ready = time.perf_counter() - started

        def step() -> int:
            run()
            return batch

        speed = per_second(step, options.seconds, warm_steps=10)
        mean = float(masks.float().mean())
    left, _ = torch.cuda.mem_get_info()
    return {"per_second": speed, "ready_seconds": ready, "mib": (free - left) / MIB, "mean_level": mean}


def ask(way: str, network: str, batch: int, options: argparse.Namespace) -> dict[str, float] | str:
    """Let a child measure; return what it found, or the last line that it said."""
    command = [sys.executable, str(Path(__file__)), network, "--way", way, "--batch", str(batch)]
    command += ["--seconds", str(options.seconds), "--networks", str(options.networks)]
    command += ["--ort", str(options.ort)] if options.ort else []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"took more than {LIMIT_SECONDS:.0f} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no reason given"])[-1][:160]
    result: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


def compare(network: str, batch: int, options: argparse.Namespace) -> None:
    """Measure all ways in turns, and print a line for each."""
    results: dict[str, list[dict[str, float]]] = {}
    failures: dict[str, str] = {}
    for _ in range(options.rounds):
        for way in options.ways:
            if way in failures:
                continue
            found = ask(way, network, batch, options)
            if isinstance(found, str):
                failures[way] = found
            else:
                results.setdefault(way, []).append(found)
    first = (
        statistics.median(one["per_second"] for one in results[options.ways[0]]) if options.ways[0] in results else 0
    )
    for way in options.ways:
        if way in failures:
            print(f"{Path(network).name:20} {batch:3} {way:10} FAILED: {failures[way]}")
            continue
        figures = {name: statistics.median(one[name] for one in results[way]) for name in results[way][0]}
        ratio = f"{figures['per_second'] / first:5.2f}x" if first else ""
        speed, ready, mib, level = (figures[name] for name in ("per_second", "ready_seconds", "mib", "mean_level"))
        print(
            f"{Path(network).name:20} {batch:3} {way:10} {speed:9.0f}/s {ratio} of {options.ways[0]}"
            f"  ready {ready:5.1f} s  {mib:6.0f} MiB  mean level {level:.1f}"
        )
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command, and with --way its children."""
    parser = argparse.ArgumentParser(description="Compare ways to run ONNX networks on a GPU.")
    parser.add_argument("networks_wanted", nargs="+", metavar="NETWORK")
    parser.add_argument("--networks", type=Path, default=ROOT / ".assets" / "networks", help="default: %(default)s")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--ort", type=Path, help="folder of onnxruntime-gpu, installed by pip's --target")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.way:
        print(json.dumps(measure(options)))
        return 0
    for network in options.networks_wanted:
        for batch in options.batch:
            compare(network, batch, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
