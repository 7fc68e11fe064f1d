"""What is done to a network's masks before they are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from segtriton_protocol.json_fields import JsonFields

MOST_FRAMES_A_MASK = 30


@dataclass(frozen=True, slots=True)
class MatteSpec:
    """The steadiness and the edges of masks; the defaults are what masks are best with (docs/masks.md has the figures).

    `smoothing` (0..0.95) keeps so much of the last mask where it or the picture hardly changes, `feather` (-1..1)
    softens the edge inwards or outwards, `edges` (0..1) draws the mask's edge to the picture's, `mask_every` runs the
    network for one frame in so many as long as the picture hardly moves, `inverted` takes what is not of the class,
    `mirror` runs the network for the mirror image of each picture, too, and takes the mean of both masks; None
    leaves it to the server, which does so for its own networks where no session is live.
    """

    smoothing: float = 0.7
    feather: float = 0.0
    edges: float = 1.0
    mask_every: int = 1
    inverted: bool = False
    mirror: bool | None = None

    @classmethod
    def untreated(cls) -> MatteSpec:
        """Masks as the network gives them."""
        return cls(smoothing=0.0, edges=0.0, mirror=False)

    @classmethod
    def for_live(cls) -> MatteSpec:
        """The default of live sessions: nothing that a frame would have to wait for."""
        return cls(edges=0.0)

    @property
    def is_plain(self) -> bool:
        """Whether masks stay as they come from the network, mirrored or not, of the class or of all others."""
        return replace(self, inverted=False, mirror=False) == MatteSpec.untreated()

    @property
    def is_default(self) -> bool:
        """Whether nothing but the inversion was asked for."""
        return replace(self, inverted=False) in (MatteSpec(), MatteSpec.for_live())

    def to_json(self) -> dict[str, Any]:
        """Return the wire form."""
        wire = {
            "smoothing": self.smoothing,
            "feather": self.feather,
            "edges": self.edges,
            "mask_every": self.mask_every,
            "inverted": self.inverted,
        }
        return wire if self.mirror is None else {**wire, "mirror": self.mirror}

    @classmethod
    def from_json(cls, fields: JsonFields, default: MatteSpec) -> MatteSpec:
        """Read the wire form, with the default's values for absent fields; raises INVALID_MESSAGE."""
        return cls(
            smoothing=fields.number("smoothing", 0.0, 0.95, default.smoothing),
            feather=fields.number("feather", -1.0, 1.0, default.feather),
            edges=fields.number("edges", 0.0, 1.0, default.edges),
            mask_every=fields.integer("mask_every", 1, MOST_FRAMES_A_MASK, default.mask_every),
            inverted=fields.boolean("inverted", default=default.inverted),
            mirror=fields.boolean("mirror", default=False) if "mirror" in fields.wire else None,
        )
