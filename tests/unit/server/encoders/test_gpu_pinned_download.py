import importlib

import numpy as np
import pytest


@pytest.fixture
def download(gpu):
    return importlib.import_module("segtriton_server.device.pinned_download").PinnedDownload(gpu.stream)


def tensor_of(gpu, content):
    return gpu.torch.Tensor(np.array(content, np.uint8))


def test_what_the_stream_wrote_before_arrives(gpu, download):
    tensor = tensor_of(gpu, [[0, 0], [0, 0]])
    gpu.stream.enqueue(lambda: np.copyto(tensor.array, np.array([[1, 2], [3, 4]], np.uint8)))

    assert download.fetch(tensor).tolist() == [[1, 2], [3, 4]]


def test_the_copy_runs_on_its_own_stream_only(gpu, download):
    gpu.torch.default.enqueue(lambda: pytest.fail("nobody asked for the current stream"))

    assert download.fetch(tensor_of(gpu, [5])).tolist() == [5]


def test_host_memory_is_page_locked_and_grows_only(gpu, download):
    for size in (4, 6, 2, 6, 5):
        content = np.arange(size)
        assert download.fetch(tensor_of(gpu, content)).tolist() == content.tolist()

    assert gpu.torch.pinned == [0, 4, 6]


def test_other_types_are_refused(gpu, download):
    with pytest.raises(TypeError, match="bytes"):
        download.fetch(gpu.torch.Tensor(np.zeros(3, np.float32)))
