"""A session belongs to who opened it; each has a share; nothing of what is secret or shown gets into the log."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from process_tree import wait_until
from raw_client import RawStream, follow, read_clip

from segtriton_protocol import Cancel, End, ErrorCode, Failed, Output, Packets, SegtritonError
from segtriton_server.launch import LaunchSettings, TritonProcess

CLIP = read_clip("carphone_pristine.mp4").head(20)
KEY = ec.generate_private_key(ec.SECP256R1())
HIDDEN, PLAIN = "hidden-token-of-a-studio", "plain-token-of-a-camera"
SLOTS = 2
ReadMetrics = Callable[[TritonProcess], dict[str, float]]


@pytest.fixture(scope="module")
def shared(
    server_settings: Callable[..., LaunchSettings], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TritonProcess]:
    folder = tmp_path_factory.mktemp("identity")
    tokens, key = folder / "tokens", folder / "key.pem"
    tokens.write_text(f"sha256:{hashlib.sha256(HIDDEN.encode()).hexdigest()} studio\n{PLAIN} camera\n")
    key.write_bytes(KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    settings = server_settings(workers=1, token_file=tokens, jwt_key_file=key, tenant_slots=SLOTS, log_level="DEBUG")
    with TritonProcess(replace(settings, log_level="verbose")) as running:
        yield running


@pytest.fixture(autouse=True)
def _has_no_session(shared: TritonProcess, read_metrics: ReadMetrics) -> None:
    """What an earlier test has left open is closed once the server sees that its client is gone."""
    assert wait_until(lambda: read_metrics(shared)["segtriton_active_streams"] == 0)


# Tokens are signed when tests are collected; those before this file's may take long.
def signed(subject: str, seconds: float = 7200, audience: str = "segtriton") -> str:
    return jwt.encode({"sub": subject, "aud": audience, "exp": time.time() + seconds}, KEY, "ES256")


def failure(stream: RawStream) -> SegtritonError:
    while isinstance(answer := stream.receive(), Output):
        pass
    assert isinstance(answer, Failed)
    return answer.error


@pytest.mark.parametrize("token", [HIDDEN, PLAIN, signed("studio")])
def test_each_kind_of_token_lets_in(shared: TritonProcess, token: str) -> None:
    with RawStream(shared.grpc_address, token=token) as stream:
        assert follow(stream, CLIP, stream.open(CLIP)).pts == CLIP.pts


@pytest.mark.parametrize("token", ["", "wrong", signed("studio", -60), signed("studio", audience="other")])
def test_others_are_refused_before_a_decoder_exists(
    shared: TritonProcess, token: str, read_metrics: ReadMetrics
) -> None:
    opened = "segtriton_streams_opened_total"
    before = read_metrics(shared).get(opened, 0)
    with RawStream(shared.grpc_address, token=token) as stream, pytest.raises(SegtritonError) as caught:
        stream.open(CLIP)

    assert caught.value.code is ErrorCode.UNAUTHENTICATED
    time.sleep(0.3)
    assert read_metrics(shared).get(opened, 0) == before
    assert read_metrics(shared)["segtriton_active_streams"] == 0


def test_a_session_is_its_tenants_alone(shared: TritonProcess) -> None:
    with RawStream(shared.grpc_address, token=HIDDEN) as owner, RawStream(shared.grpc_address, token=PLAIN) as other:
        opened = owner.open(CLIP)
        for message in (
            Cancel(opened.session_id),
            End(opened.session_id, 0),
            Packets(opened.session_id, CLIP.packets[:1]),
        ):
            other.send(message)
            assert failure(other).code is ErrorCode.PERMISSION_DENIED
        # A message that cannot be read ends the session that it names, but not somebody else's.
        other.send_raw(Packets(opened.session_id, ()).to_parameters(), {})
        assert failure(other).code is ErrorCode.INVALID_MESSAGE

        assert follow(owner, CLIP, opened).pts == CLIP.pts


def test_tenants_of_one_name_share_their_sessions(shared: TritonProcess) -> None:
    with RawStream(shared.grpc_address, token=HIDDEN) as owner:
        opened = owner.open(CLIP)
        with RawStream(shared.grpc_address, token=signed("studio")) as colleague:
            colleague.send(Cancel(opened.session_id))
            assert failure(owner).code is ErrorCode.CANCELLED


def test_keys_of_two_tenants_do_not_meet(shared: TritonProcess) -> None:
    with RawStream(shared.grpc_address, token=HIDDEN) as one, RawStream(shared.grpc_address, token=PLAIN) as other:
        one.open(CLIP, open_key="the same")
        other.open(CLIP, open_key="the same")


def test_one_tenant_cannot_take_all_slots(shared: TritonProcess) -> None:
    with RawStream(shared.grpc_address, token=PLAIN) as greedy, RawStream(shared.grpc_address, token=HIDDEN) as other:
        for _ in range(SLOTS):
            greedy.open(CLIP)
        with pytest.raises(SegtritonError) as caught:
            greedy.open(CLIP)
        assert caught.value.code is ErrorCode.RESOURCE_EXHAUSTED
        assert "tenant" in caught.value.message

        assert follow(other, CLIP, other.open(CLIP)).pts == CLIP.pts


def test_neither_secrets_nor_media_are_in_the_log(shared: TritonProcess) -> None:
    token = signed("studio")
    marked = replace(CLIP.packets[0], payload=CLIP.packets[0].payload + b"mark of a picture")
    with RawStream(shared.grpc_address, token=token) as stream:
        opened = stream.open(CLIP)
        stream.send(Packets(opened.session_id, (marked,)))
        stream.send(End(opened.session_id, 1))
        assert wait_until(lambda: f"session={opened.session_id} closed".encode() in log(shared))

    text = log(shared)
    assert b"GRPC" in text  # it is as verbose as Triton can be
    extradata = CLIP.format.extradata
    media = (b"mark of a picture", base64.b64encode(extradata), extradata, opened.output_extradata.hex().encode())
    for secret in (HIDDEN.encode(), PLAIN.encode(), token.encode(), token.split(".")[2].encode(), *media):
        assert secret not in text


def log(server: TritonProcess) -> bytes:
    assert server.log_path is not None
    return Path(server.log_path).read_bytes()
