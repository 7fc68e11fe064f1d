"""The router passes packets on: what a worker decodes, segments and draws with would only take memory there."""

import subprocess
import sys
from pathlib import Path

FAKES = Path(__file__).parents[3] / "fakes"
LIST_MODULES = "import sys, segtriton_server.adapters.streaming_model; print(*sys.modules)"


def test_the_router_loads_no_codec_image_or_network_library() -> None:
    listed = subprocess.run(
        [sys.executable, "-c", LIST_MODULES], env={"PYTHONPATH": str(FAKES)}, check=True, capture_output=True, text=True
    )

    assert not {"av", "cv2", "ai_edge_litert", "torch"} & set(listed.stdout.split())
