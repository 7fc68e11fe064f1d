import numpy as np
import pytest


def planar_of(gpu):
    """A stand-in for the colour kernel, on the current stream: luma as red, chroma doubled as green and blue."""

    def convert(pictures):
        luma, chroma = (plane.array for plane in pictures.planes)
        count, height, width, _ = luma.shape
        result = gpu.torch.Tensor(np.zeros((count, 3, height, width), np.uint8))

        def run():
            result.array[:, 0] = luma[..., 0]
            result.array[:, 1:] = chroma.repeat(2, 1).repeat(2, 2).transpose(0, 3, 1, 2)

        type(gpu.torch).current.enqueue(run)
        return result

    return convert


@pytest.fixture
def encoder_of(gpu, setup_of):
    cls = gpu.module("nvjpeg_encoder").NvjpegEncoder
    return lambda stream=gpu.stream, **setup: cls(setup_of(**setup), stream, planar_of(gpu))


def payloads_of(planar, quality):
    """What the fake encoder makes of pictures [n, 3, H, W]: a byte less each, so that no two lengths are equal."""
    whole = [f"q{quality}:".encode() + picture.tobytes() for picture in planar]
    return [content[: len(content) - number] for number, content in enumerate(whole)]


def test_rgb_pictures_of_odd_size_are_split_again_after_one_download(gpu, encoder_of, tags_of):
    encoder = encoder_of(height=5, width=7, quality=80)
    content = np.random.default_rng(2).integers(0, 256, (3, 5, 7, 3), np.uint8)
    canvas = encoder.canvas(gpu.like(5, 7, count=3, rgb=True))
    gpu.draw(canvas, content)
    tags = tags_of(range(3))

    encoded = encoder.encode(canvas, tags)

    expected = payloads_of(content.transpose(0, 3, 1, 2), 80)
    assert [frame.payload for frame in encoded] == expected
    assert [frame.tag for frame in encoded] == tags
    assert all(frame.is_keyframe for frame in encoded)
    assert gpu.jpeg.calls == [(3, 80)]
    assert gpu.torch.pinned == [0, sum(map(len, expected))]


def test_nv12_pictures_go_through_the_callable(gpu, encoder_of, tags_of):
    encoder = encoder_of(height=4, width=6, quality=95)
    content = np.random.default_rng(3).integers(0, 256, (2, 6, 6), np.uint8)
    canvas = encoder.canvas(gpu.like(4, 6, count=2))
    gpu.draw(canvas, content)

    encoded = encoder.encode(canvas, tags_of([7, 8]))

    planar = np.empty((2, 3, 4, 6), np.uint8)
    planar[:, 0] = content[:, :4]
    planar[:, 1:] = content[:, 4:].reshape(2, 2, 3, 2).repeat(2, 1).repeat(2, 2).transpose(0, 3, 1, 2)
    assert [frame.payload for frame in encoded] == payloads_of(planar, 95)


def test_sessions_on_different_streams_do_not_read_each_other_s_unfinished_work(gpu, encoder_of, tags_of):
    for number in range(3):
        gpu.stream = gpu.torch.cuda.Stream()
        encoder = encoder_of(gpu.stream, height=4, width=4)
        content = np.full((1, 4, 4, 3), 10 + number, np.uint8)
        canvas = encoder.canvas(gpu.like(4, 4, rgb=True))
        gpu.draw(canvas, content)

        (frame,) = encoder.encode(canvas, tags_of([number]))

        assert frame.payload == payloads_of(content.transpose(0, 3, 1, 2), 90)[0]


def test_pictures_of_another_stream_are_waited_for(gpu, encoder_of, tags_of):
    encoder = encoder_of(height=4, width=4)
    canvas = encoder.canvas(gpu.like(4, 4, rgb=True))
    writer = gpu.torch.cuda.Stream()
    writer.enqueue(lambda: canvas.owner.array.fill(5))
    pictures = gpu.pictures.DevicePictures(canvas.pictures.planes, ready=gpu.pictures.record_event(writer))

    (frame,) = encoder.encode(type(canvas)(pictures, canvas.owner), tags_of([0]))

    assert frame.payload == payloads_of(np.full((1, 3, 4, 4), 5, np.uint8), 90)[0]


def test_it_says_what_it_makes_and_takes_no_masks(encoder_of, tags_of):
    encoder = encoder_of()

    assert (encoder.name, encoder.codec, encoder.extradata, encoder.takes_mask) == ("nvjpeg", "mjpeg", b"", False)
    assert encoder.size_hw == (64, 96)
    assert encoder.flush() == []
    with pytest.raises(TypeError):
        encoder.encode_masks(None, tags_of([0]))
