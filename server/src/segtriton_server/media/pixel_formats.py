"""Which pixel formats pictures have between decoder and encoder, by FFmpeg's names."""

from __future__ import annotations

from segtriton_protocol import PLAIN_PIXEL_FORMAT

_CHROMA_STEPS = {"yuv420p": (2, 2), "yuv422p": (1, 2), "yuv444p": (1, 1)}
"""Rows and columns of luma to one of chroma, in each sampling that is kept."""

_FULL_RANGE_PREFIX = "yuvj"  # a range of its own in the name, which pictures say by themselves here
_TEN_BITS = "10le"


def nearest_formats(name: str) -> tuple[str, ...]:
    """The formats that keep most of the one named, best first: its chroma sampling or the next finer, in 10 or 8 bits.

    A name that FFmpeg does not know, or that says nothing, gives 8-bit 4:2:0.
    """
    if not name:
        return (PLAIN_PIXEL_FORMAT,)
    sampling = name.removesuffix(_TEN_BITS)
    if sampling in _CHROMA_STEPS:
        return (name,) if sampling == name else (name, sampling)
    return _nearest_by_components(name)


def num_bits(name: str) -> int:
    """Bits of a sample: 8, or 10 in two bytes."""
    return 10 if name.endswith(_TEN_BITS) else 8


def coded_format(name: str, *, full_range: bool) -> str:
    """What FFmpeg calls coded pictures of a format; it has no names for full range in 10 bits."""
    return name.replace("yuv", _FULL_RANGE_PREFIX) if full_range and num_bits(name) == 8 else name


def is_same_format(name: str, kept: str) -> bool:
    """Whether pictures of the format named have the planes of one that is kept."""
    return name.replace(_FULL_RANGE_PREFIX, "yuv") == kept


def fits(name: str, size_hw: tuple[int, int]) -> bool:
    """Whether chroma planes of the format cover a picture of `size_hw` exactly."""
    rows, columns = _CHROMA_STEPS[name.removesuffix(_TEN_BITS)]
    return size_hw[0] % rows == 0 and size_hw[1] % columns == 0


def num_bytes(name: str, size_hw: tuple[int, int]) -> int:
    """Bytes of a picture; both chroma planes together have 2 samples for each `rows * columns` of luma."""
    rows, columns = _CHROMA_STEPS[name.removesuffix(_TEN_BITS)]
    sample_bytes = 2 if num_bits(name) > 8 else 1
    return size_hw[0] * size_hw[1] * sample_bytes * (rows * columns + 2) // (rows * columns)


def _nearest_by_components(name: str) -> tuple[str, ...]:
    # Imported here, so that the router loads FFmpeg for uncommon names only.
    import av

    try:
        luma, *chroma = av.VideoFormat(name, 2, 2).components
    except ValueError:
        return (PLAIN_PIXEL_FORMAT,)
    if not chroma or chroma[0].width == chroma[0].height == 1:
        sampling = PLAIN_PIXEL_FORMAT
    else:
        sampling = "yuv422p" if chroma[0].width == 1 and chroma[0].height == 2 else "yuv444p"
    return (sampling,) if luma.bits <= 8 else (sampling + _TEN_BITS, sampling)
