from pathlib import Path

import pytest

from segtriton_server.memory_limit import memory_limit

MIB = 1 << 20
TOTAL = 24 << 30
NO_LIMIT = 0x7FFFFFFFFFFFF000  # what version 1 says of a group without one

# Files below the root, by what the kernel and the container runtime make of a pod.
MACHINES: dict[str, tuple[dict[str, str], int]] = {
    "version 2 in a namespace of its own": (
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": f"{512 * MIB}\n"},
        512 * MIB,
    ),
    "version 2, nested, the narrowest not the innermost": (
        {
            "proc/self/cgroup": "0::/kubepods/pod1/container\n",
            "sys/fs/cgroup/kubepods/memory.max": f"{4096 * MIB}\n",
            "sys/fs/cgroup/kubepods/pod1/memory.max": f"{768 * MIB}\n",
            "sys/fs/cgroup/kubepods/pod1/container/memory.max": "max\n",
        },
        768 * MIB,
    ),
    "version 2, without a limit": (
        {"proc/self/cgroup": "0::/user.slice\n", "sys/fs/cgroup/user.slice/memory.max": "max\n"},
        TOTAL,
    ),
    "version 2, named from outside and mounted inside": (
        {"proc/self/cgroup": "0::/../pod1\n", "sys/fs/cgroup/memory.max": f"{300 * MIB}\n"},
        300 * MIB,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "4:memory:/kubepods/pod1\n2:cpu,cpuacct:/\n0::/\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{NO_LIMIT}\n",
            "sys/fs/cgroup/memory/kubepods/memory.limit_in_bytes": f"{NO_LIMIT}\n",
            "sys/fs/cgroup/memory/kubepods/pod1/memory.limit_in_bytes": f"{2048 * MIB}\n",
        },
        2048 * MIB,
    ),
    "version 1, named from outside and mounted inside": (
        {
            "proc/self/cgroup": "4:memory:/docker/0123\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{256 * MIB}\n",
        },
        256 * MIB,
    ),
    "both, the second beside the first": (
        {"proc/self/cgroup": "4:memory:/\n0::/a\n", "sys/fs/cgroup/unified/a/memory.max": f"{128 * MIB}\n"},
        128 * MIB,
    ),
    "neither": ({"proc/self/cgroup": ""}, TOTAL),
}


@pytest.mark.parametrize(("files", "limit"), MACHINES.values(), ids=MACHINES)
def test_the_narrowest_limit_around_the_process_counts(files: dict[str, str], limit: int, tmp_path: Path) -> None:
    for name, text in {"proc/meminfo": f"MemTotal:       {TOTAL // 1024} kB\nMemFree: 1 kB\n", **files}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert memory_limit(tmp_path) == limit


def test_this_machine_has_a_limit() -> None:
    assert 64 * MIB < memory_limit() < 1 << 50
