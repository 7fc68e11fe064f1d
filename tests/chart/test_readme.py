"""The chart's README says what values.yaml says, and its Chart.yaml what the project is."""

import importlib.util
import re
from types import ModuleType

import pytest
from chart_tools import CHART, ROOT, run

VALUES = (CHART / "values.yaml").read_text()


@pytest.fixture
def readme() -> ModuleType:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "charts" / "readme.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_values() -> None:
    result = run("python3", ROOT / "charts" / "readme.py", "--check")
    assert result.status == 0, result.errors


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("# How many. Example: `3`\nreplicas: 1\nlost: 2", "lost has no sentence"),
        ("# How many.\nreplicas: 1", "replicas has no example"),
        ("image:\n  # A tag. Example: `1`\n  tag: a", "image has no sentence"),
    ],
)
def test_a_value_without_a_word_is_refused(readme: ModuleType, values: str, words: str) -> None:
    with pytest.raises(readme.UndocumentedValueError, match=words):
        readme.render("", values)


def test_a_value_that_changes_changes_the_tables(readme: ModuleType) -> None:
    current = (CHART / "README.md").read_text()
    assert readme.render(current, VALUES) == current
    assert readme.render(current, VALUES.replace("replicas: 1\n", "replicas: 2\n")) != current


def test_the_chart_has_the_versions_of_the_project() -> None:
    chart = (CHART / "Chart.yaml").read_text()
    found = re.search(r'^version = "(.+)"$', (ROOT / "server" / "pyproject.toml").read_text(), re.MULTILINE)
    assert found
    assert re.search(rf"^appVersion: {found[1]}$", chart, re.MULTILINE)
