import pytest
from nvdec_on_numpy import fake_gpu


@pytest.fixture
def gpu():
    with fake_gpu() as gpu:
        yield gpu
