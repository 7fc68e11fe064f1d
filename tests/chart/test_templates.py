"""What the chart renders: linted, tested template by template, and valid for each Kubernetes and custom resource."""

import re
from pathlib import Path

import pytest
from chart_tools import CHART, CI_VALUES, Helm, run
from lab import schemas, toolchain

SECRETS = ("--set", "admin.value=a,token.value=t")


def test_every_suite_of_helm_unittest_passes() -> None:
    result = run(toolchain.command("helm-unittest"), "--strict", "--file", "tests/*_test.yaml", CHART)
    assert result.status == 0, result.output + result.errors
    assert re.search(r"Tests: +[1-9]\d* passed", result.output)


def test_every_template_has_a_suite() -> None:
    templates = {path.relative_to(CHART).as_posix() for path in (CHART / "templates").rglob("*.yaml")}
    suites = "\n".join(path.read_text() for path in (CHART / "tests").glob("*_test.yaml"))
    tested = set(re.findall(r"templates/[\w/-]+\.yaml", suites))
    assert templates <= tested, f"no suite names {sorted(templates - tested)}"


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_lint_finds_nothing(helm: Helm, values: Path) -> None:
    result = run(helm.binary, "lint", "--strict", "--kube-version", "1.35.0", "--values", values, CHART)
    assert result.status == 0, result.output + result.errors


@pytest.mark.parametrize("kubernetes", schemas.kubernetes_versions())
@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_every_object_is_one_that_kubernetes_takes(helm3: Helm, values: Path, kubernetes: str) -> None:
    oldest = "--set=gpu.mode=devicePlugin" if kubernetes.startswith("1.33.") else "--set=nameOverride="
    objects = helm3.render("--values", values, oldest, kubernetes=kubernetes)
    arguments = schemas.kubeconform_arguments(kubernetes)
    result = run(toolchain.command("kubeconform"), *arguments, "-output", "text", "-", text=objects)
    assert result.status == 0, result.output + result.errors
    assert "Skipped: 0" in result.output


@pytest.mark.parametrize("field", ["replicaz: 2", "replicas: many"])
def test_the_schemas_refuse_what_kubernetes_refuses(helm3: Helm, field: str) -> None:
    objects = helm3.render("--show-only", "templates/workload/deployment.yaml").replace("replicas: 1", field)
    arguments = schemas.kubeconform_arguments(schemas.kubernetes_versions()[-1])
    assert run(toolchain.command("kubeconform"), *arguments, "-", text=objects).status == 1


@pytest.mark.parametrize("values", CI_VALUES, ids=lambda path: path.stem)
def test_helm_3_and_4_render_the_same(values: Path, tmp_path: Path) -> None:
    rendered = []
    for name in ("helm3", "helm4"):
        file = tmp_path / name
        file.write_text(Helm(toolchain.command(name)).render("--values", values, *SECRETS))
        objects = toolchain.yaml_documents(file)
        rendered.append(sorted(objects, key=lambda made: (str(made["kind"]), str(made["metadata"]))))
    assert rendered[0] == rendered[1]
    assert rendered[0]
