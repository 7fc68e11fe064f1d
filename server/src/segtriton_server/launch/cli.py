"""The command `segtriton-serve`.

    segtriton-serve                             serves in the foreground until Ctrl-C
    segtriton-serve [options] -- COMMAND ...    serves while COMMAND runs, and ends with its exit status

COMMAND finds the server's address in `SEGCLIENT_ENDPOINT`, so that it works with ports chosen at start, too.
"""

import argparse
import contextlib
import logging
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import get_args

from segtriton_server.launch.errors import AdminKeyError, LaunchError, ServerExitedError
from segtriton_server.launch.settings import DEFAULT_MODELS, LaunchSettings, LogLevel, default_networks
from segtriton_server.launch.triton_process import TritonProcess

LOGGER = logging.getLogger(__name__)

ADMIN_KEY = r"[A-Za-z0-9_-]+"
EXIT_CANNOT_START = 1
EXIT_COMMAND_NOT_FOUND = 127
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def build_parser() -> argparse.ArgumentParser:
    """The options; their defaults come from `LaunchSettings`."""
    parser = argparse.ArgumentParser(
        prog="segtriton-serve",
        description="Start Triton with segtriton's models, until Ctrl-C or while a command runs.",
        epilog="After `--`, a command to run once the server is ready; it finds the server in SEGCLIENT_ENDPOINT.",
    )
    defaults = LaunchSettings(model_repository=Path(os.environ.get("SEGTRITON_MODEL_REPOSITORY", "triton_models")))
    add = parser.add_argument
    add("--model-repository", type=Path, default=defaults.model_repository, help="default: %(default)s")
    add(
        "--model",
        dest="models",
        action="append",
        help=f"a model to load, repeatable; default: {' and '.join(DEFAULT_MODELS)}",
    )
    add("--networks", type=Path, default=default_networks(), help="folder of network files; default: %(default)s")
    add("--address", default=defaults.address, help="address to listen on; default: %(default)s")
    add("--grpc-port", type=int, default=defaults.grpc_port, help="0 picks a free one; default: %(default)s")
    add("--http-port", type=int, default=defaults.http_port, help="default: %(default)s")
    add("--metrics-port", type=int, default=defaults.metrics_port, help="default: %(default)s")
    add("--log-level", choices=get_args(LogLevel), default=defaults.log_level, help="default: %(default)s")
    add("--log-file", type=Path, help="where Triton's log goes; default: the terminal, with a command a temporary file")
    add("--ready-timeout", type=float, default=defaults.ready_timeout_seconds, help="seconds; default: %(default)s")
    add("--exit-timeout", type=int, default=defaults.exit_timeout_seconds, help="seconds; default: %(default)s")
    add(
        "--admin-key-file",
        type=Path,
        help="file with the key of Triton's administrative calls, such as loading a model; made, for you alone to "
        "read, if it is not there; default: a key that nobody knows, so that nobody can make such calls",
    )
    add("--triton-arg", dest="triton_args", action="append", default=[], help="passed to tritonserver, repeatable")
    return parser


def parse(arguments: Sequence[str]) -> tuple[LaunchSettings, list[str]]:
    """Splits the command line into settings and the command after `--`."""
    own, command = list(arguments), []
    if "--" in own:
        split = own.index("--")
        own, command = own[:split], own[split + 1 :]
    parser = build_parser()
    if "--" in arguments and not command:
        parser.error("there is no command after --")
    options = parser.parse_args(own)
    settings = LaunchSettings(
        model_repository=options.model_repository,
        models=tuple(options.models or DEFAULT_MODELS),
        address=options.address,
        grpc_port=options.grpc_port,
        http_port=options.http_port,
        metrics_port=options.metrics_port,
        networks=options.networks,
        log_path=options.log_file,
        log_level=options.log_level,
        ready_timeout_seconds=options.ready_timeout,
        exit_timeout_seconds=options.exit_timeout,
        admin_key=read_admin_key(options.admin_key_file) if options.admin_key_file else new_admin_key(),
        triton_args=tuple(options.triton_args),
    )
    return settings, command


def new_admin_key() -> str:
    """A key that cannot be guessed."""
    return secrets.token_urlsafe(32)


