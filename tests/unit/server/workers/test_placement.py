import pytest

from segtriton_server.device.driver import Device, NoDeviceError, visible_devices
from segtriton_server.settings import Settings
from segtriton_server.workers.placement import place_workers


def gpus(*names: str, gib: int = 80) -> list[Device]:
    return [Device(name, gib << 30) for name in names]


def test_workers_on_the_cpu_see_what_the_server_sees() -> None:
    settings, environments = place_workers(Settings(workers=3))

    assert settings.workers == 3
    assert environments == [{}, {}, {}]


def test_workers_take_turns_between_gpus() -> None:
    settings, environments = place_workers(Settings(accelerator="gpu", workers_per_gpu=2), devices=gpus("0", "1"))

    assert settings.num_workers == 4
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == ["0", "1", "0", "1"]


def test_a_number_of_workers_that_was_set_holds_for_gpus_too() -> None:
    _, environments = place_workers(Settings(accelerator="gpu", workers=1), devices=gpus("GPU-a", "GPU-b"))

    assert environments == [{"CUDA_VISIBLE_DEVICES": "GPU-a"}]


def test_a_machine_without_a_driver_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_library(name: str) -> object:
        raise OSError(name)

    monkeypatch.setattr("ctypes.CDLL", no_library)
    with pytest.raises(NoDeviceError, match="driver"):
        visible_devices()


@pytest.mark.parametrize(
    ("side_by_side", "gib", "workers"), [(True, 80, 4), (False, 80, 2), (True, 16, 3), (True, 4, 1)]
)
def test_as_many_workers_as_the_gpu_holds(side_by_side: bool, gib: int, workers: int) -> None:
    settings, _ = place_workers(Settings(accelerator="gpu"), side_by_side=side_by_side, devices=gpus("0", gib=gib))

    assert settings.num_workers == workers
