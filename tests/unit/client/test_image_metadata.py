import pytest

from segtriton_client.image_metadata import copy_jpeg_metadata, copy_webp_metadata

MADE_JPEG = b"\xff\xd8\xff\xe0\x00\x04JF\xff\xda\x00\x02scan"
APP1, ICC, OTHER = b"\xff\xe1\x00\x06Exif", b"\xff\xe2\x00\x0eICC_PROFILE\0", b"\xff\xe2\x00\x05MPF"
MADE_WEBP = b"RIFF\x10\0\0\0WEBPVP8 \x03\0\0\0abc\0"
EXIF = b"EXIF\x05\0\0\0tiff!\0"


def test_a_jpegs_exif_and_profile_are_copied_and_nothing_else() -> None:
    original = b"\xff\xd8" + APP1 + OTHER + ICC + b"\xff\xda\x00\x02" + APP1

    assert copy_jpeg_metadata(original, MADE_JPEG) == b"\xff\xd8" + APP1 + ICC + MADE_JPEG[2:]


@pytest.mark.parametrize(
    "original", [b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"\xff\xd8\xff\xfe\0\0\0\0"]
)
def test_what_is_no_jpeg_or_is_cut_off_has_nothing_to_copy(original: bytes) -> None:
    assert copy_jpeg_metadata(original, MADE_JPEG) == MADE_JPEG


def test_a_webps_exif_is_announced_in_its_header() -> None:
    made = copy_webp_metadata(b"RIFF\0\0\0\0WEBP" + EXIF, MADE_WEBP, (64, 48))
    header = b"VP8X\x0a\0\0\0" + b"\x08\0\0\0" + b"\x3f\0\0" + b"\x2f\0\0"

    assert made[12:] == header + MADE_WEBP[12:] + EXIF
    assert int.from_bytes(made[4:8], "little") == len(made) - 8


def test_a_webps_alpha_stays_announced() -> None:
    transparent = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0" + b"\x10" + bytes(9) + b"ALPH\x02\0\0\0xy" + MADE_WEBP[12:]
    made = copy_webp_metadata(b"RIFF\0\0\0\0WEBP" + EXIF, transparent, (64, 48))

    assert made[20] == 0x18
    assert made.count(b"VP8X") == 1


@pytest.mark.parametrize("original", [b"", MADE_WEBP, b"\xff\xd8\xff\xe1", b"RIFF\0\0\0\0WEBPEXI"])
def test_a_webp_without_metadata_stays_as_it_is(original: bytes) -> None:
    assert copy_webp_metadata(original, MADE_WEBP, (64, 48)) == MADE_WEBP
