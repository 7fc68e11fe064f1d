"""What `confinement: full` would refuse to the workers of a GPU, and whether they serve with it.

1. Workers are audited (`audited_worker.py`): they serve as without confinement, and each call that is not on the list
   of `workers/seccomp.py`, and each file that they open, is written to out/confinement.txt.
2. The same sessions run with `confinement: full`, and their frames are compared.

    GPU:  $(GPU_RUN) tests/bench/gpu/try_confinement.py, as `make test-gpu` runs its tests
    CPU:  .venv/bin/python tests/bench/gpu/try_confinement.py --model selfie, to try this script
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from segtriton_client import segment_file
from segtriton_protocol import OutputSpec, SegtritonError
from segtriton_server.launch import LaunchSettings, TritonProcess

_ROOT = Path(__file__).parents[3]
_OUTPUTS = ("mjpeg", "h264", "mask")
_CLIPS = ("carphone_pristine.mp4", "bikes.mp4", "bigbuckbunny.mp4")
_REPORT = _ROOT / "out" / "confinement.txt"


def main() -> None:
    """Run both steps and print what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fcn_resnet101", help="the network; its streamed model is served")
    parser.add_argument("--no-mps", action="store_true", help="without NVIDIA's Multi-Process Service")
    options = parser.parse_args()
    _REPORT.parent.mkdir(exist_ok=True)
    _REPORT.unlink(missing_ok=True)
    audited = _run(options, python=_audited_python(), confinement="auto")
    lines = Counter(_REPORT.read_text().splitlines())
    print(f"audited: {audited}\n{_REPORT}: {len(lines)} different lines; system calls that are not on the list:")
    print("\n".join(sorted(line for line in lines if "system call" in line)) or "none")
    confined = _run(options, confinement="full")
    print(f"confinement=full: {confined}")
    sys.exit(audited != confined)


def _audited_python() -> Path:
    python = _REPORT.with_name("audited-python")
    script = Path(__file__).with_name("audited_worker.py")
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "{_REPORT}" "$@"\n')
    python.chmod(0o755)
    return python


def _run(options: argparse.Namespace, **settings: object) -> dict[str, str]:
    """Return for each session the decoder, the encoder and the number of its frames, or its error."""
    settings |= {"weights": "" if options.model.startswith("selfie") else "seeded", "mps": not options.no_mps}
    log = _REPORT.with_name(f"confinement-{settings['confinement']}.log")
    launch = LaunchSettings(
        model_repository=_ROOT / "triton_models",
        models=(f"{options.model}_streaming",),
        grpc_port=0,
        http_port=0,
        metrics_port=0,
        networks=_ROOT / ".assets" / "networks",
        log_path=log,
        ready_timeout_seconds=300.0,
        environment={f"SEGTRITON_{name.upper()}": str(value) for name, value in settings.items()},
    )
    with TritonProcess(launch) as server:
        sessions = [(clip, encoder) for clip in _CLIPS for encoder in _OUTPUTS]
        return {f"{clip}, {encoder}": _session(server, options.model, clip, encoder) for clip, encoder in sessions}


def _session(server: TritonProcess, network: str, clip: str, encoder: str) -> str:
    spec = OutputSpec(encoder=encoder)
    with tempfile.TemporaryDirectory() as folder:
        try:
            output = Path(folder) / "out.mkv"
            report = segment_file(server.grpc_address, _ROOT / ".assets" / "clips" / clip, output, spec, network)
        except SegtritonError as error:
            return str(error)
    return f"{report.decoder}, {report.encoder}, {report.frames_out} frames"


if __name__ == "__main__":
    main()
