"""`segclient completion`: what a shell needs to complete the command's words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_WHERE = {
    "bash": 'in ~/.bashrc:  eval "$(segclient completion bash)"',
    "zsh": 'in ~/.zshrc:  eval "$(segclient completion zsh)"',
    "fish": "in ~/.config/fish/config.fish:  segclient completion fish | source",
}


@click.command(epilog="\b\n" + "\n".join(_WHERE.values()))
@click.argument("shell", type=click.Choice(tuple(_WHERE)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script by which SHELL completes commands, options and their values."""
    root = context.find_root()
    name = root.info_name or "segclient"
    kind = get_completion_class(shell)
    assert kind is not None, "click knows all of these"
    click.echo(kind(root.command, {}, name, f"_{name.upper()}_COMPLETE").source())
