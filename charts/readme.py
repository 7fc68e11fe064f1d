"""Writes the tables of values into the chart's README, from the comments of values.yaml.

    python charts/readme.py            write them
    python charts/readme.py --check    exit with 1 if they are not what values.yaml says

A comment stands above its key and ends with `Example: ...`; `##@ TITLE` begins a table.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHART = Path(__file__).resolve().parent / "segtriton"
START = "## Values\n"
KEY = re.compile(r"^(?P<indent> *)(?P<key>[^\s#][^:]*|[^\s#]\S*):(?: (?P<default>.*))?$")


class UndocumentedValueError(Exception):
    """A key without a sentence or without an example."""


@dataclass(frozen=True)
class Value:
    """One key of values.yaml; `default` is empty where further keys follow below it."""

    path: str
    text: str
    default: str


def read_values(lines: list[str]) -> Iterator[Value | str]:
    """The keys in their order, and the titles between them."""
    comment: list[str] = []
    parents: list[tuple[int, str]] = []
    for line in lines:
        words = line.strip()
        if words.startswith("##@ "):
            yield words.removeprefix("##@ ")
        elif words.startswith("#"):
            comment.append(words.removeprefix("#").strip())
        elif found := KEY.match(line):
            indent = len(found["indent"])
            parents = [parent for parent in parents if parent[0] < indent]
            parents.append((indent, found["key"]))
            yield Value(path_of(parents), " ".join(comment), found["default"] or "")
            comment = []
        elif words:
            raise UndocumentedValueError(f"not understood: {line}")
        else:
            comment = []


def path_of(parents: list[tuple[int, str]]) -> str:
    """`image.tag`; a key that has dots itself stands in brackets."""
    path = ""
    for _, key in parents:
        path += f"[{key}]" if "." in key else f".{key}"
    return path.lstrip(".")


def write_tables(lines: list[str]) -> Iterator[str]:
    """The README's lines."""
    for value in read_values(lines):
        if isinstance(value, str):
            yield from ("", f"### {value}", "", "| value | default | meaning |", "|---|---|---|")
            continue
        if not re.match(r"[A-Za-z`].*\.( |$)", value.text.replace("Example: ", "")):
            raise UndocumentedValueError(f"{value.path} has no sentence")
        if value.default and "Example: `" not in value.text:
            raise UndocumentedValueError(f"{value.path} has no example")
        default = f"`{value.default}`" if value.default else ""
        yield f"| `{value.path}` | {escape(default)} | {escape(value.text)} |"


def escape(text: str) -> str:
    """Keeps a bar from ending a cell."""
    return text.replace("|", "\\|")


def render(readme: str, values: str) -> str:
    """The README with new tables."""
    head = readme.partition(START)[0]
    return "\n".join(
        [head + START, "From `values.yaml`, whose comments these are.", *write_tables(values.splitlines()), ""]
    )


def main() -> int:
    """Writes or checks."""
    file = CHART / "README.md"
    current = file.read_text()
    wanted = render(current, (CHART / "values.yaml").read_text())
    if "--check" in sys.argv[1:]:
        if current != wanted:
            sys.stderr.write(f"{file} is not what values.yaml says; run `make chart-docs`.\n")
        return int(current != wanted)
    file.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
