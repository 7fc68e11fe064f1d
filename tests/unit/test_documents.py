"""Commands, options and targets that the documents name are there."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from segtriton_client.cli import segclient
from segtriton_ops.exporter.cli import segtriton_exporter
from segtriton_ops.segops.cli import segops
from segtriton_server.launch.cli import build_parser
from segtriton_server.launch.networks import main as segtriton_networks

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "charts/segtriton/README.md", "examples/*/README.md", "tests/*/README.md")
    for path in ROOT.glob(pattern)
)
PROGRAMS = {
    "segclient": segclient,
    "segops": segops,
    "segtriton-exporter": segtriton_exporter,
    "segtriton-networks": segtriton_networks,
}
# Options of others' programs that stand by themselves in a text.
OTHERS = {
    "--grpc-header-forward-pattern",
    "--http-header-forward-pattern",
    "--kube-version",
    "--logs",
    "--set",
    "--grpc-restricted-protocol",
    "--http-restricted-api",
    "--require-hashes",
    "--enable-shared",
}
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands_of(page: Path) -> list[str]:
    """What stands in backticks, and each line of a block for a shell."""
    text = page.read_text()
    blocks = re.findall(r"^```sh\n(.+?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.partition("  #")[0] for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    prose = re.sub(r"^```.+?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return [*lines, *re.findall(r"`([^`]+)`", prose)]


def options_in(words: str) -> set[str]:
    return set(re.findall(r"(?<!\S)(--[a-z][a-z-]*|-[a-z]{1,2}(?!\S))", words))


def options_of(command: click.Command) -> set[str]:
    own = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    inner = getattr(command, "commands", {}).values()
    return {"--help", "--version", *own}.union(*map(options_of, inner))


def known_options(words: str) -> set[str]:
    """Options that may stand where a command of ours is called with these words."""
    program = PROGRAMS[words.split()[0]]
    named = [word for word in words.split()[1:] if word in getattr(program, "commands", {})]
    if not named and program is not segclient:
        return options_of(program)
    inner = program.commands[named[0] if named else "segment"]
    return options_of(inner) | {name for param in program.params for name in param.opts}


MOST_BYTES_OF_A_PICTURE = 150_000

CALL = re.compile(rf"(?:^|bin/|[|;] *)((?:{'|'.join(PROGRAMS)})(?: .*)?$)")
EVERY = set().union(*map(options_of, PROGRAMS.values()), OTHERS, build_parser()._option_string_actions)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_names_is_there(page: Path) -> None:
    for words in commands_of(page):
        if call := CALL.search(words):
            called = re.split(r" \| |;|&&", call.group(1))[0]
            assert options_in(called) <= known_options(called), words
        elif words.startswith("-"):
            assert options_in(words) <= EVERY, words
        elif words.startswith("make "):
            assert {
                word for word in re.sub('".*?"', "", words).split()[1:] if re.fullmatch("[a-z-]+", word)
            } <= TARGETS, words


@pytest.mark.parametrize("picture", sorted(ROOT.glob("docs/*.jpg")), ids=lambda picture: picture.name)
def test_a_picture_is_small_shown_and_made_by_the_program(picture: Path) -> None:
    assert picture.stat().st_size < MOST_BYTES_OF_A_PICTURE
    assert any(picture.name in page.read_text() for page in PAGES)
    assert f'"{picture.name}"' in (ROOT / "docs" / "pictures.py").read_text()
