"""Reads what the images are made of; `make images` builds them."""

import json
import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from segtriton_server.launch.settings import LaunchSettings
from segtriton_server.launch.triton_process import build_command

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ("server", "server-cpu", "client", "ops")
LOCKS = {
    "images/wheels.lock": ("protocol", "server", "client", "operator_scripts"),
    "images/client/requirements.lock": ("client",),
    "images/ops/requirements.lock": ("operator_scripts",),
    "images/server-cpu/requirements.lock": ("server",),
    "server/gpu.lock": ("server",),
}
MODELS = {"server": "fcn_resnet101", "server-cpu": "selfie"}


def read_instructions(image: str) -> list[tuple[str, str]]:
    text = (ROOT / "images" / image / "Dockerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", "")
    lines = [line.partition(" ") for line in text.splitlines() if line.strip()]
    return [(name, " ".join(rest.split())) for name, _, rest in lines]


def of_kind(image: str, kind: str) -> list[str]:
    return [rest for name, rest in read_instructions(image) if name == kind]


def read_lock(path: str) -> dict[str, set[str]]:
    """The versions of each package; different Pythons may get different ones."""
    versions: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([^ ;\\]+)", (ROOT / path).read_text(), flags=re.MULTILINE):
        versions.setdefault(canonicalize_name(name), set()).add(version)
    return versions


@pytest.mark.parametrize("image", IMAGES)
def test_every_stage_is_built_on_the_base_that_was_named(image: str) -> None:
    assert re.fullmatch(r"BASE_IMAGE=\S+:\S+", of_kind(image, "ARG")[0])
    stages = {"${BASE_IMAGE}"}
    for stage in of_kind(image, "FROM"):
        base, _, name = stage.partition(" AS ")
        assert base in stages
        stages.add(name)
    assert of_kind(image, "FROM")[-1] == "${BASE_IMAGE}"


@pytest.mark.parametrize("image", IMAGES)
def test_it_runs_as_an_ordinary_user_and_leaves_probes_to_the_chart(image: str) -> None:
    assert of_kind(image, "USER") == ["1000:1000"]
    assert not of_kind(image, "HEALTHCHECK")
    assert len(json.loads(of_kind(image, "ENTRYPOINT")[0])) == 1


@pytest.mark.parametrize("image", IMAGES)
def test_whatever_is_installed_is_pinned_by_hash_or_built_here(image: str) -> None:
    commands = [command.strip() for run in of_kind(image, "RUN") for command in run.split("&&")]
    for command in commands:
        assert "apt-get" not in command
        if re.search(r"\bpip .*\b(install|wheel|download)\b", command):
            assert "--require-hashes" in command or "--no-index" in command, command


@pytest.mark.parametrize("image", IMAGES)
def test_nothing_of_a_site_stays_in_it(image: str) -> None:
    text = (ROOT / "images" / image / "Dockerfile").read_text()
    assert "://" not in text
    assert not re.search(r"index-url|PIP_(INDEX|EXTRA|CERT|TRUSTED|FIND)|_proxy", text, flags=re.IGNORECASE)


@pytest.mark.parametrize("image", MODELS)
def test_it_serves_with_the_arguments_that_the_launcher_gives(image: str) -> None:
    models = (MODELS[image], f"{MODELS[image]}_streaming")
    settings = LaunchSettings(Path("/opt/segtriton/models"), models, exit_timeout_seconds=30)
    launched = build_command(Path("tritonserver"), Path("backends"), settings)[1:]
    given_by_the_image = re.compile("--(backend-directory|(grpc|http|metrics)-(address|port))=")
    expected = {argument for argument in launched if not given_by_the_image.match(argument)}
    extra = {"--allow-gpu-metrics=false"} if image == "server-cpu" else set()
    assert set(json.loads(of_kind(image, "CMD")[0])) == expected | extra


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_only_hashes_and_no_address(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert not re.search(r"^-", text, flags=re.MULTILINE)
    for entry in re.split(r"\n(?=\S)", text.strip()):
        assert "==" in entry
        assert "--hash=sha256:" in entry


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_has_what_the_distributions_ask_for(lock: str) -> None:
    locked = read_lock(lock)
    for distribution in LOCKS[lock]:
        project = tomllib.loads((ROOT / distribution / "pyproject.toml").read_text())
        wanted = list(project["build-system"]["requires"])
        if lock != "images/wheels.lock":
            wanted = [*project["project"]["dependencies"]]
        if lock == "server/gpu.lock":
            wanted += project["project"]["optional-dependencies"]["gpu"]
        for requirement in map(Requirement, wanted):
            name = canonicalize_name(requirement.name)
            if not name.startswith("segtriton-"):
                assert name in locked
                assert all(version in requirement.specifier for version in locked[name])


@pytest.mark.parametrize("lock", [lock for lock in LOCKS if lock.startswith("images/")])
def test_an_image_has_the_versions_that_the_tests_run_with(lock: str) -> None:
    tested = read_lock("requirements.lock")
    assert all(versions <= tested[name] for name, versions in read_lock(lock).items())
