"""Writes docs/errors.md from the error codes, or with --check says whether it is what they give."""

import sys
from pathlib import Path

from segtriton_protocol import ErrorCode

PAGE = Path(__file__).resolve().parent.parent / "docs" / "errors.md"
HEAD = """# Errors

Every failure that reaches a client has one of these codes, with a message, this advice, the session and the packet
concerned, and for some when to retry. Codes and whether a retry can help never change their meaning; messages may.
A client retries what is retryable, with growing pauses, and nothing else. This page is made by `make error-docs`.

| code | retry | what happened | what to do |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    rows = (
        f"| `{code.name}` | {'yes' if code.retryable else 'no'} | {code.meaning} | {code.advice} |\n"
        for code in ErrorCode
    )
    return HEAD + "".join(rows)


def main() -> int:
    """Writes or checks."""
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.read_text(encoding="utf-8") == page():
        return 0
    print(f"{PAGE.name} is not what the error codes give: run `make error-docs`.")
    return 1


if __name__ == "__main__":
    sys.exit(main())
