"""JSON schemas for kubeconform, made of what Kubernetes and the makers of custom resources publish in their Go modules.

kubeconform's own place for schemas is a web site that not every build can reach, and knows few custom resources. These
are stricter, too: a field that the API does not know is refused, and so is an empty one.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lab.settings import TOOLS_FOLDER, cache_folder
from lab.toolchain import data_modules, fetch, locked, yaml_documents

log = logging.getLogger(__name__)

Schema = dict[str, Any]

CUSTOM = "custom"
FILE_NAME = "{{ .ResourceKind }}-{{ .Group }}-{{ .ResourceAPIVersion }}.json"
KUBERNETES = "kubernetes-"
CRD = "CustomResourceDefinition"
# Of these the API takes more than its own description says.
ALSO_NUMBERS = ("io.k8s.apimachinery.pkg.api.resource.Quantity", "io.k8s.apimachinery.pkg.util.intstr.IntOrString")


def kubernetes_versions() -> list[str]:
    """The versions that charts are checked against, oldest first: `1.33.13`, ..."""
    return [module.version[1:] for name, module in data_modules().items() if name.startswith(KUBERNETES)]


def kubeconform_arguments(kubernetes_version: str) -> list[str]:
    """Arguments of a strict check against one version; the schemas are made if they are not there."""
    folder = schemas_folder()
    locations = (folder / f"v{kubernetes_version}", folder / CUSTOM)
    where = [argument for place in locations for argument in ("-schema-location", f"{place}/{FILE_NAME}")]
    return ["-strict", "-summary", "-kubernetes-version", kubernetes_version, *where]


def schemas_folder() -> Path:
    """The folder with all schemas: one folder for each version of Kubernetes, and `custom`."""
    made_from = (TOOLS_FOLDER / "data-modules.txt").read_bytes() + Path(__file__).read_bytes()
    target = cache_folder() / "schemas" / hashlib.sha256(made_from).hexdigest()[:16]
    with locked(target):
        if not (target / "all").exists():
            log.info("making the schemas of Kubernetes %s and of custom resources", ", ".join(kubernetes_versions()))
            write_schemas(target / "partial")
            (target / "partial").rename(target / "all")
    return target / "all"


def write_schemas(folder: Path) -> None:
    """Writes everything anew."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, module in data_modules().items():
        source = fetch(name) / module.folder
        if name.startswith(KUBERNETES):
            swagger = json.loads((source / "swagger.json").read_text())
            write_kinds(folder / module.version, swagger_kinds(swagger["definitions"]))
        else:
            write_kinds(folder / CUSTOM, custom_kinds(definitions_in(source)))


def write_kinds(folder: Path, kinds: Iterator[tuple[str, str, str, Schema]]) -> None:
    """One file for each kind, under the name that FILE_NAME gives; the core group has its version for a name."""
    folder.mkdir(parents=True, exist_ok=True)
    for group, version, kind, schema in kinds:
        (folder / f"{kind.lower()}-{group or version}-{version}.json").write_text(json.dumps(schema))


def swagger_kinds(definitions: dict[str, Schema]) -> Iterator[tuple[str, str, str, Schema]]:
    """Group, version, kind and schema of everything that one can send to this version of Kubernetes."""
    strict = {name: strict_schema(definition) for name, definition in definitions.items()}
    for name in ALSO_NUMBERS:
        strict[name] = {"type": ["string", "number"]}
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", []):
            used = {reached: strict[reached] for reached in reachable(name, strict)}
            schema = {"$ref": f"#/definitions/{name}", "definitions": used}
            yield kind["group"], kind["version"], kind["kind"], schema


def reachable(name: str, definitions: dict[str, Schema]) -> set[str]:
    """A definition and all that it refers to, however far."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in found:
            found.add(current)
            waiting += references(definitions[current])
    return found


def references(node: object) -> Iterator[str]:
    """Names of the definitions that a schema refers to itself."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"].rsplit("/", 1)[-1]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def definitions_in(folder: Path) -> list[Schema]:
    """The custom resource definitions among the files of a folder."""
    paths = sorted(path for path in folder.glob("*.yaml") if f"kind: {CRD}" in path.read_text())
    return [document for document in yaml_documents(*paths) if document["kind"] == CRD]


def custom_kinds(definitions: list[Schema]) -> Iterator[tuple[str, str, str, Schema]]:
    """Group, version, kind and schema of custom resources."""
    for definition in definitions:
        spec = definition["spec"]
        for version in spec["versions"]:
            schema = strict_schema(version["schema"]["openAPIV3Schema"])
            yield spec["group"], version["name"], spec["names"]["kind"], schema


def strict_schema(node: Any) -> Any:
    """The schema with every object closed to fields that it does not name."""
    if isinstance(node, list):
        return [strict_schema(value) for value in node]
    if not isinstance(node, dict):
        return node
    strict = {key: strict_schema(value) for key, value in node.items() if key != "description"}
    if isinstance(node.get("description"), dict):
        strict["description"] = strict_schema(node["description"])
    is_open = node.get("x-kubernetes-preserve-unknown-fields") is True or "additionalProperties" in node
    if isinstance(node.get("properties"), dict) and not is_open and "type" in node:
        strict["additionalProperties"] = False
    if node.get("nullable") is True and isinstance(node.get("type"), str):
        strict["type"] = [node["type"], "null"]
    return strict
