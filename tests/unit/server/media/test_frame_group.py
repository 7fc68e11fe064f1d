"""Groups of frames are cut down to those that go on, numbers and pictures alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from segtriton_server.frames import Picture
from segtriton_server.media.decoder import FrameGroup


@dataclass(frozen=True)
class Names:
    """Pictures that are mere names."""

    names: str
    size_hw: tuple[int, int] = (2, 2)

    def __len__(self) -> int:
        return len(self.names)

    def select(self, positions: Sequence[int]) -> "Names":
        return Names("".join(self.names[position] for position in positions))


def test_numbers_and_pictures_stay_together() -> None:
    owner = object()
    chosen = FrameGroup((7, 5, 6, 9), Names("abcd"), owner).select([1, 3])

    assert chosen == FrameGroup((5, 9), Names("bd"), owner)
    assert len(chosen) == 2


def test_a_whole_group_is_not_copied() -> None:
    group = FrameGroup((7, 5), Names("ab"))

    assert group.select([0, 1]) is group


def test_a_single_picture_has_no_parts() -> None:
    picture = Picture((np.zeros((4, 4, 3), np.uint8),))
    group = FrameGroup((3,), picture)

    assert len(picture) == len(group) == 1
    assert group.select([0]) is group
    assert picture.select([0]) is picture
    for positions in ([], [1], [0, 0]):
        with pytest.raises(IndexError):
            picture.select(positions)
