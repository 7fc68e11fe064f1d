"""What the pipelines give to the network, and take back from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from segtriton_protocol import Orientation
from segtriton_server.encoders.encoder import FrameTag
from segtriton_server.media.decoder import FrameGroup
from segtriton_server.vision.segmenter import ClassIds


@dataclass(slots=True)
class NetworkJob:
    """A session's frames on their way through the network.

    Attributes:
        session_id: whose frames they are.
        class_ids: what the network shall find in them.
        group: the frames.
        tags: one for each of them; none where they are not drawn, and only refine the masks of those after them.
        orientation: how their pictures are turned to be seen.
        network_input: what the segmenter made of their pictures; None if the network is not to run for them, and the
            job only keeps its place in the session's line.
        deliver: takes the job back with its masks; jobs of a session come back in the order that they were given.
        state: what the network keeps of the session's frames; None if it keeps nothing.
        is_mirrored: whether the network is to run for the mirror images, too.
        restarts_matte: whether their masks must not depend on those of earlier frames.
        masks: the masks of all frames, once the network has run.
    """

    session_id: str
    class_ids: ClassIds
    group: FrameGroup
    tags: tuple[FrameTag, ...]
    orientation: Orientation
    network_input: Any
    deliver: Callable[[NetworkJob], None]
    state: Any = None
    is_mirrored: bool = False
    restarts_matte: bool = False
    masks: Any = None

    @property
    def num_network_frames(self) -> int:
        """For how many frames the network runs."""
        return 0 if self.network_input is None else len(self.group)
