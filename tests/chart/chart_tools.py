"""The chart, and how its tests run tools."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "segtriton"
CI_VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
# What a cluster with the Prometheus operator says of itself.
MONITORING = ("monitoring.coreos.com/v1/PodMonitor", "monitoring.coreos.com/v1/PrometheusRule")


@dataclass(frozen=True)
class Result:
    status: int
    output: str
    errors: str


def run(*command: str | Path, text: str = "", environment: dict[str, str] | None = None) -> Result:
    words = [str(part) for part in command]
    known = {**os.environ, **(environment or {})}
    done = subprocess.run(words, input=text, capture_output=True, text=True, check=False, env=known)
    return Result(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Helm:
    binary: Path

    def template(self, *arguments: str | Path, kubernetes: str = "1.35.0") -> Result:
        known = [argument for kind in MONITORING for argument in ("--api-versions", kind)]
        options = ("--kube-version", kubernetes, "--namespace", "video", *known)
        return run(self.binary, "template", "live", CHART, *options, *arguments)

    def render(self, *arguments: str | Path, kubernetes: str = "1.35.0") -> str:
        result = self.template(*arguments, kubernetes=kubernetes)
        assert result.status == 0, result.errors
        return result.output
