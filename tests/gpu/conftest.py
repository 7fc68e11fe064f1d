"""The GPU, once for all tests of this folder; where there is none they fail, so that nobody takes a skip for a pass."""

import pytest
from raw_client import Clip


def pytest_configure(config: pytest.Config) -> None:
    # The GPU's libraries warn as they like, each release of another thing.
    config.addinivalue_line("filterwarnings", "default")


@pytest.fixture(scope="session", autouse=True)
def device() -> None:
    """Makes the device's context."""
    from segtriton_server.device.context import open_device
    from segtriton_server.device.driver import NoDeviceError

    try:
        open_device()
    except (NoDeviceError, RuntimeError) as error:
        pytest.fail(f"these tests need an NVIDIA GPU: {error}", pytrace=False)


@pytest.fixture(scope="session")
def kernels(device: None) -> object:
    """The pixel kernels, compiled once."""
    from segtriton_server.vision.gpu.pixel_kernels import PixelKernels

    return PixelKernels(None)


@pytest.fixture
def clip(request: pytest.FixtureRequest) -> Clip:
    """The clip whose name the test is parametrized with."""
    from gpu_clips import make_clip

    return make_clip(request.param)
