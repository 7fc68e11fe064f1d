"""Networks with a card from pictures on the device to masks, against the CPU's segmenters on the same pictures."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import av
import numpy as np
import onnx_networks
import pytest
import torch
from gpu_pictures import Planes, upload

from segtriton_protocol import UPRIGHT, Orientation
from segtriton_server.device.pictures import DeviceMasks
from segtriton_server.frames import ColorMatrix, ColorRange, Picture
from segtriton_server.settings import Settings
from segtriton_server.vision.errors import BackendError, NetworkFileError, UnknownNetworkError
from segtriton_server.vision.gpu.networks import create_gpu_segmenter
from segtriton_server.vision.gpu.pixel_kernels import PixelKernels
from segtriton_server.vision.networks import create_segmenter
from segtriton_server.vision.networks.selfie_onnx import SELFIE_FILES, convert

ASSETS = Path(__file__).parents[2] / ".assets"
FIRST = frozenset({1})
TURNED = Orientation(is_transposed=True, flips_columns=True, flips_rows=False)
BLACK, RED, BLUE = (0, 0, 0), (255, 0, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    for name in SELFIE_FILES:
        shutil.copy(ASSETS / "networks" / f"{name}.tflite", folder)
        (folder / f"{name}.onnx").write_bytes(convert((folder / f"{name}.tflite").read_bytes()))
    onnx_networks.write_colors(folder, batch_sizes=[1, 2, 4])
    onnx_networks.write_average(folder, batch_sizes=[1, 2])
    card = onnx_networks.colors_card("boxed")
    card["input"] = {**card["input"], "resize": "letterbox"}
    onnx_networks.write_network(folder, onnx_networks.colors_model(), card)
    return folder


def settings(networks: Path, network: str, **changes: object) -> Settings:
    return Settings(accelerator="gpu", network=network, networks=networks, batch_size=8, **changes)  # type: ignore[arg-type]


def planes_of(frame: av.VideoFrame) -> Planes:
    planar = frame.reformat(format="yuv420p")
    rows = [np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size) for plane in planar.planes]
    return tuple(np.ascontiguousarray(part[:, : plane.width]) for part, plane in zip(rows, planar.planes, strict=True))


def clip_planes(name: str, count: int) -> list[Planes]:
    with av.open(str(ASSETS / "clips" / name)) as container:
        return [planes_of(frame) for frame in islice(container.decode(video=0), 0, 10 * count, 10)]


def band_planes(size_hw: tuple[int, int], *colors: tuple[int, int, int]) -> Planes:
    """Upright bands of equal width."""
    row = np.repeat(np.array(colors, np.uint8), size_hw[1] // len(colors), axis=0)
    picture = np.ascontiguousarray(np.broadcast_to(row, (*size_hw, 3)))
    return planes_of(av.VideoFrame.from_ndarray(picture, "rgb24"))


def stored(pictures: list[Planes], orientation: Orientation) -> list[Planes]:
    return [tuple(np.ascontiguousarray(orientation.to_stored(plane)) for plane in planes) for planes in pictures]


def on_cpu(
    networks: Path, network: str, pictures: list[Planes], orientation: Orientation = UPRIGHT, wanted: frozenset = FIRST
) -> np.ndarray:
    """The CPU's masks of following pictures of one session."""
    segmenter = create_segmenter(network, networks, 1, 4)
    state = segmenter.start()
    masks = []
    for planes in pictures:
        picture = Picture(planes, ColorMatrix.BT601, ColorRange.LIMITED)
        network_input = segmenter.preprocess(picture, orientation)
        masks += segmenter.segment([network_input], [wanted], [orientation], [state])
    return np.stack(masks).astype(int)


def download(masks: DeviceMasks) -> np.ndarray:
    """The masks, once they are there: they come on the network's stream, which nothing here waits for by itself."""
    torch.cuda.synchronize()
    return masks.tensor.cpu().numpy().astype(int)


