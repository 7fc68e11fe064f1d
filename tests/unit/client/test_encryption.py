"""Encrypted video is told by its name, and not taken for pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from client_clips import CFR, make_clip
from echo_service import EchoService
from segclient_process import run

KEY, KEY_ID = "76a6c65c5ea762046bd749a2e632ccbb", "a7e61c373e219033c21091fa607bf3b8"
VIDEO_PID = 0x100


def remux(clip: Path, made: Path, **options: str) -> Path:
    with av.open(clip) as source, av.open(made, "w", container_options=options) as container:
        tracks = {stream.index: container.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.size:
                packet.stream = tracks[packet.stream_index]
                container.mux(packet)
    return made


def encrypt_mp4(clip: Path) -> Path:
    """Common Encryption in counter mode."""
    options = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": KEY, "encryption_kid": KEY_ID}
    return remux(clip, clip.with_name("cenc.mp4"), **options)


def encrypt_mp4_by_pattern(clip: Path) -> Path:
    """As players of Apple's want it; only what the header says."""
    made = clip.with_name("cbcs.mp4")
    made.write_bytes(encrypt_mp4(clip).read_bytes().replace(b"cenc", b"cbcs"))
    return made


def element(name: bytes, content: bytes) -> bytes:
    return name + (1 << 56 | len(content)).to_bytes(8, "big") + content


def encrypt_webm(clip: Path) -> Path:
    """A WebM as its encryption's description has it, with AES as the one encoding of its track."""
    with av.open(clip) as source:
        stream = source.streams.video[0]
        packets = [bytes(packet) for packet in source.demux(stream) if packet.size]
        extradata = bytes(stream.codec_context.extradata)
    cipher = element(b"\x47\xe1", b"\5") + element(b"\x47\xe2", bytes.fromhex(KEY_ID))
    encoding = element(b"\x50\x33", b"\1") + element(b"\x50\x35", cipher)
    track = (
        element(b"\xd7", b"\1")
        + element(b"\x73\xc5", b"\1")
        + element(b"\x83", b"\1")
        + element(b"\x86", b"V_MPEG4/ISO/AVC")
        + element(b"\x63\xa2", extradata)
        + element(b"\xe0", element(b"\xb0", b"\x40") + element(b"\xba", b"\x30"))
        + element(b"\x6d\x80", element(b"\x62\x40", encoding))
    )
    blocks = [
        element(b"\xa3", b"\x81" + (40 * number).to_bytes(2, "big") + b"\x80" + b"\1" + bytes(8) + packet)
        for number, packet in enumerate(packets)
    ]
    segment = (
        element(b"\x15\x49\xa9\x66", element(b"\x2a\xd7\xb1", (1_000_000).to_bytes(4, "big")))
        + element(b"\x16\x54\xae\x6b", element(b"\xae", track))
        + element(b"\x1f\x43\xb6\x75", element(b"\xe7", b"\0") + b"".join(blocks))
    )
    made = clip.with_name("encrypted.webm")
    made.write_bytes(
        element(b"\x1a\x45\xdf\xa3", element(b"\x42\x82", b"webm")) + element(b"\x18\x53\x80\x67", segment)
    )
    return made


def scramble_ts(clip: Path) -> Path:
    """A transport stream whose video is scrambled, with the even key."""
    made = remux(clip, clip.with_name("scrambled.ts"))
    content = bytearray(made.read_bytes())
    for start in range(0, len(content), 188):
        if int.from_bytes(content[start + 1 : start + 3], "big") & 0x1FFF == VIDEO_PID:
            has_adaptation = content[start + 3] & 0x20
            payload = start + 4 + (1 + content[start + 4] if has_adaptation else 0)
            content[start + 3] |= 0x80
            content[payload : start + 188] = bytes(byte ^ 0x5A for byte in content[payload : start + 188])
    made.write_bytes(content)
    return made


KINDS = pytest.mark.parametrize("encrypt", [encrypt_mp4, encrypt_mp4_by_pattern, encrypt_webm, scramble_ts])


@pytest.mark.parametrize("way", [["-sv"], []], ids=["streamed", "frames"])
@KINDS
def test_an_encrypted_input(serve, tmp_path: Path, encrypt: Callable[[Path], Path], way: list[str]) -> None:
    given = encrypt(make_clip(tmp_path / "clip.mp4"))
    before, service = sorted(tmp_path.iterdir()), EchoService()
    told = run("--endpoint", serve(service), *way, given, "-o", tmp_path / "made.mp4", code=3)

    assert told == (
        f"segclient: error: {given} is encrypted. Decrypt it first, or take it from where it is not protected.\n"
    )
    assert service.kinds == []
    assert sorted(tmp_path.iterdir()) == before


@KINDS
def test_an_encrypted_background_and_sheet(serve, tmp_path: Path, encrypt: Callable[[Path], Path]) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    given = encrypt(clip)
    options = ["--effect", "image", "--background", given, "-o", tmp_path / "made.mp4"]

    assert "is encrypted" in run("--endpoint", serve(EchoService(sends_masks=True)), "-sv", clip, *options, code=3)
    assert "is encrypted" in run("sheet", clip, clip, given, "-o", tmp_path / "sheet.png", code=3)


def test_encrypted_sound_is_not_copied(serve, tmp_path: Path) -> None:
    given = encrypt_mp4(make_clip(tmp_path / "clip.mp4", audio=True))
    content = given.read_bytes()
    for ours, clear in ((b"encv", b"avc1"), (b"sinf", b"free"), (b"senc", b"free")):  # the first is the video's
        content = content.replace(ours, clear, 1)
    given.write_bytes(content)
    with av.open(given) as container:
        assert {p.stream.type for p in container.demux() if p.has_sidedata("encryption_info")} == {"audio"}

    assert "is encrypted" in run("--endpoint", serve(EchoService()), "-sv", given, code=3)


def test_what_is_clear_is_taken(serve, tmp_path: Path) -> None:
    clip = remux(make_clip(tmp_path / "clip.mp4"), tmp_path / "clip.ts")

    assert f"{len(CFR)} frames" in run("--endpoint", serve(EchoService()), "-sv", clip)
