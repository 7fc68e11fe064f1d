"""Defaults from a file: what `--config` names, else `segclient/config.toml` in the user's folder for settings.

An option on the command line goes before one in the environment, and that before one in the file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import click

from segtriton_client.file_kinds import is_regular
from segtriton_client.option_sections import in_section

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_Command = TypeVar("_Command", bound=Callable[..., Any])
_OPTION = "config"
_META_KEY = f"{__name__}.{_OPTION}"


def config_option(command: _Command) -> _Command:
    """Let a command take its defaults from the file."""
    configured: _Command = in_section("The run")(
        f"--{_OPTION}",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_set_defaults,
        help="Take defaults from this TOML file  [default: ~/.config/segclient/config.toml].",
    )(command)
    return configured


def _set_defaults(context: click.Context, param: click.Parameter, named: Path | None) -> None:
    path = named or Path(click.get_app_dir("segclient")) / "config.toml"
    if named or is_regular(path):  # whose home may not be looked into has no settings
        context.meta[_META_KEY] = path
        context.default_map = _Settings(path, context).defaults()


def config_of(context: click.Context) -> list[Path]:
    """Return the file that a command has its defaults from, if there is one."""
    return [context.meta[_META_KEY]] if _META_KEY in context.meta else []


class _Settings:
    """A file's settings: those for every command that has such an option, and a table for each command."""

    def __init__(self, path: Path, context: click.Context) -> None:
        self._path = path
        self._context = context
        root = context.find_root().command
        commands = root.commands if isinstance(root, click.Group) else {}
        self._options = {name: options for name, command in commands.items() if (options := _options_of(command))}
        self._content = _read(path)
        self._check_names(self._content)

    def defaults(self) -> dict[str, Any]:
        """Return the command's defaults by its parameters' names; UsageError for what an option cannot take."""
        command = self._context.command.name or ""
        options = self._options[command]
        shared = {key: value for key, value in self._content.items() if key in options and key not in self._options}
        found = {**shared, **self._content.get(command, {})}
        return {str(options[key].name): self._convert(key, options[key], value) for key, value in found.items()}

    def _check_names(self, content: Mapping[str, Any]) -> None:
        every = {key for options in self._options.values() for key in options}
        for key, value in content.items():
            if key not in self._options:
                self._check_known(key, every | self._options.keys())
            elif not isinstance(value, dict):
                raise click.UsageError(f"{self._path}: {key} is a command; its options go under [{key}].")
            else:
                for name in value:
                    self._check_known(name, self._options[key].keys(), f" of {key}")

    def _check_known(self, key: str, known: Collection[str], whose: str = "") -> None:
        if key not in known:
            close = get_close_matches(key, known, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise click.UsageError(f"{self._path}: {key} is no option{whose}.{hint}")

    def _convert(self, key: str, option: click.Option, value: Any) -> Any:
        """Return a value as the command line would give it."""
        values = [self._text(option, one) for one in (value if isinstance(value, list) else [value])]
        if len(values) != 1 and not option.multiple:
            raise click.UsageError(f"{self._path}: {key} takes one value.")
        given = values if option.multiple else values[0]
        try:
            option.type_cast_value(self._context, given)
        except click.BadParameter as error:
            raise click.UsageError(f"{self._path}: {key}: {error.message}") from None
        return given

    def _text(self, option: click.Option, value: Any) -> str:
        """Return one value as text; a file to read is looked for beside the settings, ~ is the home folder."""
        if isinstance(option.type, click.Path) and option.type.exists:
            return str(self._path.parent / Path(str(value)).expanduser())
        return str(value)


def _options_of(command: click.Command) -> dict[str, click.Option]:
    """Return the options that may stand in the file, by their long names; none of a command that reads no file."""
    options = {
        name.removeprefix("--"): param
        for param in command.params
        if isinstance(param, click.Option)
        for name in param.opts
        if name.startswith("--")
    }
    return options if options.pop(_OPTION, None) else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise click.UsageError(f"Cannot read {path}: {error}.") from None
    return content
