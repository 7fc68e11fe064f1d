"""How options of `segclient` are read: colours, endpoints, and where outputs go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from segtriton_client.option_sections import in_section
from segtriton_client.system_errors import reading
from segtriton_client.transport import Endpoint

_Command = TypeVar("_Command", bound=Callable[..., Any])
_NEAREST_FIRST = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)
_server = in_section("The server")


class ColorType(click.ParamType[tuple[int, int, int]]):
    """A colour as R,G,B or #rrggbb."""

    name = "R,G,B"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int, int]:
        """Return the three levels."""
        if isinstance(value, tuple):
            return value
        try:
            levels = _parse_color(str(value).strip())
        except ValueError:
            levels = ()
        if len(levels) != 3 or not all(0 <= level <= 255 for level in levels):
            self.fail(f"{value!r} is neither R,G,B with levels from 0 to 255 nor #rrggbb.", param, ctx)
        return levels[0], levels[1], levels[2]


def _parse_color(text: str) -> tuple[int, ...]:
    if text.startswith("#") and len(text) == 7:
        return tuple(bytes.fromhex(text[1:]))
    return tuple(int(level) for level in text.split(","))


def endpoint_options(command: _Command) -> _Command:
    """Add the options that say where the server is and how to reach it."""
    where = _server("--endpoint", default="127.0.0.1:8001", show_default=True, metavar="HOST:PORT", help="Where it is.")
    described: _Command = where(credential_options(command))
    return described


def credential_options(command: _Command) -> _Command:
    """Add the options by which the client proves itself and trusts the server."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    for option in (
        _server("--token-file", type=file, help="File that holds the bearer token."),
        _server("--token", default="", help="Bearer token."),
        _server("--key-file", type=file, help="The client's private key, PEM."),
        _server("--cert-file", type=file, help="The client's certificate, PEM."),
        _server("--ca-file", type=file, help="Certificates to trust, PEM; turns TLS on."),
    ):
        command = option(command)
    return command


def make_endpoint(options: dict[str, Any]) -> Endpoint:
    """Take the options of `endpoint_options` out of `options`."""
    return Endpoint(
        target=options.pop("endpoint"),
        ca_file=options.pop("ca_file"),
        cert_file=options.pop("cert_file"),
        key_file=options.pop("key_file"),
        token=_read_token(options.pop("token"), options.pop("token_file")),
    )


def _read_token(token: str, file: Path | None) -> str:
    """Return the token; of one as such and one in a file that which was said nearer to the command."""
    if token and file:
        source_of = click.get_current_context().get_parameter_source
        of_token, of_file = (_NEAREST_FIRST.index(source_of(name)) for name in ("token", "token_file"))
        if of_token == of_file:
            raise click.UsageError("Give --token or --token-file, not both.")
        file = None if of_token < of_file else file
    if file is None:
        return token
    with reading(file, "Check --token-file."):
        return file.read_text(encoding="utf-8", errors="replace").strip()
