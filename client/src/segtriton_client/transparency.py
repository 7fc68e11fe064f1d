"""Whether pictures are transparent in places, which no network here looks at and no video output keeps."""

from __future__ import annotations

import av
from av.stream import Stream

TRANSPARENCY_NOTE = "The input is transparent in places; that was lost: what lies under it is shown."
_OPAQUE = 255


def is_transparent(frame: av.VideoFrame) -> bool:
    """Tell whether any pixel lets something through."""
    kind = frame.format
    may_be = kind.has_palette or any(component.is_alpha for component in kind.components)
    return may_be and bool(frame.to_ndarray(format="rgba")[..., 3].min() < _OPAQUE)


def has_alpha_layer(track: Stream) -> bool:
    """Tell whether VP8 or VP9 pictures have their alpha beside them, which FFmpeg's own decoders leave out."""
    return {key.lower(): value for key, value in track.metadata.items()}.get("alpha_mode") == "1"
