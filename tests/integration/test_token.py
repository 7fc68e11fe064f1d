"""A server with tokens serves those who show one, over each way in."""

import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
from process_tree import wait_until
from raw_client import CLIPS, RawStream, follow, read_clip
from test_segclient import DONE, FAILED, command
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from segtriton_protocol import Cancel, ErrorCode, Failed, SegtritonError
from segtriton_server.launch import LaunchSettings, TritonProcess
from segtriton_server.launch.errors import ServerExitedError

CARPHONE = CLIPS / "carphone_pristine.mp4"
REJECTED = 'segtriton_streams_rejected_total{reason="UNAUTHENTICATED"}'
WRONG = ["", "wrong"]


@pytest.fixture(scope="module")
def token_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("secret") / "token"


@pytest.fixture(scope="module")
def guarded(token_file: Path, server_settings: Callable[..., LaunchSettings]) -> Iterator[TritonProcess]:
    token_file.write_text("secret\n")
    settings = server_settings(workers=1, token_file=token_file)
    restricted = "--grpc-restricted-protocol=model-repository,statistics:admin-key=for-operators"
    with TritonProcess(dataclasses.replace(settings, triton_args=(restricted,))) as running:
        yield running


@pytest.fixture(autouse=True)
def _first_token(token_file: Path) -> None:
    replace_tokens(token_file, "secret")


def replace_tokens(path: Path, *tokens: str) -> None:
    other = path.with_name("next")
    other.write_text("".join(f"{token}\n" for token in tokens))
    other.replace(path)