def read_admin_key(path: Path) -> str:
    """The key in a file, which is made if it is not there.

    Raises:
        AdminKeyError: The file cannot be read or made, holds no key, or others may read it.
    """
    try:
        with contextlib.suppress(FileExistsError), open(path, "x", opener=private_opener) as file:
            file.write(f"{new_admin_key()}\n")
        if path.stat().st_mode & 0o077:
            raise AdminKeyError(f"Others may read the key in {path}; run: chmod 600 {path}")
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise AdminKeyError(f"{path} can hold no key ({error}); name another file with --admin-key-file.") from None
    if not re.fullmatch(ADMIN_KEY, key):
        raise AdminKeyError(f"{path} must hold one key of letters, digits, - and _; remove it, and a new one is made.")
    return key


def private_opener(path: str, flags: int) -> int:
    """Opens a file so that it is its owner's alone from the first moment."""
    return os.open(path, flags, 0o600)


class StopRequest(KeyboardInterrupt):
    """A signal asked this program to stop; raised in the main thread, so that everything that was started is ended."""

    def __init__(self, number: int) -> None:
        """Remembers which signal it was."""
        super().__init__()
        self.number = number


def raise_stop_request(number: int, _frame: FrameType | None) -> None:
    """The handler of every signal that stops this program."""
    raise StopRequest(number)


def serve(settings: LaunchSettings) -> int:
    """Runs Triton until it ends or this program is asked to stop; returns Triton's exit status."""
    server = TritonProcess(settings)
    server.start()
    try:
        server.wait_ready()
        LOGGER.info("ready: gRPC %s, HTTP %s, metrics %s", server.grpc_address, server.http_url, server.metrics_url)
        server.wait()
    except StopRequest:
        LOGGER.info("stopping; a second Ctrl-C ends it at once")
    finally:
        status = server.stop()
    return shell_status(status)


def serve_during(settings: LaunchSettings, command: Sequence[str]) -> int:
    """Runs Triton while a command runs; returns the command's exit status."""
    with TritonProcess(settings) as server:
        LOGGER.info("ready: gRPC %s, log %s", server.grpc_address, server.log_path)
        status = run_command(command, server.grpc_address)
        if (server_status := server.poll()) is not None:
            raise ServerExitedError(f"Triton ended with status {server_status} meanwhile.", server.log_tail())
    return shell_status(status)


def run_command(command: Sequence[str], grpc_address: str) -> int:
    """Runs the command to its end; the terminal sends Ctrl-C to it by itself, other signals are passed on."""
    try:
        process = subprocess.Popen(command, env={**os.environ, "SEGCLIENT_ENDPOINT": grpc_address})
    except OSError as error:
        LOGGER.error("%s cannot be run: %s", shlex.join(command), error.strerror)
        return EXIT_COMMAND_NOT_FOUND
    try:
        return process.wait()
    except StopRequest as request:
        if request.number != signal.SIGINT:
            process.send_signal(request.number)
        return process.wait()
    finally:
        process.kill()


def shell_status(status: int) -> int:
    """An exit status as shells give it: 128 and the number of the signal that ended the process."""
    return status if status >= 0 else 128 - status


def main(arguments: Sequence[str] | None = None) -> int:
    """The entry point."""
    logging.basicConfig(format="segtriton-serve: %(message)s", level=logging.INFO)
    for number in STOP_SIGNALS:
        signal.signal(number, raise_stop_request)
    try:
        settings, command = parse(sys.argv[1:] if arguments is None else arguments)
        if not command:
            return serve(settings)
        with log_to_file(settings) as logged:
            return serve_during(logged, command)
    except StopRequest as request:
        return 128 + request.number
    except LaunchError as error:
        if isinstance(error, ServerExitedError) and error.log_tail:
            sys.stderr.write(f"{error.log_tail}\n")
        LOGGER.error("%s", error)
    return EXIT_CANNOT_START


@contextlib.contextmanager
def log_to_file(settings: LaunchSettings) -> Iterator[LaunchSettings]:
    """Keeps Triton's log off the terminal, where the command writes."""
    if settings.log_path is not None:
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="segtriton-log-") as folder:
        yield replace(settings, log_path=Path(folder) / "triton.log")


if __name__ == "__main__":
    sys.exit(main())
