import os
from pathlib import Path

import pytest

from segtriton_server.services.drain_order import DrainOrder
from segtriton_server.services.order_file import OrderFile


def test_no_file_is_no_order(tmp_path: Path) -> None:
    assert OrderFile("").read() is None
    assert OrderFile(str(tmp_path / "order")).read() is None


def test_what_is_written_is_read_and_leaves_nothing_else(tmp_path: Path) -> None:
    OrderFile(str(tmp_path / "order")).write("go")
    assert OrderFile(str(tmp_path / "order")).read() == "go"
    assert [path.name for path in tmp_path.iterdir()] == ["order"]


def test_only_what_is_younger_than_the_server_is_an_order_to_it(tmp_path: Path) -> None:
    path = tmp_path / "order"
    path.write_text("go")
    os.utime(path, (1000, 1000))
    assert OrderFile(str(path), server_start=1000.5).read() is None
    assert OrderFile(str(path), server_start=999.5).read() == "go"


def test_nowhere_nothing_can_be_written() -> None:
    with pytest.raises(ValueError, match="SEGTRITON_DRAIN_FILE"):
        OrderFile("").write("go")


def test_an_order_that_is_no_text_is_an_order(tmp_path: Path) -> None:
    """Whoever wrote it wanted the server to drain."""
    path = tmp_path / "drain"
    path.write_bytes(b"\xff")
    assert DrainOrder(str(path)).read().drains
