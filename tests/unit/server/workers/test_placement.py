import pytest

from segtriton_server.device.driver import NoDeviceError, visible_devices
from segtriton_server.settings import Settings
from segtriton_server.workers.placement import place_workers


def test_workers_on_the_cpu_see_what_the_server_sees() -> None:
    settings, environments = place_workers(Settings(workers=3))

    assert settings.workers == 3
    assert environments == [{}, {}, {}]


def test_workers_take_turns_between_gpus() -> None:
    settings, environments = place_workers(Settings(accelerator="gpu", workers_per_gpu=2), ["0", "1"])

    assert settings.num_workers == 4
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["0", "1", "0", "1"]


def test_a_number_of_workers_that_was_set_holds_for_gpus_too() -> None:
    _, environments = place_workers(Settings(accelerator="gpu", workers=1), ["GPU-a", "GPU-b"])

    assert environments == [{"CUDA_VISIBLE_DEVICES": "GPU-a"}]


def test_a_machine_without_a_driver_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(name: str) -> object:
        raise OSError(name)

    monkeypatch.setattr("ctypes.CDLL", no_library)
    with pytest.raises(NoDeviceError, match="driver"):
        visible_devices()
