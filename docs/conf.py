"""The documents' site: the tree's Markdown pages, and a reference from docstrings and commands."""

from __future__ import annotations

import argparse
import importlib

import click
from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

from segtriton_client.cli import segclient
from segtriton_ops.exporter.cli import segtriton_exporter
from segtriton_ops.segops.cli import segops

project = "segtriton"
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/**",
    "charts/segtriton/README.md",
    "examples/*/README.md",
    "images/*.md",
    "tests/**/*.md",
]
exclude_patterns = ["**/node_modules"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
html_theme = "alabaster"
html_theme_options = {"page_width": "1080px", "fixed_sidebar": True}
html_show_copyright = False

myst_heading_anchors = 3

# Docstrings write code in single backticks.
default_role = "literal"
autodoc_default_options = {"members": True, "member-order": "bysource"}
python_maximum_signature_line_length = 100
napoleon_use_ivar = True

# Names of other projects are not in this site, nor are private ones; all others must be found.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!segtriton).*"), ("py:.*", r".*\._.*")]


class ParserHelp(Directive):
    """What a command of argparse says of itself: `.. parser-help:: module:function that makes its parser`."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the help as it would stand on a terminal."""
        module, _, function = self.arguments[0].partition(":")
        parser: argparse.ArgumentParser = getattr(importlib.import_module(module), function)()
        return [nodes.literal_block(text=parser.format_help())]


def escape_stars(app: Sphinx, context: click.Context, lines: list[str]) -> None:
    """Keep patterns of files from being taken for emphasis."""
    lines[:] = [line.replace("*", r"\*") for line in lines]


def name_variables(command: click.Command, prefix: str = "") -> None:
    """Say of each option which variable sets it, as Click works it out when the command runs."""
    prefix = command.context_settings.get("auto_envvar_prefix", prefix)
    for option in command.params:
        if prefix and isinstance(option, click.Option) and option.name != "version":
            option.envvar = f"{prefix}_{option.name}".upper()
    for name, inner in getattr(command, "commands", {}).items():
        name_variables(inner, f"{prefix}_{name}".upper().replace("-", "_") if prefix else "")


def hide_factories(*event: object) -> tuple[str, str]:
    """Write the default of a dataclass's field that a function makes as one that can be parsed."""
    *_, signature, returns = event
    return str(signature or "").replace("<factory>", "..."), str(returns or "")


def setup(app: Sphinx) -> None:
    """Add the directive, and how help texts are read."""
    app.add_directive("parser-help", ParserHelp)
    for command in (segclient, segops, segtriton_exporter):
        name_variables(command)
    app.connect("autodoc-process-signature", hide_factories)
    app.connect("sphinx-click-process-description", escape_stars)
