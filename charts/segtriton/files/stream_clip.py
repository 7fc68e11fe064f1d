"""Streams a clip in several sessions at once and checks that each brought every frame back. Run by `helm test`."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path("/tmp")
WAIT_SECONDS = 20.0


def wait_for_the_network() -> None:
    """Returns when the server can be reached, or after a while: policies let a new pod through only a moment later."""
    host, _, port = os.environ["SEGCLIENT_ENDPOINT"].rpartition(":")
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
        except OSError:
            time.sleep(0.5)
        else:
            return


def start(number: int) -> subprocess.Popen[bytes]:
    """Begins a session; where the server is and how to reach it stands in SEGCLIENT_*."""
    clip, video, report = os.environ["CLIP"], FOLDER / f"{number}.mp4", FOLDER / f"{number}.json"
    return subprocess.Popen(["segclient", "-sv", clip, "--effect", "mask", "-o", video, "--report", report])


def check(number: int, expected: int) -> list[str]:
    """What is wrong with the frames of a session."""
    report = json.loads((FOLDER / f"{number}.json").read_text())
    print(f"session {number}:", json.dumps(report))
    counts = {name: report[name] for name in ("frames_in", "frames_out")}
    wrong = [f"{name} is {count}, not {expected}" for name, count in counts.items() if count != expected]
    return wrong + [f"{count} frames were dropped as {reason}" for reason, count in report["frames_dropped"].items()]


def main() -> int:
    """Exits with 0 if every session is whole."""
    sessions, expected = int(os.environ["SESSIONS"]), int(os.environ["FRAMES"])
    failed = False
    wait_for_the_network()
    for number, process in enumerate([start(number) for number in range(sessions)]):
        status = process.wait()
        problems = check(number, expected) if status == 0 else [f"segclient ended with status {status}"]
        for problem in problems:
            failed = True
            print(f"session {number}: {problem}", file=sys.stderr)
    print("failed" if failed else f"{sessions} sessions, {expected} frames each, all of them back")
    return failed


if __name__ == "__main__":
    sys.exit(main())
