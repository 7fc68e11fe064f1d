"""What is done to a network's masks before they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from segtriton_protocol.json_fields import JsonFields

MOST_FRAMES_A_MASK = 30


@dataclass(frozen=True, slots=True)
class MatteSpec:
    """The steadiness and the edges of masks; the defaults change nothing.

    `smoothing` (0..0.95) keeps so much of the last mask where it hardly differs, `feather` (-1..1) softens the edge
    inwards or outwards, `edges` (0..1) draws the mask's edge to the picture's, `mask_every` runs the network for one
    frame in so many as long as the picture hardly moves, `inverted` takes what is not of the class.
    """

    smoothing: float = 0.0
    feather: float = 0.0
    edges: float = 0.0
    mask_every: int = 1
    inverted: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether masks stay as the network gave them, of the class or of all others."""
        return replace(self, inverted=False) == MatteSpec()

    def to_json(self) -> dict[str, Any]:
        """Return the wire form."""
        return {
            "smoothing": self.smoothing,
            "feather": self.feather,
            "edges": self.edges,
            "mask_every": self.mask_every,
            "inverted": self.inverted,
        }

    @classmethod
    def from_json(cls, fields: JsonFields) -> MatteSpec:
        """Read the wire form; raises INVALID_MESSAGE."""
        return cls(
            smoothing=fields.number("smoothing", 0.0, 0.95, 0.0),
            feather=fields.number("feather", -1.0, 1.0, 0.0),
            edges=fields.number("edges", 0.0, 1.0, 0.0),
            mask_every=fields.integer("mask_every", 1, MOST_FRAMES_A_MASK, 1),
            inverted=fields.boolean("inverted", default=False),
        )
