from pathlib import Path
from typing import Any

from segtriton_server.observability.shared_memory import SharedMemory


class Gauges:
    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def set(self, name: str, value: float) -> None:
        self.values[name] = value


def test_the_gauges_tell_size_and_use_and_are_set_now_and_then(tmp_path: Path) -> None:
    gauges: Any = Gauges()
    memory = SharedMemory(gauges, str(tmp_path))
    memory.look(100.0)
    assert 0 < gauges.values["segtriton_shared_memory_used_bytes"] <= gauges.values["segtriton_shared_memory_bytes"]
    gauges.values.clear()
    memory.look(101.0)
    assert not gauges.values
    memory.look(106.0)
    assert len(gauges.values) == 2
