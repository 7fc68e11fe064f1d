"""The examples with what they need: node from Debian where there is none, packages as locked."""

import subprocess
from pathlib import Path

import pytest
from lab.packages import ensure
from servers import server, server_settings, small_server

__all__ = ["node", "server", "server_settings", "small_server"]

EXAMPLE = Path(__file__).parents[2] / "examples" / "node"


@pytest.fixture(scope="session", autouse=True)
def node() -> None:
    """Install what the example's lock names."""
    ensure({"node": "nodejs", "npm": "npm"})
    subprocess.run(["npm", "ci", "--silent"], cwd=EXAMPLE, check=True)
