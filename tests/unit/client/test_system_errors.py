"""What the operating system refuses is told in one line, with the exit code of its side, and leaves nothing behind."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from client_clips import make_clip
from echo_service import EchoService
from segclient_process import PROGRAM, WITHOUT_PRIVILEGES, WITHOUT_SPACE, run

from segtriton_client import cli, segmentation
from segtriton_client.errors import InputError, OutputError, ServiceLostError
from segtriton_client.image_files import write_image
from segtriton_client.system_errors import reading, told_as_ours, writing

# A process for each: a minute of make test.
pytestmark = pytest.mark.whole

WAYS = pytest.mark.parametrize("way", [["-sv"], []], ids=["streamed", "frames"])
LONG = "x" * 252 + ".mp4"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a clip, an image and what cannot be read or written."""
    monkeypatch.chdir(tmp_path)
    make_clip(Path("clip.mp4"))
    write_image(np.zeros((64, 64, 3), np.uint8), Path("image.png"))
    Path("loop.mp4").symlink_to("loop.mp4")
    Path("folder.mp4").mkdir()
    Path("closed").mkdir()
    make_clip(Path("closed/clip.mp4"))
    make_clip(Path("secret.mp4")).chmod(0)
    make_clip(Path("protected.mp4")).chmod(0o444)
    Path("closed").chmod(0)
    return tmp_path


def tell(code: int, *arguments: object, **options: Any) -> str:
    """Run the command, and see it end with the code, one line and no file more than before."""
    before = sorted(Path().iterdir())
    told = run(*arguments, code=code, **options)
    assert len(told.splitlines()) == 1, told
    assert told.startswith("segclient: error: ")
    assert sorted(Path().iterdir()) == before
    return told


@WAYS
@pytest.mark.parametrize(
    "given",
    [
        LONG,
        "y/" * 2100,
        "loop.mp4",
        "folder.mp4",
        "secret.mp4",
        "closed",
        "closed/clip.mp4",
        "closed/*.mp4",
        "clip.mp4/clip.mp4",
        "a**/clip.mp4",
        "nothing.mp4",
    ],
    ids=lambda given: given[:20],
)
def test_an_input_that_cannot_be_read(folder: Path, way: list[str], given: str) -> None:
    told = tell(3, *way, given, "--report", "/dev/null", before=WITHOUT_PRIVILEGES)

    assert given.strip("/")[:200] in told


@WAYS
@pytest.mark.parametrize(
    "made",
    [
        LONG,
        "/proc/made.mp4",
        "loop.mp4",
        "clip.mp4/made.mp4",
        "closed/made.mp4",
        "closed/more/made.mp4",
        "protected.mp4",
        "closed/",
    ],
    ids=lambda made: made[:20],
)
def test_an_output_that_cannot_be_written_is_told_before_the_work(folder: Path, way: list[str], made: str) -> None:
    assert "Cannot write" in tell(1, *way, "clip.mp4", "-o", made, before=WITHOUT_PRIVILEGES)


@pytest.mark.parametrize("made", ["closed/frame_%d.png", "closed/masks.jsonl", "closed/made.webm"])
def test_every_sink_is_tried_before_the_work(folder: Path, made: str) -> None:
    assert "Cannot write" in tell(1, "-sv", "clip.mp4", "-o", made, before=WITHOUT_PRIVILEGES)


@pytest.mark.parametrize("made", ["made.mp4", "frame_%d.png", "masks.jsonl", "made.webm", "made.mp4 without -sv"])
def test_a_disk_that_is_full_in_the_middle_leaves_nothing(serve, folder: Path, made: str) -> None:
    way = [] if "without" in made else ["-sv"]
    endpoint = serve(EchoService(sends_masks=made.endswith(("jsonl", "webm"))))
    make_clip(Path("clip.mp4"), range(0, 200 * 512, 512))
    told = tell(1, "--endpoint", endpoint, *way, "clip.mp4", "-o", made.split()[0], before=WITHOUT_SPACE)

    assert "File too large" in told


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["sheet", "clip.mp4", "clip.mp4", "secret.mp4"], 3),
        (["sheet", "clip.mp4", "clip.mp4", "clip.mp4", "-o", "closed/sheet.png"], 1),
        (["bench", "secret.mp4"], 3),
        (["bench", "clip.mp4", "--json", "closed/bench.json"], 1),
        (["bench", "clip.mp4", "--html", f"{LONG}.html"], 1),
        (["-sv", "clip.mp4", "--report", "closed/report.json"], 1),
        (["-sv", "clip.mp4", "--token-file", "secret.mp4"], 2),
        (["-sv", "clip.mp4", "--config", "secret.mp4"], 2),
        (["doctor", "--ca-file", "secret.mp4"], 2),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else None,
)
def test_other_commands_and_files(folder: Path, arguments: list[str], code: int) -> None:
    tell(code, *arguments, before=WITHOUT_PRIVILEGES)