@pytest.mark.parametrize("orientation", [UPRIGHT, TURNED], ids=["upright", "turned"])
@pytest.mark.parametrize("network", ["selfie", "selfie_square"])
@pytest.mark.parametrize("clip", ["carphone_pristine.mp4", "bikes.mp4"])
def test_selfie_sees_what_it_sees_on_a_cpu(
    kernels: PixelKernels, networks: Path, network: str, clip: str, orientation: Orientation
) -> None:
    segmenter = create_gpu_segmenter(settings(networks, network), kernels)
    pictures = stored(clip_planes(clip, 5), orientation)

    (masks,) = segmenter.segment([upload(pictures)], [FIRST], [orientation])
    difference = np.abs(download(masks) - on_cpu(networks, network, pictures, orientation))

    assert (segmenter.classes, segmenter.default_class) == (("background", "person"), "person")
    assert difference.mean() < 1.0
    assert (difference > 16).mean() < 0.01


@pytest.mark.parametrize(("network", "size_hw"), [("colors", (320, 480)), ("boxed", (400, 240)), ("boxed", (120, 960))])
@pytest.mark.parametrize("orientation", [UPRIGHT, TURNED], ids=["upright", "turned"])
def test_a_mask_covers_its_picture_whatever_its_shape(
    kernels: PixelKernels, networks: Path, network: str, size_hw: tuple[int, int], orientation: Orientation
) -> None:
    segmenter = create_gpu_segmenter(settings(networks, network), kernels)
    shown = band_planes(size_hw, RED, BLACK, BLUE)
    (pictures,) = [stored([shown], orientation) * 3]

    red, blue = segmenter.segment([upload(pictures)] * 2, [FIRST, frozenset({2})], [orientation] * 2)

    for masks, bands in ((red, (255, 0, 0)), (blue, (0, 0, 255))):
        for mask in orientation.to_shown(download(masks)[0])[None]:
            height, width = mask.shape
            assert (height, width) == onnx_networks.SIZE_HW
            # Where bands meet a cell of the input may hold both.
            for band, level in enumerate(bands):
                inside = mask[:, band * width // 3 + 4 : (band + 1) * width // 3 - 4]
                assert (inside == level).all(), (band, level)


def test_states_go_on_over_groups_and_batches(kernels: PixelKernels, networks: Path) -> None:
    segmenter = create_gpu_segmenter(settings(networks, "average"), kernels)
    patterns = [(RED, BLACK, RED, RED, BLACK, RED), (BLACK, BLACK, RED, BLACK, RED)]
    first, second = ([band_planes((320, 480), color) for color in pattern] for pattern in patterns)
    one, other = segmenter.start(), segmenter.start()

    found = segmenter.segment(
        [upload(first[:2]), upload(second[:3]), upload(first[2:4])], [FIRST] * 3, states=[one, other, one]
    )
    torch.cuda.synchronize()  # the pictures' memory is free for others now
    found += segmenter.segment([upload(second[3:]), upload(first[4:])], [FIRST] * 2, states=[other, one])

    masks = [download(group) for group in found]
    for made, pictures in ((masks[0:3:2] + masks[4:], first), ([masks[1], masks[3]], second)):
        assert np.abs(np.concatenate(made) - on_cpu(networks, "average", pictures)).max() <= 1


def test_masks_stay_when_the_next_batch_runs(kernels: PixelKernels, networks: Path) -> None:
    segmenter = create_gpu_segmenter(settings(networks, "selfie"), kernels)
    person, bands = clip_planes("carphone_pristine.mp4", 2), [band_planes((144, 176), BLACK)] * 2

    (masks,) = segmenter.segment([upload(person)], [FIRST])
    before = download(masks)
    segmenter.segment([upload(bands)], [FIRST])
    assert (download(masks) == before).all()


def test_what_cannot_be_run_is_said_with_the_remedy(kernels: PixelKernels, networks: Path, tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="choose pytorch for selfie"):
        create_gpu_segmenter(settings(networks, "selfie", inference_backend="tensorrt"), kernels)
    with pytest.raises(UnknownNetworkError, match=r"fcn_resnet101.*selfie"):
        create_gpu_segmenter(settings(networks, "nothing"), kernels)
    with pytest.raises(NetworkFileError, match=r"make it: python -m segtriton_server\.vision\.networks\.selfie_onnx"):
        create_gpu_segmenter(settings(tmp_path, "selfie"), kernels)
