"""The settings of a model, as Triton hands them to it."""

from __future__ import annotations

import json
import os

from segtriton_server.settings import Settings


def load_settings(args: dict[str, str]) -> Settings:
    """Return the settings from what a model's `initialize` gets; raises InvalidSettingError."""
    parameters = json.loads(args["model_config"]).get("parameters", {})
    return Settings.load({key: value["string_value"] for key, value in parameters.items()}, os.environ)
