from pathlib import Path

import pytest

from segtriton_server.services.drain_order import DrainOrder, Order


def test_no_file_is_no_order(tmp_path: Path) -> None:
    assert DrainOrder("").read() == Order()
    assert DrainOrder(str(tmp_path / "draining")).read() == Order()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    order = DrainOrder(str(tmp_path / "draining"))

    order.write()
    assert order.read() == Order(drains=True)
    order.write(migrate_within=12.5)
    assert order.read() == Order(drains=True, migrates=True, within_seconds=12.5)
    assert [path.name for path in tmp_path.iterdir()] == ["draining"]


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", Order(drains=True)),
        ("migrate", Order(drains=True, migrates=True)),
        ("migrate soon", Order(drains=True, migrates=True)),
    ],
)
def test_a_file_made_by_hand_counts(text: str, order: Order, tmp_path: Path) -> None:
    (tmp_path / "draining").write_text(text)

    assert DrainOrder(str(tmp_path / "draining")).read() == order


def test_writing_needs_a_path() -> None:
    with pytest.raises(ValueError, match="SEGTRITON_DRAIN_FILE"):
        DrainOrder("").write()
