"""Raw frames in batches, over gRPC and in shared memory, against a model that gives them back through the same Triton.

    python tests/bench/raw_frames.py [--rounds N] [--seconds N] [--size WxH] [--json FILE]

Rounds take turns between the ways, so that a machine that gets slower or faster meanwhile changes all of them; a figure
is the median of the rounds. Processor time for each frame changes least on a noisy machine.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.append(str(Path(__file__).parent / "gpu"))  # clips, clients and loads are as in the benchmark on a GPU

from drive import machine
from gpu_clips import FOLDER, make_clip
from identity import IDENTITY, make_repository
from load import Load, run_frames
from plan import parse_size
from table import Row, render

from segtriton_server.launch import LaunchSettings, TritonProcess

ROOT = Path(__file__).parents[2]
MODEL = "selfie"
WAYS = {"gRPC": "grpc", "shared memory": "shared-memory"}
NUM_FRAMES = 30
WARM_SECONDS = 1.0

Loads = dict[tuple[str, str], list[Load]]


def measure(options: argparse.Namespace) -> Loads:
    """Put each load on one server, round after round."""
    assets: Path = options.assets
    clip = make_clip(assets / "clips" / "bigbuckbunny.mp4", "film", options.size, NUM_FRAMES, FOLDER)
    loads: Loads = {(way, model): [] for way in WAYS for model in (IDENTITY, MODEL)}
    with tempfile.TemporaryDirectory(prefix="segtriton-bench-") as folder:
        models = Path(folder) / "models"
        models.mkdir()
        settings = LaunchSettings(
            model_repository=make_repository(models, (MODEL,)),
            models=(MODEL, IDENTITY),
            grpc_port=0,
            http_port=0,
            metrics_port=0,
            networks=assets / "networks",
            log_path=Path(folder) / "triton.log",
        )
        with TritonProcess(settings) as server:
            for _ in range(options.rounds):
                for way, model in loads:
                    load = run_frames(server, clip.path, model, 1, options.seconds, WARM_SECONDS, WAYS[way])
                    loads[way, model].append(load)
    return loads


def make_rows(loads: Loads, size_wh: tuple[int, int]) -> list[Row]:
    """Each way against its limit, and shared memory against gRPC."""
    section = "Raw frames, {}x{}, batches of 8, blur, 1 client".format(*size_wh)
    speeds = {key: statistics.median(load.frames_per_second for load in rounds) for key, rounds in loads.items()}
    rows = []
    for way in WAYS:
        limit = f"{way}, a model that gives them back"
        rows.append(Row(section, limit, speeds[way, IDENTITY], "fps", note=spend(loads[way, IDENTITY])))
        ratio = speeds[way, MODEL] / speeds[way, IDENTITY]
        rows.append(Row(section, way, speeds[way, MODEL], "fps", ratio, "that model", note=spend(loads[way, MODEL])))
    return rows


def spend(rounds: Sequence[Load]) -> str:
    """Processor time for each frame."""
    server = statistics.median(sum(load.server_cores.values()) / load.frames_per_second for load in rounds)
    client = statistics.median(load.busiest_client / load.frames_per_second for load in rounds)
    return f"{server * 1e3:.1f} ms of the server's CPU a frame, {client * 1e3:.1f} ms of the client's"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Compare ways to send raw frames with what Triton alone takes.")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load; default: %(default)s")
    parser.add_argument("--size", type=parse_size, default=(1280, 720), metavar="WxH", help="default: 1280x720")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to FILE, too")
    parser.add_argument("--assets", type=Path, default=ROOT / ".assets", help="default: %(default)s")
    options = parser.parse_args(arguments)
    host, loads = machine(), measure(options)
    rows = make_rows(loads, options.size)
    print(render(rows))
    if options.json:
        content = {"machine": host, "rows": [row.to_json() for row in rows]}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
