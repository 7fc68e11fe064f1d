"""A network that is cut says nothing: both sides notice by themselves, and a run goes on when it is mended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import cut_network
import pytest
from lab.packages import ensure, search_path

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What happened in a network of its own, for which no right of the machine's administrator is needed."""
    ensure({"unshare": "util-linux", "iptables": "iptables", "ip": "iproute2"})
    log = tmp_path_factory.mktemp("cut") / "triton.log"
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", sys.executable, cut_network.__file__, str(log)],
        env={**os.environ, "PATH": search_path(), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_clients_notice_though_nothing_is_owed_to_them(seen: dict[str, Any]) -> None:
    assert seen["clients say"] == ["ServiceLostError"] * 2


def test_the_server_notices_and_frees_the_slots(seen: dict[str, Any]) -> None:
    assert seen["server noticed"]
    assert seen["server says"] == {'segtriton_sessions_failed_total{code="CANCELLED"}': 2.0}


def test_a_run_goes_on_when_the_network_is_mended(seen: dict[str, Any]) -> None:
    assert seen["a run goes on"] == {"whole": True, "resumes": 1}
