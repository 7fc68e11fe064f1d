from pathlib import Path

import pytest

from segtriton_protocol import BACKGROUND_MEMORY_BYTES
from segtriton_server.settings import InvalidSettingError, Settings, num_cores


def test_without_anything_the_defaults_hold() -> None:
    assert Settings.load({}, {}) == Settings()


def test_the_environment_wins_over_the_models_parameters() -> None:
    parameters = {"stream_slots": "4", "network": "selfie_square"}
    settings = Settings.load(parameters, {"SEGTRITON_STREAM_SLOTS": "7", "STREAM_SLOTS": "9"})

    assert settings.stream_slots == 7
    assert settings.network == "selfie_square"


def test_a_gpu_has_defaults_of_its_own_and_what_is_set_wins() -> None:
    on_gpu = Settings.load({"accelerator": "cpu", "frames_in_flight": "8"}, {"SEGTRITON_ACCELERATOR": "gpu"})

    assert (on_gpu.batch_size, on_gpu.stream_slots, on_gpu.start_timeout) == (32, 64, 300.0)
    assert on_gpu.frames_in_flight == 8
    assert Settings.load({"accelerator": "cpu"}, {}) == Settings()


def test_every_type_is_read() -> None:
    environment = {
        "SEGTRITON_NETWORKS": "/networks",
        "SEGTRITON_WORKERS": "3",
        "SEGTRITON_IDLE_TIMEOUT": "2.5",
        "SEGTRITON_LOG_JSON": "True",
        "SEGTRITON_POD": "pod-0",
    }
    settings = Settings.load({}, environment)

    assert settings.networks == Path("/networks")
    assert settings.workers == settings.num_workers == 3
    assert settings.idle_timeout == 2.5
    assert settings.log_json is True
    assert settings.pod == "pod-0"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("workers", "many"),
        ("workers", "-1"),
        ("workers", "1.5"),
        ("idle_timeout", "-0.1"),
        ("idle_timeout", "nan"),
        ("idle_timeout", ""),
        ("idle_timeout", "inf"),
        ("log_json", "perhaps"),
        ("accelerator", "cuda"),
    ],
)
def test_a_value_of_another_kind_names_setting_and_variable(name: str, text: str) -> None:
    with pytest.raises(InvalidSettingError, match=f"{name} .*SEGTRITON_{name.upper()}"):
        Settings.load({name: text}, {})


@pytest.mark.parametrize(
    ("name", "text", "choices"),
    [
        ("accelerator", "cuda", "cpu, gpu"),
        ("inference_backend", "onnx", "pytorch, tensorrt"),
        ("confinement", "on", "auto, full, off"),
        ("log_level", "loud", "debug, info, warning, error"),
        ("mps", "yes", "true, 1, false, 0"),
    ],
)
def test_a_choice_that_there_is_not_gets_the_list(name: str, text: str, choices: str) -> None:
    with pytest.raises(InvalidSettingError, match=f"one of {choices}, not '{text}'"):
        Settings.load({}, {f"SEGTRITON_{name.upper()}": text})


def test_choices_are_read_in_any_case() -> None:
    settings = Settings.load({}, {"SEGTRITON_LOG_LEVEL": "debug", "SEGTRITON_ACCELERATOR": "GPU"})

    assert (settings.log_level, settings.accelerator) == ("DEBUG", "gpu")


def test_threads_and_workers_follow_the_cores() -> None:
    settings = Settings()

    assert settings.num_workers == max(2, num_cores() // 2)
    assert 2 <= settings.num_decoder_threads <= 4
    assert Settings(decoder_threads=9).num_decoder_threads == 9


def test_a_background_may_take_what_clients_believe() -> None:
    assert Settings().background_bytes == BACKGROUND_MEMORY_BYTES
