"""What the command tells of its options."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from segtriton_client import cli

TESTS = Path(__file__).parents[2]
OPTIONS = [name for param in cli.segment.params for name in param.opts if name.startswith("--")]


def test_help_reads_in_sections_with_defaults_and_examples() -> None:
    text = CliRunner().invoke(cli.segclient, ["segment", "--help"]).output
    headings = [line[:-1] for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]

    assert headings[0] == "What goes in"
    assert {"Where results go", "What is drawn", "Coding", "The run", "The server"} <= set(headings)
    assert "Examples:" in text
    assert "segclient -sv talk.mp4 --effect cutout -o talk.webm" in text
    assert "[default: superfast]" in text


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_has_help_and_stands_in_a_test(option: str) -> None:
    (param,) = (param for param in cli.segment.params if option in param.opts)
    assert getattr(param, "help", None)

    names = [*param.opts, *param.secondary_opts]
    texts = [path.read_text() for path in TESTS.rglob("test_*.py") if path != Path(__file__)]
    assert any(f'"{name}"' in text for name in names for text in texts), f"{option} has no test"
