"""The settings of a model, as Triton hands them to it."""

from __future__ import annotations

import json
import os

from segtriton_server.memory_plan import fit_to_memory
from segtriton_server.observability.logs import configure_logging
from segtriton_server.settings import Settings


def load_settings(args: dict[str, str]) -> Settings:
    """Return the settings from what a model's `initialize` gets, fit for the memory; raises InvalidSettingError."""
    parameters = json.loads(args["model_config"]).get("parameters", {})
    settings = Settings.load({key: value["string_value"] for key, value in parameters.items()}, os.environ)
    configure_logging(settings)
    return fit_to_memory(settings)
