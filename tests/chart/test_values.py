"""What the schema and the checks refuse, and with which words."""

import json
import re
from dataclasses import fields
from typing import Any

import pytest
from chart_tools import CHART, Helm
from lab import toolchain

from segtriton_server import memory_plan
from segtriton_server.memory_plan import plan_memory, session_bytes
from segtriton_server.settings import Settings

# Those that the chart sets itself.
OWN_SETTINGS = {
    "accelerator",
    "network",
    "networks",
    "compile_cache",
    "stream_slots",
    "token_file",
    "drain_file",
    "heartbeat_file",
    "log_level",
    "log_json",
    "pod",
    "python",
}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("acelerator=cpu", "additional properties 'acelerator' not allowed"),
        ("image.tga=1", "at '/image': additional properties 'tga' not allowed"),
        ("drain.maxWait=3", "at '/drain': additional properties 'maxWait' not allowed"),
        ("autoscaling.keda.treshold=3", "additional properties 'treshold' not allowed"),
        ("modelRepository.s3.url=s3://b", "additional properties 'url' not allowed"),
        ("monitoring.podMonitor.interfal=1s", "additional properties 'interfal' not allowed"),
        ("monitoring.rules.disabled.SegtritonLate=true", "additional properties 'SegtritonLate' not allowed"),
        ("settings.workerz=3", "additional properties 'workerz' not allowed"),
        ("resources.request.cpu=1", "additional properties 'request' not allowed"),
        ("accelerator=tpu", "at '/accelerator': value must be one of 'gpu', 'cpu'"),
        ("modelRepository.type=nfs", "value must be one of 'baked', 'pvc'"),
        ("modelRepository.type=s3,modelRepository.s3.uri=gs://b", "does not match pattern '^(s3://.+)?$'"),
        ("autoscaling.kind=vpa", "value must be one of 'none', 'hpa', 'keda'"),
        ("autoscaling.minReplicas=0", "minimum: got 0, want 1"),
        ("rollout.preset=fast", "value must be one of 'surge', 'gpuScarce'"),
        ("replicas=two", "at '/replicas': got string, want integer"),
        ("token.enabled=perhaps", "at '/token/enabled': got string, want boolean"),
        ("monitoring.podMonitor.enabled=maybe", "value must be one of 'auto', true, false"),
        ("load.targetUtilization=75", "maximum: got 75, want 1"),
        ("resources.requests.cpu=2cores", "'2cores' does not match pattern"),
        ("image.digest=sha256:12", "'sha256:12' does not match pattern"),
        ("settings.workers=-1", "minimum: got -1, want 0"),
        ("admin.value=a:b", "'a:b' does not match pattern"),
        ("tolerations[0].key=a", "at '/tolerations': got array, want object"),
        ("podDisruptionBudget.maxUnavailable=half", "'half' does not match pattern"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(helm: Helm, value: str, words: str) -> None:
    result = helm.template("--set", value)
    assert result.status != 0
    assert words in result.errors


@pytest.mark.parametrize("quantity", ["2", "0.5", "500m", "1.5"])
def test_quantities_may_be_numbers_or_texts(helm: Helm, quantity: str) -> None:
    for option in ("--set", "--set-string"):
        assert quantity in helm.render(option, f"resources.requests.cpu={quantity}")


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(described(schema, schema)) == set(
        leaves(toolchain.yaml_documents(CHART / "values.yaml")[0], schema, schema)
    )


def test_settings_are_those_of_the_server() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = set(schema["properties"]["settings"]["properties"])
    assert known == {setting.name for setting in fields(Settings)} - OWN_SETTINGS


def resolve(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A node with what it refers to and what it says itself."""
    if "$ref" not in node:
        return node
    shared = schema["$defs"][node["$ref"].removeprefix("#/$defs/")]
    return {**shared, "properties": {**shared.get("properties", {}), **node.get("properties", {})}}


def described(node: dict[str, Any], schema: dict[str, Any], path: str = "") -> list[str]:
    """The paths of all keys that a schema names; those of free maps are not among them."""
    properties = resolve(node, schema).get("properties") or {}
    if path == ".settings" or path.endswith((".disabled", ".issuerRef")) or "resources" in path.split("."):
        properties = {}
    if not properties:
        return [path]
    return [found for key, child in properties.items() for found in described(child, schema, f"{path}.{key}")]


def leaves(values: object, node: dict[str, Any], schema: dict[str, Any], path: str = "") -> list[str]:
    """The paths of all keys in values.yaml, down to where the schema leaves the keys to the user."""
    properties = resolve(node, schema).get("properties") or {}
    if not isinstance(values, dict) or not properties or path == ".settings":
        return [path]
    if path.endswith((".disabled", ".issuerRef")) or "resources" in path.split("."):
        return [path]
    return [
        found
        for key, value in values.items()
        for found in leaves(value, properties.get(key, {}), schema, f"{path}.{key}")
    ]


def test_the_chart_counts_memory_as_the_server_does(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (CHART / "templates" / "_memory.tpl").read_text()
    figures = {name: int(value) for name, value in re.findall(r"^(\w+): (\d+)$", text, re.MULTILINE)}
    mib, limit = 1 << 20, 2 << 30
    monkeypatch.setattr(memory_plan, "_shared_memory_bytes", lambda: limit)
    plan = plan_memory(Settings(memory_bytes=limit), 2)

    assert figures == {
        "rest": (limit * 3 // 4 - 2 * plan.worker) // mib,
        "worker": (plan.worker - plan.sessions) // mib,
        "session": session_bytes(0) // mib,
        "pictures": session_bytes(1) - session_bytes(0),
    }
