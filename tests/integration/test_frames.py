"""The non-streamed model, with tritonclient as anybody would use it."""

import http.client
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import av
import numpy as np
import pytest
from raw_client import CLIPS
from servers import ROOT
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from segtriton_server.launch import LaunchSettings, TritonProcess


@cache
def frames_of(name: str, count: int) -> np.ndarray:
    with av.open(CLIPS / name) as container:
        decoded = container.decode(video=0)
        return np.stack([next(decoded).to_ndarray(format="rgb24") for _ in range(count)])


@pytest.fixture
def client(server: TritonProcess) -> Iterator[InferenceServerClient]:
    with InferenceServerClient(server.grpc_address) as connected:
        yield connected


def infer(client: InferenceServerClient, frames: np.ndarray, **parameters: str | int | bool) -> np.ndarray:
    tensor = InferInput("inputrgb", list(frames.shape), "UINT8")
    tensor.set_data_from_numpy(frames)
    return client.infer("selfie", [tensor], parameters=parameters).as_numpy("outputrgb")


@pytest.mark.parametrize("name", ["carphone_pristine.mp4", "bikes.mp4"])
@pytest.mark.parametrize("count", [1, 5])
def test_frames_come_back_as_they_went(client: InferenceServerClient, name: str, count: int) -> None:
    frames = frames_of(name, count)
    output = infer(client, frames, effect="blur")

    assert output.shape == frames.shape
    assert output.dtype == np.uint8
    assert not np.array_equal(output, frames)


def test_the_mask_is_grey_and_finds_the_person(client: InferenceServerClient) -> None:
    mask = infer(client, frames_of("carphone_pristine.mp4", 3), effect="mask")

    assert (mask == mask[..., :1]).all()
    assert 0.1 < (mask[..., 0] > 127).mean() < 0.9


def test_the_mask_of_the_background_is_all_but_the_person(client: InferenceServerClient) -> None:
    frames = frames_of("carphone_pristine.mp4", 3)
    person, background = (infer(client, frames, effect="mask", class_name=name) for name in ("person", "background"))

    assert np.array_equal(person, infer(client, frames, effect="mask"))
    assert np.abs(person.astype(int) + background - 255).max() <= 1  # each is rounded when it is enlarged


def test_several_classes_are_one_mask_and_inverted_is_the_rest(client: InferenceServerClient) -> None:
    frames = frames_of("carphone_pristine.mp4", 2)
    both = infer(client, frames, effect="mask", class_name="person,background")
    person, others = (infer(client, frames, effect="mask", inverted=inverted).astype(int) for inverted in (False, True))

    assert both.min() == 255
    assert np.abs(person + others - 255).max() <= 1


def test_a_frame_gives_the_same_alone_and_in_a_batch(client: InferenceServerClient) -> None:
    frames = frames_of("carphone_pristine.mp4", 5)
    batch = infer(client, frames, effect="overlay", color_rgb="255,0,0", strength="0.7")
    alone = [infer(client, frame[None], effect="overlay", color_rgb="255,0,0", strength="0.7")[0] for frame in frames]

    assert np.array_equal(batch, np.stack(alone))


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"class_name": "unicorn"}, "UNKNOWN_CLASS.*background, person"),
        ({"effect": "sepia"}, "INVALID_MESSAGE.*blur, mask, overlay, color"),
        ({"strength": "much"}, "INVALID_MESSAGE"),
        ({"color_rgb": "red"}, "INVALID_MESSAGE"),
        ({"effect": 7}, "INVALID_MESSAGE"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(
    client: InferenceServerClient, parameters: dict[str, str | int], words: str
) -> None:
    frames = frames_of("carphone_pristine.mp4", 1)
    with pytest.raises(InferenceServerException, match=words):
        infer(client, frames, **parameters)

    assert infer(client, frames).shape == frames.shape


@pytest.mark.parametrize("size", [(0, 0), (0, 10), (10, 0)])
def test_frames_without_pixels_are_refused_in_words(client: InferenceServerClient, size: tuple[int, int]) -> None:
    with pytest.raises(InferenceServerException, match=r"INVALID_MESSAGE.*no pixels"):
        infer(client, np.zeros((1, *size, 3), np.uint8))


@pytest.fixture
def batching(server_settings: Callable[..., LaunchSettings], tmp_path: Path) -> Iterator[TritonProcess]:
    """A server on which requests of several clients make one batch, as on a GPU."""
    model = tmp_path / "models" / "selfie"
    shutil.copytree(ROOT / "triton_models" / "selfie", model, ignore=shutil.ignore_patterns("__pycache__"))
    with (model / "config.pbtxt").open("a") as config:
        config.write("dynamic_batching { max_queue_delay_microseconds: 50000 }\n")
    settings = replace(server_settings(), model_repository=model.parent, models=("selfie",))
    with TritonProcess(settings) as running:
        yield running


def test_a_header_that_is_no_text_costs_no_other_of_the_batch(batching: TritonProcess) -> None:
    frames = frames_of("carphone_pristine.mp4", 1)
    is_over = threading.Event()

    def stream_on() -> int:
        done = 0
        with InferenceServerClient(batching.grpc_address) as connected:
            while not is_over.is_set():
                assert infer(connected, frames).shape == frames.shape
                done += 1
        return done

    with ThreadPoolExecutor(4) as pool:
        neighbours = [pool.submit(stream_on) for _ in range(4)]
        try:
            answers = [post_with_header(batching, b"\xff\xfe") for _ in range(40)]
        finally:
            is_over.set()
        assert all(neighbour.result() for neighbour in neighbours)

    assert all(re.search("INVALID_MESSAGE: The request cannot be read", answer) for answer in answers), answers[0]
    assert not [answer for answer in answers if re.search(r"\.py|Traceback|/\w+/", answer)]


def post_with_header(server: TritonProcess, value: bytes) -> str:
    """The answer to a black frame that comes with a header of these bytes."""
    tensor = {"name": "inputrgb", "shape": [1, 8, 8, 3], "datatype": "UINT8", "data": [0] * 192}
    connection = http.client.HTTPConnection(urlsplit(server.http_url).netloc, timeout=30)
    try:
        headers = {"segtriton-note": value.decode("latin-1")}
        connection.request("POST", "/v2/models/selfie/infer", json.dumps({"inputs": [tensor]}), headers)
        return connection.getresponse().read().decode(errors="replace")
    finally:
        connection.close()
