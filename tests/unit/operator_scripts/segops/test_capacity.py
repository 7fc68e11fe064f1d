"""What `segops capacity` tells before the minutes that it takes."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner
from client_clips import make_clip

from segtriton_ops.segops.cli import segops


def test_a_file_that_cannot_be_written_is_told_before_a_server_is_asked(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    options = ["--endpoint", "127.0.0.1:1", "-f", str(clip / "values.yaml")]
    result = CliRunner().invoke(segops, ["capacity", str(clip), *options])

    assert result.exit_code == 1
    assert f"Cannot write {clip}/values.yaml: Not a directory." in result.output
