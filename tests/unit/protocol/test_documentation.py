from pathlib import Path

import pytest

from segtriton_protocol import EFFECTS, ENCODERS, DropReason, ErrorCode

PAGE = Path(__file__).parents[3].joinpath("docs/protocol.md").read_text()


@pytest.mark.parametrize("code", ErrorCode, ids=lambda code: code.name)
def test_every_error_is_documented_with_its_advice(code: ErrorCode) -> None:
    retryable = "yes" if code.retryable else "no"
    assert f"| `{code.name}` | {retryable} | {code.advice} |" in PAGE


@pytest.mark.parametrize("word", [*EFFECTS, *ENCODERS, *(reason.value for reason in DropReason)])
def test_every_word_of_the_wire_is_documented(word: str) -> None:
    assert f"`{word}`" in PAGE
