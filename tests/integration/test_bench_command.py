"""`segclient bench` against a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from segtriton_server.launch import TritonProcess

SEGCLIENT = Path(sys.executable).with_name("segclient")
CLIP = Path(__file__).parents[2] / ".assets" / "clips" / "carphone_pristine.mp4"


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(part) for part in (SEGCLIENT, *arguments)]
    known = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, timeout=55, check=False, env=known)


@pytest.mark.parametrize("way", [[], ["--live"]], ids=["flat-out", "live"])
def test_figures_come_as_table_json_and_page(server: TritonProcess, tmp_path: Path, way: list[str]) -> None:
    files = ("--json", tmp_path / "bench.json", "--html", tmp_path / "bench.html")
    how = ("--sessions", "1,2", "--seconds", 1, "--effect", "mask", "--preset", "ultrafast")
    done = run("bench", CLIP, "--endpoint", server.grpc_address, *how, *way, *files)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    content = json.loads((tmp_path / "bench.json").read_text())
    assert content["conditions"]["clip"].startswith("carphone_pristine.mp4: h264, 176x144")
    assert [point["sessions"] for point in content["points"]] == [1, 2]
    for point in content["points"]:
        assert point["frames_per_second"] > 0
        assert 0 < point["latency_ms"]["p50"] <= point["latency_ms"]["p95"] <= point["latency_ms"]["p99"]
        assert set(point["stages"]) == {"decode", "preprocess", "network", "matte", "compose", "encode"}
        assert not point["dropped"]
    assert len(done.stdout.splitlines()) == 3
    assert (tmp_path / "bench.html").read_text().count("<svg") == 3


def test_more_sessions_than_slots_are_an_error_of_one_line(small_server: TritonProcess) -> None:
    done = run("bench", CLIP, "--endpoint", small_server.grpc_address, "--sessions", "3", "--seconds", 1)
    assert done.returncode == 1
    assert "RESOURCE_EXHAUSTED" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_is_no_list_of_numbers_is_wrong_usage() -> None:
    done = run("bench", CLIP, "--sessions", "1,many")
    assert done.returncode == 2
    assert "1,2,4" in done.stderr


def test_bash_completes_commands_and_options() -> None:
    assert "_SEGCLIENT_COMPLETE" in run("completion", "bash").stdout
    words = run(_SEGCLIENT_COMPLETE="bash_complete", COMP_WORDS="segclient do", COMP_CWORD="1")
    assert "doctor" in words.stdout
    options = run(_SEGCLIENT_COMPLETE="bash_complete", COMP_WORDS="segclient bench --enc", COMP_CWORD="2")
    assert "--encoder" in options.stdout
    short = run(_SEGCLIENT_COMPLETE="bash_complete", COMP_WORDS="segclient -sv --eff", COMP_CWORD="2")
    assert "--effect" in short.stdout


def test_bash_takes_the_script() -> None:
    script = f'PATH={SEGCLIENT.parent}:$PATH; eval "$(segclient completion bash)"; complete -p segclient'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert "_segclient_completion segclient" in done.stdout, done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script_and_words(shell: str) -> None:
    assert "_SEGCLIENT_COMPLETE" in run("completion", shell).stdout
    asked = {"_SEGCLIENT_COMPLETE": f"{shell}_complete", "COMP_WORDS": "segclient do", "COMP_CWORD": "1"}
    if shell == "fish":
        asked["COMP_CWORD"] = "do"
    assert "doctor" in run(**asked).stdout
