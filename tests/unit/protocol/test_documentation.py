import subprocess
import sys
from pathlib import Path

import pytest

from segtriton_protocol import EFFECTS, ENCODERS, PIXEL_FORMATS, DropReason

ROOT = Path(__file__).parents[3]
PAGE = ROOT.joinpath("docs/protocol.md").read_text()


def test_the_page_of_errors_is_what_the_codes_give() -> None:
    command = [sys.executable, ROOT / ".setup" / "error_page.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("word", [*EFFECTS, *ENCODERS, *PIXEL_FORMATS, *(reason.value for reason in DropReason)])
def test_every_word_of_the_wire_is_documented(word: str) -> None:
    assert f"`{word}`" in PAGE