def segclient(server: TritonProcess, token: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    line = command(server.grpc_address, *arguments, *(["--token", token] if token else []))
    return subprocess.run(line, capture_output=True, text=True, timeout=50, check=False)


def infer(server: TritonProcess, token: str) -> None:
    frames = np.zeros((1, 64, 64, 3), np.uint8)
    tensor = InferInput("inputrgb", list(frames.shape), "UINT8")
    tensor.set_data_from_numpy(frames)
    headers = {"authorization": f"Bearer {token}"} if token else None
    with InferenceServerClient(server.grpc_address) as client:
        assert client.infer("selfie", [tensor], headers=headers).as_numpy("outputrgb").shape == frames.shape


def infer_over_http(server: TritonProcess, headers: dict[str, str]) -> int:
    """The status of the answer; urllib would spell the headers' names in its own way."""
    tensor = {"name": "inputrgb", "shape": [1, 8, 8, 3], "datatype": "UINT8", "data": [0] * 192}
    connection = HTTPConnection(server.http_url.removeprefix("http://"), timeout=20)
    try:
        connection.request("POST", "/v2/models/selfie/infer", json.dumps({"inputs": [tensor]}), headers)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("token", WRONG)
@pytest.mark.parametrize("mode", [["-sv"], ["-b", 8]], ids=["streamed", "frames"])
def test_segclient_is_refused_with_advice(
    guarded: TritonProcess, tmp_path: Path, token: str, mode: list[object]
) -> None:
    output = tmp_path / "out.mp4"
    done = segclient(guarded, token, *mode, CARPHONE, "-o", output)

    assert done.returncode == FAILED
    assert "--token-file" in done.stderr
    assert "UNAUTHENTICATED" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not output.exists()


@pytest.mark.parametrize("mode", [["-sv"], ["-b", 8]], ids=["streamed", "frames"])
def test_segclient_is_served_with_the_token(guarded: TritonProcess, tmp_path: Path, mode: list[object]) -> None:
    output = tmp_path / "out.mp4"
    done = segclient(guarded, "secret", *mode, CARPHONE, "-o", output)

    assert done.returncode == DONE, done.stderr
    assert output.exists()


def test_refused_opens_are_counted(
    guarded: TritonProcess, read_metrics: Callable[[TritonProcess], dict[str, float]]
) -> None:
    before = read_metrics(guarded).get(REJECTED, 0)
    with RawStream(guarded.grpc_address) as stream, pytest.raises(SegtritonError) as caught:
        stream.open(read_clip(CARPHONE.name))

    assert caught.value.code is ErrorCode.UNAUTHENTICATED
    assert wait_until(lambda: read_metrics(guarded).get(REJECTED, 0) == before + 1)


def test_the_samples_clients_are_refused_by_a_triton_error(
    guarded: TritonProcess, read_metrics: Callable[[TritonProcess], dict[str, float]]
) -> None:
    before = read_metrics(guarded).get(REJECTED, 0)
    with RawStream(guarded.grpc_address) as stream:
        stream.send_raw({}, {"FIRST_PACKET": np.array([True])})
        with pytest.raises(AssertionError, match="UNAUTHENTICATED"):  # what the raw client makes of Triton's errors
            stream.receive()

    assert wait_until(lambda: read_metrics(guarded).get(REJECTED, 0) == before + 1)


def test_a_session_belongs_to_those_who_show_the_token(guarded: TritonProcess) -> None:
    clip = read_clip(CARPHONE.name).head(20)
    with RawStream(guarded.grpc_address, token="secret") as owner, RawStream(guarded.grpc_address) as stranger:
        opened = owner.open(clip)
        stranger.send(Cancel(opened.session_id))
        answer = stranger.receive()
        assert isinstance(answer, Failed)
        assert answer.error.code is ErrorCode.UNAUTHENTICATED

        assert follow(owner, clip, opened).pts == clip.pts


@pytest.mark.parametrize("token", WRONG)
def test_frames_without_the_token(guarded: TritonProcess, token: str) -> None:
    with pytest.raises(InferenceServerException, match=r"UNAUTHENTICATED.*--token-file"):
        infer(guarded, token)


@pytest.mark.parametrize("name", ["authorization", "Authorization"])
def test_frames_over_http(guarded: TritonProcess, name: str) -> None:
    assert infer_over_http(guarded, {name: "Bearer secret"}) == 200
    assert infer_over_http(guarded, {name: "Bearer wrong"}) == 400
    assert infer_over_http(guarded, {}) == 400


def test_tokens_are_rotated_under_a_running_server(guarded: TritonProcess, token_file: Path) -> None:
    replace_tokens(token_file, "secret", "next")
    for token in ("secret", "next"):
        infer(guarded, token)

    replace_tokens(token_file, "next")
    infer(guarded, "next")
    with pytest.raises(InferenceServerException, match="UNAUTHENTICATED"):
        infer(guarded, "secret")
    with RawStream(guarded.grpc_address, token="secret") as stream, pytest.raises(SegtritonError):
        stream.open(read_clip(CARPHONE.name))
    with RawStream(guarded.grpc_address, token="next") as stream:
        stream.open(read_clip(CARPHONE.name))


def test_without_a_readable_file_nothing_is_served(
    server_settings: Callable[..., LaunchSettings], tmp_path: Path
) -> None:
    server = TritonProcess(server_settings(workers=1, token_file=tmp_path / "none"))
    with pytest.raises(ServerExitedError), server:
        pass
    assert server.log_path is not None
    assert "token_file names" in server.log_path.read_text()


def test_models_that_are_ready_are_told_where_the_whole_list_is_for_operators(guarded: TritonProcess) -> None:
    line = [*command(guarded.grpc_address)[:3], "models", "--endpoint", guarded.grpc_address]
    described = "selfie_streaming  Apache-2.0: background, person"
    for options, told in (([], "selfie_streaming"), (["--token", "secret"], described)):
        done = subprocess.run([*line, *options], capture_output=True, text=True, timeout=50, check=False)
        assert (done.returncode, done.stdout.splitlines()) == (DONE, ["selfie", told]), done.stderr
    with (
        InferenceServerClient(guarded.grpc_address) as client,
        pytest.raises(InferenceServerException, match="restricted"),
    ):
        client.get_model_repository_index()
