import gc
import sys

import numpy as np
import pytest


def jpeg_planes_of(gpu):
    """A stand-in for the colour kernel, on the current stream: the same values, planar."""

    def convert(pictures):
        luma, chroma = (plane.array for plane in pictures.planes)
        count, height, width, _ = luma.shape
        result = gpu.torch.Tensor(np.zeros((count, 3 * height * width // 2), np.uint8))
        type(gpu.torch).current.enqueue(lambda: np.copyto(result.array, planar(luma, chroma)))
        return result

    return convert


def planar(luma, chroma):
    planes = luma, chroma[..., 0], chroma[..., 1]
    return np.concatenate([plane.reshape(len(luma), -1) for plane in planes], axis=1)


@pytest.fixture
def encoder_of(gpu, setup_of):
    cls = gpu.module("nvjpeg_encoder").NvjpegEncoder
    return lambda stream=gpu.stream, **setup: cls(setup_of(**setup), stream, jpeg_planes_of(gpu))


@pytest.fixture
def encode(gpu, tags_of):
    """Return a function that lets an encoder code drawn content: NV12 [n, 3H/2, W] or RGB [n, H, W, 3]."""

    def run(encoder, content, first=0):
        is_rgb = content.ndim == 4
        canvas = encoder.canvas(gpu.like(*encoder.size_hw, count=len(content), rgb=is_rgb))
        gpu.draw(canvas, content)
        return encoder.encode(canvas, tags_of(range(first, first + len(content))))

    return run


def payloads_of(gpu, kind, size_hw, quality, pictures, first=0):
    return [
        gpu.jpeg.jpeg(kind, size_hw, quality, picture.tobytes(), first + number)
        for number, picture in enumerate(pictures)
    ]


def random_rgb(count, height=5, width=7):
    return np.random.default_rng(count).integers(0, 256, (count, height, width, 3), np.uint8)


def test_rgb_pictures_of_odd_size_are_coded_as_they_lie(gpu, encoder_of, encode, tags_of):
    content = random_rgb(3)

    encoded = encode(encoder_of(height=5, width=7, quality=80), content)

    expected = payloads_of(gpu, "rgb", (5, 7), 80, content)
    assert [frame.payload for frame in encoded] == expected
    assert all(type(frame.payload) is bytes for frame in encoded)
    assert [frame.tag for frame in encoded] == tags_of(range(3))
    assert all(frame.is_keyframe for frame in encoded)
    assert gpu.torch.pinned == [0, sum(map(len, expected))]


def test_nv12_pictures_go_through_the_callable_as_planes(gpu, encoder_of, encode):
    content = np.random.default_rng(3).integers(0, 256, (2, 6, 6), np.uint8)

    encoded = encode(encoder_of(height=4, width=6, quality=95), content)

    planes = planar(content[:, :4], content[:, 4:].reshape(2, 2, 3, 2))
    assert [frame.payload for frame in encoded] == payloads_of(gpu, "yuv", (4, 6), 95, planes)


def test_a_group_is_started_as_a_whole_and_states_are_used_again(gpu, encoder_of, encode):
    encoder = encoder_of(height=5, width=7)
    assert gpu.jpeg.made.count("state") == 1

    encode(encoder, random_rgb(3))
    assert gpu.jpeg.most_busy == 3
    encode(encoder, random_rgb(2), 3)

    assert gpu.jpeg.made.count("state") == 3


def test_more_pictures_than_states_come_out_in_order(gpu, encoder_of, encode, tags_of):
    content = random_rgb(19)

    encoded = encode(encoder_of(height=5, width=7), content)

    assert [frame.payload for frame in encoded] == payloads_of(gpu, "rgb", (5, 7), 90, content)
    assert [frame.tag for frame in encoded] == tags_of(range(19))
    assert gpu.jpeg.made.count("state") == 8


def test_host_memory_is_kept_and_only_grows(gpu, encoder_of, encode):
    encoder = encoder_of(height=5, width=7)
    first, second = random_rgb(3), random_rgb(1)

    kept = encode(encoder, first)[0]
    encoded = encode(encoder, second, 3)

    assert [frame.payload for frame in encoded] == payloads_of(gpu, "rgb", (5, 7), 90, second, 3)
    assert kept.payload == payloads_of(gpu, "rgb", (5, 7), 90, first)[0]
    assert len(gpu.torch.pinned) == 2


def test_sessions_share_the_handle_and_work_on_their_own_streams(gpu, encoder_of, encode):
    encoders = []
    for number in range(3):
        gpu.stream = gpu.torch.cuda.Stream()
        encoders.append(encoder_of(gpu.stream, height=4, width=4))
        content = np.full((1, 4, 4, 3), 10 + number, np.uint8)

        (frame,) = encode(encoders[-1], content)

        assert frame.payload == payloads_of(gpu, "rgb", (4, 4), 90, content, number)[0]
    assert gpu.jpeg.kinds_alive() == ["handle", *["params"] * 3, *["state"] * 3]
    assert len(gpu.jpeg.loaded) == 1


def test_pictures_of_another_stream_are_waited_for(gpu, encoder_of, tags_of):
    encoder = encoder_of(height=4, width=4)
    canvas = encoder.canvas(gpu.like(4, 4, rgb=True))
    writer = gpu.torch.cuda.Stream()
    writer.enqueue(lambda: canvas.owner.array.fill(5))
    pictures = gpu.pictures.DevicePictures(canvas.pictures.planes, ready=gpu.pictures.record_event(writer))

    (frame,) = encoder.encode(type(canvas)(pictures, canvas.owner), tags_of([0]))

    assert frame.payload == payloads_of(gpu, "rgb", (4, 4), 90, np.full((1, 4, 4, 3), 5, np.uint8))[0]


def test_it_says_what_it_makes_and_takes_no_masks(encoder_of, tags_of):
    encoder = encoder_of()

    assert (encoder.name, encoder.codec, encoder.extradata, encoder.takes_mask) == ("nvjpeg", "mjpeg", b"", False)
    assert encoder.size_hw == (64, 96)
    assert encoder.flush() == []
    with pytest.raises(TypeError):
        encoder.encode_masks(None, tags_of([0]))


def test_closing_releases_all_but_the_handle(gpu, encoder_of, encode):
    encoder = encoder_of(height=5, width=7)
    encode(encoder, random_rgb(3))

    encoder.close()
    encoder.close()

    assert gpu.jpeg.kinds_alive() == ["handle"]


def test_what_nobody_closed_is_released_all_the_same(gpu, encoder_of, encode):
    encode(encoder_of(height=5, width=7), random_rgb(3))
    gc.collect()

    assert gpu.jpeg.kinds_alive() == ["handle"]


def test_a_failure_to_release_is_only_told(gpu, encoder_of, caplog):
    encoder = encoder_of()
    gpu.jpeg.failures["nvjpegEncoderStateDestroy"] = 6

    encoder.close()

    assert "nvjpegEncoderStateDestroy failed: EXECUTION_FAILED (6)" in caplog.text
    assert gpu.jpeg.kinds_alive() == ["handle", "state"]


@pytest.mark.parametrize("name", ["nvjpegEncodeImage", "nvjpegEncodeRetrieveBitstream"])
def test_a_failure_to_code_tells_call_and_status(gpu, encoder_of, encode, name):
    encoder = encoder_of(height=5, width=7)
    gpu.jpeg.failures[name] = 6

    with pytest.raises(gpu.module("nvjpeg").NvjpegError, match=rf"{name} failed: EXECUTION_FAILED \(6\)") as caught:
        encode(encoder, random_rgb(1))

    assert caught.value.status == 6
    assert not isinstance(caught.value, MemoryError)


def test_full_memory_is_a_memory_error(gpu, encoder_of, encode):
    encoder = encoder_of(height=5, width=7)
    gpu.jpeg.failures["nvjpegEncoderStateCreate"] = 5

    with pytest.raises(MemoryError) as caught:
        encode(encoder, random_rgb(2))

    assert isinstance(caught.value, gpu.module("nvjpeg").NvjpegError)


@pytest.mark.parametrize(
    "name",
    [
        "nvjpegEncoderParamsCreate",
        "nvjpegEncoderParamsSetQuality",
        "nvjpegEncoderParamsSetSamplingFactors",
        "nvjpegEncoderParamsSetOptimizedHuffman",
        "nvjpegEncoderStateCreate",
    ],
)
def test_a_failure_at_opening_leaves_nothing_behind(gpu, encoder_of, name):
    gpu.jpeg.failures[name] = 77

    with pytest.raises(gpu.module("nvjpeg").NvjpegError, match=rf"{name} failed: unknown status \(77\)") as caught:
        encoder_of()

    del caught
    gc.collect()
    assert gpu.jpeg.kinds_alive() == ["handle"]


def test_without_a_device_the_next_session_tries_again(gpu, encoder_of):
    gpu.jpeg.failures["nvjpegCreateSimple"] = 6
    with pytest.raises(gpu.module("nvjpeg").NvjpegError, match="nvjpegCreateSimple"):
        encoder_of()

    gpu.jpeg.failures.clear()

    assert encoder_of().name == "nvjpeg"


# ------------------------------------------------------------------ the library


def test_a_missing_library_is_told(gpu, encoder_of):
    gpu.jpeg.places.clear()

    with pytest.raises(gpu.module("nvjpeg").NvjpegError, match="library was not found") as caught:
        encoder_of()

    assert caught.value.status is None


def test_a_library_that_lacks_a_function_is_refused(gpu, encoder_of):
    del gpu.jpeg.nvjpegEncodeYUV

    with pytest.raises(gpu.module("nvjpeg").NvjpegError, match="nvjpegEncodeYUV"):
        encoder_of()


@pytest.fixture
def packages(gpu, tmp_path, monkeypatch):
    """A folder of packages, in which torchvision and NVIDIA's wheels bring the library."""
    bundled = tmp_path / "torchvision.libs" / "libnvjpeg.36e11081.so.13"
    wheels = [tmp_path / "nvidia" / name / "lib" / "libnvjpeg.so.13" for name in ("cu13", "nvjpeg")]
    for path in (bundled, *wheels, tmp_path / "torchvision" / "__init__.py"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("torchvision", "nvidia"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return list(map(str, (bundled, *wheels)))


@pytest.mark.parametrize("first", [0, 1, 2])
def test_the_library_of_torchvision_is_preferred_to_wheels_and_those_to_the_system_s(gpu, encoder_of, packages, first):
    gpu.jpeg.places.update(packages[first:])

    encoder_of()

    assert gpu.jpeg.loaded == [packages[first]]
    assert "torchvision" not in sys.modules


@pytest.mark.parametrize("place", ["libnvjpeg.so.12", "/usr/local/cuda/lib64/libnvjpeg.so.13"])
def test_cuda_s_own_library_will_do(gpu, encoder_of, place):
    gpu.jpeg.places = {place}

    encoder_of()

    assert gpu.jpeg.loaded == [place]
