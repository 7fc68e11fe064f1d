"""segops models on a real cluster: a release that moves from its image's models to a claim's, and gets new ones."""

import shutil
from pathlib import Path

import pytest
from client_pods import add_claim, pod, run_in_a_pod
from lab.kubernetes import Json, Kubectl
from lab.settings import REPOSITORY
from operators import Hire, Operator
from release import NAME, Release, name_of
from streams import CLIP, Clip, Streams, check_all

MODELS = [REPOSITORY / "triton_models" / name for name in ("selfie", "selfie_streaming")]


@pytest.fixture
def second_version(tmp_path: Path) -> Path:
    """The streaming model with one more version, which is the first again."""
    model = tmp_path / "selfie_streaming"
    shutil.copytree(MODELS[1], model)
    shutil.copytree(model / "1", model / "2")
    return model


def served(operator: Operator) -> dict[str, Json]:
    """What `models list` tells of each model, of the newest pod."""
    return {one["model"]: one for one in operator("-o", "json", "models", "list").check().result}


def results(operator: Operator, *sources: Path) -> dict[str, str]:
    """What `models verify` tells of each file."""
    return {one["file"]: one["result"] for one in operator("-o", "json", "models", "verify", *sources).result}


def test_models_are_pushed_beside_those_that_pods_serve(
    release: Release,
    streams: Streams,
    camera: Clip,
    hire: Hire,
    here: Kubectl,
    empty_claim: str,
    server_image: str,
    second_version: Path,
) -> None:
    release.install()
    look, push = hire("models"), hire("models-push")
    assert {name: (one["serves"], one["versions"]) for name, one in served(look).items()} == {
        "selfie": ([1], [1]),
        "selfie_streaming": ([1], [1]),
        "fcn_resnet101": ([], [1]),
        "fcn_resnet101_streaming": ([], [1]),
    }
    networks = {file for file, result in results(look).items() if result == "ok"}
    assert networks == {"selfie_segmentation.tflite", "selfie_segmentation_landscape.tflite"}
    nowhere = push("models", "push", MODELS[0])
    assert nowhere.status == 1
    assert "modelRepository.type=pvc, or name a --claim" in nowhere.errors

    where = ("--claim", empty_claim, "--folder", "live")
    planned = push("--dry-run", "-o", "json", "models", "push", *MODELS, *where).check().result
    assert (planned["pushed"], planned["dry_run"]) == (["selfie", "selfie_streaming"], True)
    pushed = push("-o", "json", "models", "push", *MODELS, *where).check().result
    assert pushed["pushed"] == ["selfie", "selfie_streaming"], "the dry run had left nothing"
    release.upgrade(modelRepository={"type": "pvc", "subPath": "live", "pvc": {"existingClaim": empty_claim}})
    release.wait_for_ready_pods(1)
    assert {result for result in results(look).values()} == {"ok"}

    running = streams.start(release.address, camera, count=1)
    release.wait_for_sessions(1)
    assert push("-o", "json", "models", "push", second_version).check().result["pushed"] == ["selfie_streaming/2"]
    assert not here.items("pods", "-l", "app.kubernetes.io/component=push"), "nothing of it is left"
    streaming = served(look)["selfie_streaming"]
    assert (streaming["serves"], streaming["versions"]) == ([1], [1, 2])
    assert check_all(running) == [0], "the session did not notice"
    here("rollout", "restart", f"deployment/{NAME}")
    here("rollout", "status", f"deployment/{NAME}", "--timeout=90s")
    release.wait_for_ready_pods(1)
    assert served(look)["selfie_streaming"]["serves"] == [2]
    streams.start(release.address, CLIP)[0].check()

    (second_version / "1" / "model.py").write_text("raise SystemExit")
    refused = push("models", "push", second_version)
    assert refused.status == 1
    assert "version 1 of selfie_streaming is there with other files" in refused.errors
    assert set(results(look).values()) == {"ok"}

    spoiler = pod("spoiler", server_image, "sh", "-c", "echo >> /models/live/selfie_streaming/2/model.py")
    add_claim(spoiler, empty_claim, "/models")
    run_in_a_pod(here, spoiler)
    found = look("models", "verify")
    assert found.status == 1
    assert "1 files are changed" in found.errors
    assert results(look)["selfie_streaming/2/model.py"] == "changed"


def test_models_of_the_image_are_verified_against_a_folder_here(
    release: Release, hire: Hire, second_version: Path
) -> None:
    release.install()
    look = hire("models")
    good = look("models", "verify", *MODELS)
    assert good.status == 0
    assert "fcn_resnet101/config.pbtxt" in good.text
    (second_version / "config.pbtxt").write_text("another")
    bad = results(look, second_version)
    assert (bad["selfie_streaming/config.pbtxt"], bad["selfie_streaming/1/model.py"]) == ("changed", "ok")
    assert bad["selfie_streaming/2/model.py"] == "missing"
    assert name_of(release.pods()[0]) in look("models", "list").check().text
