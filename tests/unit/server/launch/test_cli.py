import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from segtriton_server.launch.cli import parse
from segtriton_server.launch.errors import AdminKeyError

BACKGROUND = "--grpc-port=0 --http-port=0 --metrics-port=0 --model=any"


@pytest.fixture
def command(tmp_path: Path, fake_triton: Path) -> list[str]:
    """The program as a user starts it, with the stand-in for Triton on PATH."""
    (tmp_path / "any").mkdir()
    (tmp_path / "any/config.pbtxt").touch()
    program = [sys.executable, "-m", "segtriton_server.launch.cli", f"--model-repository={tmp_path}"]
    return [*program, f"--log-file={tmp_path / 'triton.log'}", *BACKGROUND.split()]


@pytest.fixture
def serving(command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    """The program in the foreground, ready."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    with process:
        assert "ready" in process.stderr.readline()
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order(serving: "subprocess.Popen[str]", number: int) -> None:
    serving.send_signal(number)

    assert serving.wait(10) == 0


def test_the_commands_status_is_the_programs(command: list[str]) -> None:
    assert subprocess.run([*command, "--", "sh", "-c", "exit 7"], check=False).returncode == 7


def test_the_command_finds_the_server(command: list[str]) -> None:
    result = subprocess.run(
        [*command, "--", "printenv", "SEGCLIENT_ENDPOINT"], capture_output=True, text=True, check=True
    )

    assert f"gRPC {result.stdout.strip()}," in result.stderr


def test_a_command_killed_by_a_signal_gives_the_shells_status(command: list[str]) -> None:
    result = subprocess.run([*command, "--", "sh", "-c", "kill -KILL $$"], check=False)

    assert result.returncode == 128 + signal.SIGKILL


def test_an_unknown_command(command: list[str]) -> None:
    result = subprocess.run([*command, "--", "no-such-command"], capture_output=True, text=True, check=False)

    assert result.returncode == 127
    assert "no-such-command cannot be run: No such file or directory" in result.stderr


def test_sigterm_reaches_the_command(command: list[str], tmp_path: Path) -> None:
    started, ended = tmp_path / "started", tmp_path / "ended"
    script = f"trap 'touch {ended}; exit 5' TERM; touch {started}; while :; do sleep 0.05; done"
    with subprocess.Popen([*command, "--", "sh", "-c", script]) as process:
        deadline = time.monotonic() + 20
        while not started.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.terminate()

    assert process.returncode == 5
    assert ended.exists()


def test_a_server_that_does_not_come_up_shows_the_end_of_its_log(command: list[str]) -> None:
    environment = {**os.environ, "FAKE_TRITON": "ends"}
    result = subprocess.run([*command, "--", "true"], capture_output=True, text=True, check=False, env=environment)

    assert result.returncode == 1
    assert result.stderr == "fake triton ends\nsegtriton-serve: Triton ended with status 3 before it was ready.\n"


def test_a_wrong_model_is_one_line(command: list[str]) -> None:
    result = subprocess.run([*command, "--model=absent"], capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert result.stderr.startswith("segtriton-serve: There is no model absent")
    assert result.stderr.count("\n") == 1


def test_options_become_settings() -> None:
    settings, command = parse(
        [
            "--model=a",
            "--model=b",
            "--address=0.0.0.0",
            "--log-level=error",
            "--triton-arg=--x=1",
            "--",
            "run",
            "--",
            "me",
        ]
    )

    assert settings.models == ("a", "b")
    assert (settings.address, settings.log_level, settings.triton_args) == ("0.0.0.0", "error", ("--x=1",))
    assert command == ["run", "--", "me"]


def test_two_dashes_without_a_command_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["--"])

    assert caught.value.code == 2
    assert "there is no command after --" in capsys.readouterr().err


def test_administrative_calls_are_shut_by_a_key_that_is_new_each_time() -> None:
    keys = {parse([])[0].admin_key for _ in range(3)}
    assert len(keys) == 3
    assert min(map(len, keys)) >= 40
    assert not any(key in repr(parse([])[0]) for key in keys)


def test_a_key_is_made_for_its_owner_alone_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "key"
    key = parse([f"--admin-key-file={path}"])[0].admin_key

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == f"{key}\n"
    assert parse([f"--admin-key-file={path}"])[0].admin_key == key


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [("key", 0o640, "chmod 600"), ("", 0o600, "must hold one key"), ("a:b=c", 0o600, "must hold one key")],
)
def test_a_key_that_others_may_read_or_that_is_none_is_refused(
    content: str, mode: int, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(AdminKeyError, match=reason):
        parse([f"--admin-key-file={path}"])


def test_a_key_that_cannot_be_made_is_one_line(command: list[str]) -> None:
    result = subprocess.run([*command, "--admin-key-file=/nowhere/key"], capture_output=True, text=True, check=False)

    assert result.returncode == 1
    assert result.stderr.startswith("segtriton-serve: /nowhere/key can hold no key (")
    assert result.stderr.count("\n") == 1
