"""The command `segtriton-exporter`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from pathlib import Path
from typing import Any

import click
from prometheus_client import disable_created_metrics

from segtriton_client import Endpoint
from segtriton_client.numbered_clip import FRAME_RATE, MOST_FRAMES, make_clip
from segtriton_ops.exporter.exporter import Exporter, Settings
from segtriton_ops.exporter.observer import Observer
from segtriton_ops.exporter.targets import Target, TargetError

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class TargetType(click.ParamType[Target]):
    """A target as HOST:PORT or dns:///NAME:PORT."""

    name = "TARGET"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Target:
        """Return the target."""
        try:
            return value if isinstance(value, Target) else Target.parse(value)
        except TargetError as error:
            self.fail(str(error), param, ctx)


@click.command(context_settings={"auto_envvar_prefix": "SEGTRITON_EXPORTER", "show_default": True})
@click.version_option(package_name="segtriton-ops", prog_name="segtriton-exporter")
@click.option(
    "--target",
    "targets",
    type=TargetType(),
    multiple=True,
    help="HOST:PORT, or dns:///NAME:PORT for every address of a name; may be repeated.",
)
@click.option("--network", default="selfie", help="Network to stream to.")
@click.option("--interval", type=click.FloatRange(1), default=30.0, help="Seconds between two rounds.")
@click.option("--timeout", type=click.FloatRange(0.5), default=10.0, help="Seconds that one session may take.")
@click.option(
    "--frames", type=click.IntRange(2, MOST_FRAMES), default=25, help=f"Frames, {FRAME_RATE} of them a second."
)
@click.option("--concurrency", type=click.IntRange(1, 64), default=4, help="Sessions at once.")
@click.option("--allow", "allowed", multiple=True, help="Pattern of further hosts that /probe takes; may be repeated.")
@click.option("--address", default="", show_default="all", help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=9464, help="Port of the pages.")
@click.option("--ca-file", type=_FILE, help="Certificates to trust, PEM; turns TLS on.")
@click.option("--cert-file", type=_FILE, help="Own certificate, PEM.")
@click.option("--key-file", type=_FILE, help="Own private key, PEM.")
@click.option("--server-name", default="", show_default="the target's", help="Name in the servers' certificate.")
@click.option("--token-file", type=_FILE, help="File whose first line is the bearer token.")
@click.option("--admin-key-file", type=_FILE, help="File with the key that Triton asks for before it tells statistics.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def segtriton_exporter(targets: tuple[Target, ...], **options: Any) -> None:
    """Stream short synthetic sessions to a segtriton service and show Prometheus how they went.

    /metrics has all targets; /probe?target=HOST:PORT runs one session and has that one.
    """
    logging.basicConfig(level=options["log_level"].upper(), format="%(asctime)s %(levelname)s %(message)s")
    seconds = options["frames"] / FRAME_RATE
    if options["timeout"] <= seconds:
        raise click.UsageError(f"--timeout must be more than the {seconds:g} s that {options['frames']} frames last.")
    observer = Observer(
        make_endpoint(options),
        make_clip(options["frames"]),
        options["network"],
        options["timeout"],
        first_line(options["admin_key_file"]),
    )
    settings = Settings(options["interval"], options["concurrency"], options["allowed"])
    try:
        asyncio.run(run(targets, observer, settings, options["address"], options["port"]))
    except OSError as error:
        raise click.ClickException(f"cannot listen on port {options['port']}: {error.strerror}") from None


async def run(targets: tuple[Target, ...], observer: Observer, settings: Settings, address: str, port: int) -> None:
    """Watch until SIGTERM or SIGINT."""
    running = asyncio.ensure_future(Exporter(targets, observer, settings).run(address, port))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


def make_endpoint(options: dict[str, Any]) -> Endpoint:
    """Return what every connection has in common."""
    return Endpoint(
        target="",
        ca_file=options["ca_file"],
        cert_file=options["cert_file"],
        key_file=options["key_file"],
        token=first_line(options["token_file"]),
        server_name=options["server_name"],
    )


def first_line(path: Path | None) -> str:
    """Return a secret's first line, empty where there is none."""
    lines = path.read_text(encoding="utf-8").splitlines() if path else []
    return lines[0].strip() if lines else ""


def main() -> None:
    """Run the command."""
    # When a counter began is of no use here, and would be a series for each.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    segtriton_exporter()
