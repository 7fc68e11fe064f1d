"""The model `identity`, the limit of the models for raw frames: it gives them back through the same Triton."""

import shutil
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1] / "triton_models"
IDENTITY = "identity"


def make_repository(folder: Path, models: Sequence[str]) -> Path:
    """Make a repository of these models and `identity`, which is configured as the first one of them is."""
    for model in models:
        (folder / model).symlink_to(REPOSITORY / model)
    config = (REPOSITORY / models[0] / "config.pbtxt").read_text(encoding="utf-8")
    version = folder / IDENTITY / "1"
    version.mkdir(parents=True)
    (folder / IDENTITY / "config.pbtxt").write_text(
        config.replace(f'name: "{models[0]}"', f'name: "{IDENTITY}"'), encoding="utf-8"
    )
    shutil.copy(HERE / "identity_model.py", version / "model.py")
    return folder
