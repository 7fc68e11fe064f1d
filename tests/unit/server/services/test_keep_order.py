from pathlib import Path

import pytest

from segtriton_server.services.keep_order import KeepOrder


def test_no_file_and_a_spoilt_one_are_no_order(tmp_path: Path) -> None:
    assert KeepOrder("").read() is None
    assert KeepOrder(str(tmp_path / "draining")).read() is None
    for text in ("", "many 1", "3", "3 soon"):
        (tmp_path / "draining.keep").write_text(text)
        assert KeepOrder(str(tmp_path / "draining")).read() is None


def test_what_is_written_is_read_until_its_time_is_over(tmp_path: Path) -> None:
    order = KeepOrder(str(tmp_path / "draining"))

    order.write(3, 60)
    keep = order.read()
    assert keep is not None
    assert keep.sessions == 3
    assert 0 < keep.seconds_left <= 60
    assert [path.name for path in tmp_path.iterdir()] == ["draining.keep"], "the drain file is another one"
    order.write(3, 0)
    assert order.read() is None


def test_writing_needs_a_path() -> None:
    with pytest.raises(ValueError, match="SEGTRITON_DRAIN_FILE"):
        KeepOrder("").write(1, 1)
