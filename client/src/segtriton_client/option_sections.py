"""Options in sections, so that `--help` can be read."""

from __future__ import annotations

from functools import partial
from typing import Any

import click


class SectionOption(click.Option):
    """An option that stands under a heading of the help."""

    def __init__(self, *args: Any, section: str, **kwargs: Any) -> None:
        """Take the heading and what `click.Option` takes."""
        super().__init__(*args, **kwargs)
        self.section = section


def in_section(section: str) -> Any:
    """Return `click.option` for the options of one section."""
    return partial(click.option, cls=SectionOption, section=section)


class SectionedCommand(click.Command):
    """A command whose help shows its options under their headings."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a list of options for each heading, in the order of their first options; the others come last."""
        sections: dict[str, list[tuple[str, str]]] = {}
        others: list[tuple[str, str]] = []
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                section = getattr(param, "section", None)
                (sections.setdefault(section, []) if section else others).append(record)
        for section, records in {**sections, "Other": others}.items():
            with formatter.section(section):
                formatter.write_dl(records)
