"""The lab's commands; the Makefile's targets call these.

python -m lab up                    make sure that a cluster is up; print the line that selects it
python -m lab down                  end it; nothing stays but caches
python -m lab run -- COMMAND        run a command with a cluster, which is taken down again if it was not up before
python -m lab load-image NAME...    bring images of buildah, podman or docker into the node
python -m lab base-image            make the stand-in for python:3.11-slim and print its name
python -m lab add NAME...           install keda, prometheus, or the custom resources of crds
python -m lab tool NAME...          print the paths of tools, built if they are missing
python -m lab schemas VERSION       print kubeconform's arguments for a version of Kubernetes
"""

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Sequence

from lab import addons, cluster, images, schemas, toolchain
from lab.settings import PYTHON_IMAGE
from lab.shell import LabError


def tell(*lines: str) -> None:
    """Prints results, which go to standard output; everything else is logged."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def up(options: argparse.Namespace) -> int:
    """Starts the cluster."""
    tell(f"export KUBECONFIG={cluster.up()}")
    return 0


def down(options: argparse.Namespace) -> int:
    """Ends the cluster."""
    cluster.down()
    return 0


def run_with_cluster(options: argparse.Namespace) -> int:
    """Runs a command with KUBECONFIG set."""
    was_up = cluster.is_up_or_given()
    try:
        kubeconfig = cluster.up()
        return subprocess.run(
            options.command, env={**os.environ, "KUBECONFIG": str(kubeconfig)}, check=False
        ).returncode
    finally:
        if not was_up:
            cluster.down()


def load_image(options: argparse.Namespace) -> int:
    """Loads images."""
    for name in options.names:
        cluster.load_image(name)
    return 0


def base_image(options: argparse.Namespace) -> int:
    """Makes the base image."""
    images.check_rights()
    images.make_python_image()
    tell(PYTHON_IMAGE)
    return 0


def add(options: argparse.Namespace) -> int:
    """Installs add-ons."""
    for name in options.names:
        addons.ADD_ONS[name](cluster.require())
    return 0


def tool(options: argparse.Namespace) -> int:
    """Prints the paths of tools."""
    tell(*(str(toolchain.command(name)) for name in options.names or toolchain.command_names()))
    return 0


def kubeconform_arguments(options: argparse.Namespace) -> int:
    """Prints arguments, one a line."""
    versions = {version.rpartition(".")[0]: version for version in schemas.kubernetes_versions()}
    tell(*schemas.kubeconform_arguments(versions.get(options.version, options.version)))
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="lab", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("up").set_defaults(act=up)
    commands.add_parser("down").set_defaults(act=down)
    commands.add_parser("base-image").set_defaults(act=base_image)
    command = commands.add_parser("run")
    command.add_argument("command", nargs="+")
    command.set_defaults(act=run_with_cluster)
    command = commands.add_parser("load-image")
    command.add_argument("names", nargs="+", metavar="NAME")
    command.set_defaults(act=load_image)
    command = commands.add_parser("add")
    command.add_argument("names", nargs="+", metavar="NAME", choices=sorted(addons.ADD_ONS))
    command.set_defaults(act=add)
    command = commands.add_parser("tool")
    command.add_argument("names", nargs="*", metavar="NAME")
    command.set_defaults(act=tool)
    command = commands.add_parser("schemas")
    command.add_argument("version")
    command.set_defaults(act=kubeconform_arguments)
    return parser.parse_args(arguments)


def main() -> int:
    """Does one command."""
    logging.basicConfig(level=logging.INFO, format="cluster: %(message)s", stream=sys.stderr)
    options = parse(sys.argv[1:])
    try:
        status: int = options.act(options)
    except LabError as error:
        sys.exit(f"cluster: {error}")
    return status


if __name__ == "__main__":
    sys.exit(main())
