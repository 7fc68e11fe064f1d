import zlib

import numpy as np
import pytest


@pytest.fixture
def encoder(gpu, setup_of):
    return gpu.module("device_mask_encoder").DeviceMaskEncoder(setup_of(), gpu.stream)


def test_each_mask_of_a_group_becomes_a_zlib_stream_of_its_own(gpu, encoder, tags_of):
    content = np.random.default_rng(1).integers(0, 256, (3, 16, 24), np.uint8)
    tensor = gpu.torch.Tensor(np.zeros_like(content))
    writer = gpu.torch.cuda.Stream()
    writer.enqueue(lambda: np.copyto(tensor.array, content))
    masks = gpu.pictures.DeviceMasks(tensor, gpu.pictures.record_event(writer))
    tags = tags_of(range(3))

    encoded = encoder.encode_masks(masks, tags)

    assert [frame.tag for frame in encoded] == tags
    assert [zlib.decompress(frame.payload) for frame in encoded] == [mask.tobytes() for mask in content]
    assert all(frame.is_keyframe for frame in encoded)
    assert encoder.flush() == []


def test_a_group_is_one_download(gpu, encoder, tags_of):
    encoder.encode_masks(gpu.pictures.DeviceMasks(gpu.torch.Tensor(np.zeros((5, 16, 24), np.uint8))), tags_of(range(5)))

    assert gpu.torch.pinned == [0, 5 * 16 * 24]


def test_it_says_what_it_makes_and_takes_no_pictures(gpu, encoder, tags_of):
    assert (encoder.name, encoder.codec, encoder.extradata) == ("mask", "rawmask_zlib", b"")
    assert encoder.size_hw == (16, 24)
    assert encoder.takes_mask
    with pytest.raises(TypeError):
        encoder.canvas(gpu.like(64, 96))
    with pytest.raises(TypeError):
        encoder.encode(None, tags_of([0]))
