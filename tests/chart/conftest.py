import shutil

import pytest
from chart_tools import Helm
from lab import packages, toolchain


@pytest.fixture(scope="session")
def promtool() -> str:
    """What alerts are checked with."""
    packages.ensure(packages.PROMETHEUS)
    return shutil.which("promtool", path=packages.search_path()) or pytest.fail(
        "promtool was installed and is not there"
    )


@pytest.fixture(scope="session", params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest) -> Helm:
    return Helm(toolchain.command(request.param))


@pytest.fixture(scope="session")
def helm3() -> Helm:
    return Helm(toolchain.command("helm3"))
