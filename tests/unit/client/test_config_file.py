from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click
import pytest

from segtriton_client import cli
from segtriton_client.cli_options import make_endpoint

PAGE = Path(__file__).parents[3] / "docs" / "segclient.md"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def parse(command: str, *arguments: str) -> dict[str, Any]:
    """What a command would be run with."""
    with click.Context(cli.segclient, info_name="segclient") as root:
        return cli.segclient.commands[command].make_context(command, list(arguments), parent=root).params


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def test_the_command_line_goes_before_the_environment_and_that_before_the_file(home, monkeypatch) -> None:
    file = write(home / "c.toml", '[segment]\npreset = "fast"\ncrf = 30\nnetwork = "file"\n')
    monkeypatch.setenv("SEGCLIENT_CRF", "20")
    monkeypatch.setenv("SEGCLIENT_NETWORK", "environment")
    found = parse("segment", "--config", file, "--network", "line", "a.mp4")

    assert (found["network"], found["crf"], found["preset"]) == ("line", 20, "fast")


def test_the_users_own_file_is_found_and_another_one_takes_its_place(home, monkeypatch) -> None:
    write(home / "settings" / "segclient" / "config.toml", 'endpoint = "own:1"\n[segment]\npreset = "fast"\n')
    other = write(home / "other.toml", 'endpoint = "other:1"\n')

    assert parse("models")["endpoint"] == "own:1"
    assert parse("segment", "a.mp4")["preset"] == "fast"
    assert parse("models", "--config", other)["endpoint"] == "other:1"
    assert parse("models", "--config", "/dev/null")["endpoint"] == "127.0.0.1:8001"
    monkeypatch.setenv("SEGCLIENT_CONFIG", other)
    assert parse("models")["endpoint"] == "other:1"


def test_a_token_goes_before_one_that_stands_further_away(home, monkeypatch) -> None:
    write(home / "token", "from a file")
    file = write(home / "c.toml", 'token-file = "token"\n')

    def token(*arguments: str) -> str:
        root = click.Context(cli.segclient, info_name="segclient")
        with root, cli.models.make_context("models", ["--config", file, *arguments], parent=root) as context:
            return make_endpoint(context.params).token

    assert token() == "from a file"
    assert token("--token", "on the line") == "on the line"
    monkeypatch.setenv("SEGCLIENT_TOKEN", "in the environment")
    assert token() == "in the environment"
    assert token("--token-file", str(home / "token")) == "from a file"
    with pytest.raises(click.UsageError, match="not both"):
        token("--token", "x", "--token-file", str(home / "token"))


def test_what_stands_above_is_for_all_that_have_it_and_a_table_for_one_command(home) -> None:
    file = write(home / "c.toml", 'network = "all"\neffect = "mask"\n[bench]\nnetwork = "bench"\nsessions = "3,5"\n')
    segment, bench = (parse(name, "--config", file, "x") for name in ("segment", "bench"))

    assert (segment["network"], segment["effect"]) == ("all", ("mask",))
    assert (bench["network"], bench["effect"], bench["sessions"]) == ("bench", "mask", (3, 5))
    models = parse("models", "--config", file)
    assert models["network"] == "all"
    assert "effect" not in models


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("stream-video = true", "stream_video", True),
        ("deinterlace = false", "deinterlace", False),
        ('color = "#010203"', "color", (1, 2, 3)),
        ('effect = ["blur", "mask"]', "effect", ("blur", "mask")),
        ("strength = 0.25", "strength", 0.25),
        ("batch-size = 7", "batch_size", 7),
    ],
)
def test_values_are_what_the_command_line_makes_of_them(home, line, name, value) -> None:
    assert parse("segment", "--config", write(home / "c.toml", f"[segment]\n{line}\n"))[name] == value


@pytest.mark.parametrize("text", ["token", "~/near/token"])
def test_a_file_to_read_is_looked_for_beside_the_settings(home, text) -> None:
    write(home / "near" / "token", "secret")
    file = write(home / "near" / "c.toml", f'token-file = "{text}"\n')

    assert parse("models", "--config", file)["token_file"] == home / "near" / "token"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('efect = "blur"', "efect is no option. Did you mean effect?"),
        ('[segment]\nefect = "blur"', "efect is no option of segment. Did you mean effect?"),
        ('[models]\neffect = "blur"', "effect is no option of models."),
        ('[segment]\nconfig = "x"', "config is no option of segment."),
        ('[sheet]\noutput = "x"', "sheet is no option."),
        ("segment = 1", "segment is a command; its options go under [segment]."),
        ("[segment]\ncrf = 99", "crf: 99 is not in the range"),
        ("[segment]\ncrf = [1, 2]", "crf takes one value."),
        ("[segment]\ncrf = {a = 1}", "is not a valid integer"),
        ('[segment]\nlive = "perhaps"', "live: 'perhaps' is not a valid boolean"),
        ('token-file = "none"', "does not exist"),
        ("no toml", "Cannot read"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name_and_the_files(home, content, words) -> None:
    file = write(home / "c.toml", content)
    with pytest.raises(click.UsageError, match=re.escape(words)) as refused:
        parse("segment", "--config", file, "a.mp4")
    assert file in refused.value.message


def test_the_example_of_the_documents_can_be_read(home) -> None:
    (example,) = re.findall(r"```toml\n(.+?)```", PAGE.read_text(), re.DOTALL)
    write(home / "token", "secret")
    found = parse("segment", "--config", write(home / "c.toml", example), "a.mp4")

    assert found["stream_video"]
    assert found["token_file"] == home / "token"
