"""Writes the dashboards, or with --check tells whether they are what the code says."""

import json
import sys
from pathlib import Path

from dashboards import fleet, gpu, probe, service

FOLDER = Path(__file__).resolve().parents[1] / "segtriton" / "dashboards"
DASHBOARDS = (fleet.DASHBOARD, service.DASHBOARD, gpu.DASHBOARD, probe.DASHBOARD)


def render() -> dict[str, str]:
    """The files by their names."""
    return {f"{board.name}.json": json.dumps(board.to_json(), indent=1) + "\n" for board in DASHBOARDS}


def main() -> int:
    """Writes or checks."""
    wanted = render()
    current = {path.name: path.read_text() for path in FOLDER.glob("*.json")}
    if "--check" in sys.argv[1:]:
        if current != wanted:
            sys.stderr.write(f"{FOLDER} is not what charts/dashboards says; run `make dashboards`.\n")
        return int(current != wanted)
    for name in current.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
