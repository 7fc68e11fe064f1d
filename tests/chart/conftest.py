import pytest
from chart_tools import Helm
from lab import packages, toolchain


@pytest.fixture(scope="session", autouse=True)
def promtool() -> None:
    """Alerts are checked with it."""
    packages.ensure(packages.PROMETHEUS)


@pytest.fixture(scope="session", params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest) -> Helm:
    return Helm(toolchain.command(request.param))


@pytest.fixture(scope="session")
def helm3() -> Helm:
    return Helm(toolchain.command("helm3"))