def test_whose_home_cannot_be_looked_into_has_no_settings(serve, folder: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(folder / "closed")}

    assert "selfie" in run("models", "--endpoint", serve(EchoService()), env=home, before=WITHOUT_PRIVILEGES)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-sv", "clip.mp4"], 3),
        (["-sv", "{clip}", "-o", "made.mp4"], 1),
        (["-sv", "{clip}", "-o", "/dev/null", "--report", "r.json"], 1),
        (["sheet", "{clip}", "{clip}", "{clip}"], 1),
        (["bench", "{clip}", "--json", "r.json"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_working_folder_that_is_gone(tmp_path: Path, arguments: list[str], code: int) -> None:
    gone, clip = tmp_path / "gone", make_clip(tmp_path / "clip.mp4")
    gone.mkdir()
    leave = f"import os; os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})"
    told = run(*(argument.format(clip=clip) for argument in arguments), code=code, before=leave)

    assert told.startswith("segclient: error: Cannot ")
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize("command", [["models"], ["--help"], ["completion", "bash"]], ids=" ".join)
def test_an_answer_that_cannot_be_written_is_no_success(serve, command: list[str]) -> None:
    endpoint = ["--endpoint", serve(EchoService())] if command == ["models"] else []
    with Path("/dev/full").open("wb") as full:
        line = [*PROGRAM, *command, *endpoint]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, timeout=50, check=False)

    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr.decode()
    assert done.stderr.startswith(b"segclient: error: ")


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "2>&- >&- <&-"])
def test_a_run_does_not_end_because_nobody_reads_what_it_says(serve, folder: Path, redirection: str) -> None:
    command = f'"$@" {redirection}'
    arguments = ("--endpoint", serve(EchoService()), "-sv", "clip.mp4", "-o", "made.mp4")
    done = subprocess.run(["sh", "-c", command, "sh", *PROGRAM, *arguments], timeout=50, check=False)

    assert done.returncode == 0
    assert Path("made.mp4").read_bytes()[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("redirection", "arguments", "code"), [("<&-", ["-", "-o", "made.mp4"], 3), (">&-", ["clip.mp4", "-o", "-"], 1)]
)
def test_a_standard_stream_that_is_closed(
    serve, folder: Path, redirection: str, arguments: list[str], code: int
) -> None:
    line = ["sh", "-c", f'"$@" {redirection}', "sh", *PROGRAM, "--endpoint", serve(EchoService()), "-sv", *arguments]
    done = subprocess.run(line, capture_output=True, timeout=50, check=False)

    assert done.returncode == code
    assert b"is closed." in done.stderr
    assert len(done.stderr.splitlines()) == 1


# ------------------------------------------------------------------ what nobody expected


@pytest.mark.parametrize(("name", "code"), [("clip.mp4", 3), ("elsewhere", 1)])
def test_an_unexpected_failure_is_the_inputs_if_it_names_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO), name)

    monkeypatch.setattr(segmentation, "Demuxer", fail)
    monkeypatch.setattr("sys.argv", ["segclient", "-sv", "clip.mp4"])
    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == code
    assert capsys.readouterr().err.startswith(f"segclient: error: {name}: Input/output error.")


def test_a_bug_keeps_its_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def buggy() -> None:
        raise TypeError("a bug")

    monkeypatch.setitem(cli.segclient.commands, "models", buggy)
    monkeypatch.setattr("sys.argv", ["segclient", "models"])
    with pytest.raises(TypeError, match="a bug"):
        cli.main()


def test_the_clients_own_errors_pass_unchanged() -> None:
    lost = ServiceLostError("It is gone.")
    for context in (reading("it"), writing("it")):
        with pytest.raises(ServiceLostError) as raised, context:
            raise lost
        assert raised.value is lost


def test_a_full_disk_gets_advice_of_its_own() -> None:
    with pytest.raises(OutputError, match="Make room on the disk"), writing("it"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert isinstance(told_as_ours(OSError(errno.EIO, "broken", "a"), "a"), InputError)
