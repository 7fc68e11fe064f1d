"""Checks that every relative link and picture in the tree's documents leads to a file."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\]\(([^)#\s]+)|(?:src|href)=\"([^\"#]+)\"")


def broken_links(document: Path) -> list[str]:
    """The targets in a document that do not exist."""
    targets = [first or second for first, second in LINK.findall(document.read_text(encoding="utf-8"))]
    local = [target for target in targets if "://" not in target and not target.startswith("mailto:")]
    return [target for target in local if not (document.parent / target).exists()]


def main() -> int:
    """Names every broken link."""
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True)
    broken = [(name, target) for name in listed.stdout.splitlines() for target in broken_links(ROOT / name)]
    for name, target in broken:
        print(f"{name}: nothing at {target}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
