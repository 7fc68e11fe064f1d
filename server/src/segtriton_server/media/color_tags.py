"""Which colour matrix and range pictures have, by what a stream says of itself."""

from av.video.reformatter import Colorspace

from segtriton_protocol import ColorTags
from segtriton_server.frames import ColorMatrix, ColorRange

# ITU-T H.273 code points.
_MATRICES = {1: ColorMatrix.BT709, 5: ColorMatrix.BT601, 6: ColorMatrix.BT601, 9: ColorMatrix.BT2020}
_HD_HEIGHT = 720

# What PyAV's conversions take for each; they know no BT.2020.
COLORSPACES = {
    ColorMatrix.BT601: Colorspace.ITU601,
    ColorMatrix.BT709: Colorspace.ITU709,
    ColorMatrix.BT2020: Colorspace.ITU709,
}


def picture_color(
    color: ColorTags, height: int, frame_matrix: int | None = None, *, frame_is_full_range: bool = False
) -> tuple[ColorMatrix, ColorRange]:
    """The matrix and range of pictures.

    Args:
        color: what the container says.
        height: of the picture, which decides where nobody names a matrix.
        frame_matrix: code point of the matrix that the decoder found in the stream, if it tells.
        frame_is_full_range: whether the decoder found full range there.
    """
    code_point = frame_matrix if frame_matrix in _MATRICES else color.matrix
    default = ColorMatrix.BT709 if height >= _HD_HEIGHT else ColorMatrix.BT601
    is_full = frame_is_full_range or color.full_range
    return _MATRICES.get(code_point, default), ColorRange.FULL if is_full else ColorRange.LIMITED
