import os
import sys
from pathlib import Path

from segtriton_server.launch.environment import triton_environment
from segtriton_server.launch.installation import libpython_folder
from segtriton_server.launch.settings import LaunchSettings

SETTINGS = LaunchSettings(model_repository=Path("models"))


def test_this_python_comes_first_on_path() -> None:
    environment = triton_environment(SETTINGS, {"PATH": "/usr/bin"})

    assert environment["PATH"] == f"{Path(sys.executable).parent}:/usr/bin"
    assert environment["SEGTRITON_PYTHON"] == sys.executable


def test_libpython_of_this_python_is_found_before_the_systems() -> None:
    environment = triton_environment(SETTINGS, {"LD_LIBRARY_PATH": "/elsewhere"})

    folders = environment["LD_LIBRARY_PATH"].split(os.pathsep)
    assert folders == [str(folder) for folder in (libpython_folder(), "/elsewhere") if folder]


def test_a_library_gets_one_thread_unless_the_user_says_otherwise() -> None:
    environment = triton_environment(SETTINGS, {"OMP_NUM_THREADS": "3"})

    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["OPENBLAS_NUM_THREADS"] == "1"


def test_what_would_mislead_the_stub_is_left_out() -> None:
    assert "PYTHONHOME" not in triton_environment(SETTINGS, {"PYTHONHOME": "/elsewhere"})


def test_the_networks_are_named_by_an_absolute_path() -> None:
    settings = LaunchSettings(model_repository=Path("models"), networks=Path("networks"))

    assert triton_environment(settings, {})["SEGTRITON_NETWORKS"] == str(Path.cwd() / "networks")
    assert "SEGTRITON_NETWORKS" not in triton_environment(SETTINGS, {})


def test_the_settings_have_the_last_word() -> None:
    settings = LaunchSettings(model_repository=Path("models"), environment={"OMP_NUM_THREADS": "2"})

    assert triton_environment(settings, {"OMP_NUM_THREADS": "3"})["OMP_NUM_THREADS"] == "2"
