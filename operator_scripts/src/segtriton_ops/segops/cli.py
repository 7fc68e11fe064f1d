"""The command `segops`: its options, its errors, and the list of its commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from segtriton_ops.segops.capacity import capacity
from segtriton_ops.segops.context import Operation, Settings
from segtriton_ops.segops.drain import drain
from segtriton_ops.segops.kubernetes_api import ClusterError
from segtriton_ops.segops.models import models
from segtriton_ops.segops.preflight import preflight
from segtriton_ops.segops.rebalance import rebalance
from segtriton_ops.segops.rollout import rollout
from segtriton_ops.segops.scale import scale
from segtriton_ops.segops.status import status
from segtriton_ops.segops.support_bundle import support_bundle

EXIT_FAILED = 1
EXIT_INTERRUPTED = 130


@click.group(context_settings={"auto_envvar_prefix": "SEGOPS"})
@click.version_option(package_name="segtriton-ops", prog_name="segops")
@click.option(
    "--kubeconfig", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Cluster's kubeconfig."
)
@click.option("--context", default="", help="Context of the kubeconfig.", show_default="the current one")
@click.option("-n", "--namespace", default="", help="Namespace.", show_default="the context's")
@click.option("-r", "--release", default="segtriton", show_default=True, help="Helm's name of the release.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option("--dry-run", is_flag=True, help="Let the cluster check what would be done, and do nothing.")
@click.pass_context
def segops(context: click.Context, /, **options: Any) -> None:
    """Look at a segtriton release on Kubernetes, and change it without cutting a session."""
    context.obj = Operation(
        Settings(
            kubeconfig=options["kubeconfig"],
            context=options["context"],
            namespace=options["namespace"],
            release=options["release"],
            as_json=options["output"] == "json",
            dry_run=options["dry_run"],
        )
    )


for command in (status, preflight, drain, scale, rebalance, rollout, models, capacity, support_bundle):
    segops.add_command(command)


def main() -> None:
    """Run `segops` and exit with its code."""
    try:
        code = segops.main(prog_name="segops", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ClusterError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(EXIT_FAILED)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(code if isinstance(code, int) else 0)
