"""The command `segtriton-networks`: checks networks that users bring, and puts them where Triton finds them."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

import click

from segtriton_server.frames import InvalidPictureError
from segtriton_server.launch.model_folders import model_names, write_model_folders
from segtriton_server.vision.errors import NetworkCardError, VisionError
from segtriton_server.vision.networks import CARD_NAME
from segtriton_server.vision.networks.card_reader import GRAPH_NAME
from segtriton_server.vision.picture_files import make_picture, read_picture, write_mask
from segtriton_server.workers.network_trial import Trial, try_network

_MIB = 1 << 20
_MOST_SHARES = 5

_FOLDER = click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
_FILE = click.Path(dir_okay=False, path_type=Path)


def _trial_options(command: click.decorators.FC) -> click.decorators.FC:
    for option in (
        click.option("--picture", type=_FILE, help="A PNG or JPEG to try the network on; a made one without."),
        click.option("--mask", type=_FILE, help="Where the picture's mask of the default class is written, as PNG."),
        click.option("--memory", default=2048, show_default=True, help="MiB that the network may take."),
        click.option("--seconds", default=60.0, show_default=True, help="How long loading or one call may take."),
    ):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="segtriton-server")
def main() -> None:
    """Bring your own network: a folder with network.onnx and network.yaml, its card."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)


@main.command()
@_FOLDER
@_trial_options
def check(folder: Path, picture: Path | None, mask: Path | None, memory: int, seconds: float) -> None:
    """Check the network in FOLDER and try it; writes nothing else than the mask."""
    _show(_try(folder, picture, mask, memory, seconds))


@main.command()
@_FOLDER
@click.option(
    "--repository",
    required=True,
    envvar="SEGTRITON_MODEL_REPOSITORY",
    type=click.Path(file_okay=False, path_type=Path),
    help="Triton's model repository, which gets the models NAME and NAME_streaming.",
)
@click.option(
    "--networks",
    required=True,
    envvar="SEGTRITON_NETWORKS",
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder of networks, which gets a copy of FOLDER.",
)
@click.option(
    "--accelerator", type=click.Choice(["cpu", "gpu"]), default="cpu", show_default=True, help="What is to run it."
)
@click.option("--replace", is_flag=True, help="Take the place of a network and of models of that name.")
@_trial_options
def add(
    folder: Path,
    repository: Path,
    networks: Path,
    accelerator: str,
    replace: bool,
    picture: Path | None,
    mask: Path | None,
    memory: int,
    seconds: float,
) -> None:
    """Check the network in FOLDER, try it, and make the two models that serve it."""
    trial = _try(folder, picture, mask, memory, seconds)
    _show(trial)
    name = trial.card.name
    target = networks / name
    is_there = target.is_dir() and target.resolve() == folder.resolve()
    taken = [path for path in (target, *(repository / model for model in model_names(name))) if path.exists()]
    if is_there:
        taken.remove(target)
    if taken and not replace:
        raise click.ClickException(f"{taken[0]} is there already; --replace takes its place.")
    try:
        if not is_there:
            _copy(folder, target)
        written = write_model_folders(repository, name, _settings(trial, accelerator))
    except OSError as error:
        raise click.ClickException(f"{error.filename} cannot be written: {error.strerror}.") from None
    for path in (target, *written):
        click.echo(f"wrote    {path}")
    models = " ".join(f"--model {model}" for model in model_names(name))
    click.echo(f"serve    segtriton-serve --model-repository {repository} --networks {networks} {models}")


def _try(folder: Path, picture: Path | None, mask: Path | None, memory: int, seconds: float) -> Trial:
    try:
        seen = read_picture(picture) if picture else make_picture()
        trial = try_network(folder, seen, memory * _MIB, seconds)
        if mask:
            write_mask(mask, trial.mask, seen.size_hw)
    except NetworkCardError as error:
        raise click.ClickException("\n  ".join(("The card has mistakes:", *error.mistakes))) from None
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}.") from None
    except (VisionError, InvalidPictureError, RuntimeError) as error:
        raise click.ClickException(f"{error}.") from None
    return trial


def _show(trial: Trial) -> None:
    card = trial.card
    shares = sorted(trial.shares.items(), key=lambda item: -item[1])[:_MOST_SHARES]
    height, width = card.input.size_hw
    lines = {
        "network": f"{card.name}, {width}x{height}, {card.licence}, {card.source}",
        "labels": f"{len(card.labels)}: {', '.join(card.labels)}",
        "picture": ", ".join(f"{label} {share:.1%}" for label, share in shares),
        "speed": ", ".join(
            f"{speed:.1f} pictures/s in batches of {size}" for size, speed in trial.pictures_per_second.items()
        ),
        "memory": f"{trial.memory_bytes // _MIB} MiB a process, {card.state_bytes} bytes a session",
    }
    for name, text in lines.items():
        click.echo(f"{name:8} {text}")


def _settings(trial: Trial, accelerator: str) -> dict[str, object]:
    card = trial.card
    return {
        **({"accelerator": "gpu"} if accelerator == "gpu" else {}),
        "network_memory_bytes": trial.memory_bytes,
        "network_state_bytes": card.state_bytes,
        "batch_size": card.batch_sizes[-1],
    }


def _copy(folder: Path, target: Path) -> None:
    """Put the two files of a network into its place, whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".adding-") as made:
        whole = Path(made) / target.name
        whole.mkdir()
        for name in (CARD_NAME, GRAPH_NAME):
            shutil.copyfile(folder / name, whole / name)
            (whole / name).chmod(0o644)
        if target.exists():
            shutil.rmtree(target)
        whole.rename(target)


if __name__ == "__main__":
    main()
