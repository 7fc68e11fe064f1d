"""What is done to a network's masks before they are drawn."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from segtriton_protocol.json_fields import JsonFields

MOST_FRAMES_A_MASK = 30


@dataclass(frozen=True, slots=True)
class MatteSpec:
    """The steadiness and the edges of masks; the defaults are what masks are best with (docs/masks.md has the figures).

    `smoothing` (0..0.95) keeps so much of the last mask where it or the picture hardly changes, `feather` (-1..1)
    softens the edge inwards or outwards, `edges` (0..1) draws the mask's edge to the picture's, `mask_every` runs the
    network for one frame in so many as long as the picture hardly moves, `inverted` takes what is not of the class,
    `mirror` runs the network for the mirror image of each picture, too, and takes the mean of both masks. `edges` and
    `mirror` are left to the server where they are None (see `resolved`).
    """

    smoothing: float = 0.7
    feather: float = 0.0
    edges: float | None = None
    mask_every: int = 1
    inverted: bool = False
    mirror: bool | None = None

    @classmethod
    def untreated(cls) -> MatteSpec:
        """Masks as the network gives them."""
        return cls(smoothing=0.0, edges=0.0, mirror=False)

    def resolved(self, *, is_live: bool, mirrors: bool) -> MatteSpec:
        """With what was left to the server; `mirrors` says whether the network is one that is better mirrored.

        A live session leaves out what a frame would have to wait for.
        """
        edges = self.edges if self.edges is not None else float(not is_live)
        mirror = self.mirror if self.mirror is not None else mirrors and not is_live
        return replace(self, edges=edges, mirror=mirror)

    @property
    def is_plain(self) -> bool:
        """Whether masks stay as they come from the network, mirrored or not, of the class or of all others."""
        return replace(self, inverted=False, mirror=False) == MatteSpec.untreated()

    @property
    def is_default(self) -> bool:
        """Whether nothing but the inversion was asked for."""
        return replace(self, inverted=False) == MatteSpec()

    def to_json(self) -> dict[str, Any]:
        """Return the wire form."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, fields: JsonFields) -> MatteSpec:
        """Read the wire form; raises INVALID_MESSAGE."""
        default = cls()
        return cls(
            smoothing=fields.number("smoothing", 0.0, 0.95, default.smoothing),
            feather=fields.number("feather", -1.0, 1.0, default.feather),
            edges=fields.number("edges", 0.0, 1.0) if "edges" in fields.wire else None,
            mask_every=fields.integer("mask_every", 1, MOST_FRAMES_A_MASK, default.mask_every),
            inverted=fields.boolean("inverted", default=default.inverted),
            mirror=fields.boolean("mirror", default=False) if "mirror" in fields.wire else None,
        )
