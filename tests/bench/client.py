"""One client as a process of its own; `drive.py` starts it and gives the signal, so that several begin together.

python tests/bench/client.py ENDPOINT CLIP OUTPUT streamed|default|live|frames

`streamed` draws the network's own masks, as the plain script does; `default` those that a user gets who asks for
nothing.
"""

import asyncio
import json
import resource
import sys
import time
from pathlib import Path

from segtriton_client import Job, local_encoder, segment_frames, segment_video
from segtriton_protocol import MatteSpec, OutputSpec

PRESET = "ultrafast"


def main() -> None:
    """Say "ready", wait for a line, do the work, print what it was."""
    endpoint, clip, output, way = sys.argv[1:]
    matte = MatteSpec() if way in ("default", "live") else MatteSpec.untreated()
    job = Job(
        Path(clip), Path(output), OutputSpec(effect="blur", preset=PRESET, crf=23, matte=matte), live=way == "live"
    )
    # Sent as frames the client encodes, and the comparison asks for the same preset there.
    local_encoder.FAST["preset"] = PRESET
    work = segment_frames if way == "frames" else segment_video
    print("ready", flush=True)
    sys.stdin.readline()
    started, used = time.monotonic(), _cpu_seconds()
    report = asyncio.run(work(endpoint, job))
    result = {"started": started, "ended": time.monotonic(), "cpu_seconds": _cpu_seconds() - used}
    print(json.dumps({**result, "report": report.to_json()}))


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
