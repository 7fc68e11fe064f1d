"""What must not leave a cluster, taken out of what does."""

from __future__ import annotations

import re
from typing import Any

REDACTED = "REDACTED"
_SECRET_NAME = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)
_PATTERNS = (
    re.compile(r"(?i)(bearer\s+)[\w.~+/=-]{6,}"),
    re.compile(r"(?i)((?:key|token|secret|password|passwd)[\"']?\s*[=:]\s*[\"']?)[^\s\"',;)$]{6,}"),
    re.compile(r"(-----BEGIN [A-Z ]+-----)[^-]+(?=-----END)"),
    re.compile(r"(://[^/\s:@]+:)[^/\s:@]+(?=@)"),
)


def redact_text(text: str) -> str:
    """Return a log without tokens, keys, passwords and the contents of PEM blocks."""
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\1{REDACTED}", text)
    return text


def redact_object(found: Any) -> Any:
    """Return an object of Kubernetes without the values of variables that sound secret, and without its bookkeeping."""
    if isinstance(found, list):
        return [redact_object(part) for part in found]
    if isinstance(found, str):
        return redact_text(found)
    if not isinstance(found, dict):
        return found
    if isinstance(found.get("value"), str) and _SECRET_NAME.search(str(found.get("name", ""))):
        found = {**found, "value": REDACTED}
    kept = {key: part for key, part in found.items() if key != "managedFields"}
    return {key: part if part == REDACTED else redact_object(part) for key, part in kept.items()}
