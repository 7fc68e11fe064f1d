"""A worker that is to serve a user's network: the file is loaded under the limits that media are decoded under."""

import socket
import subprocess
import sys
from pathlib import Path

from onnx_networks import colors_card, greedy_model, write_colors, write_network

from segtriton_server.settings import Settings
from segtriton_server.workers.channel import Channel, ChannelMessage
from segtriton_server.workers.environment import worker_environment
from segtriton_server.workers.router_messages import settings_argument


def start_worker(networks: Path) -> tuple[Channel, subprocess.Popen[str]]:
    settings = Settings(network="colors", networks=networks, worker_memory_bytes=1 << 30)
    ours, theirs = socket.socketpair()
    with theirs:
        command = [sys.executable, "-m", "segtriton_server.workers.worker_process", str(theirs.fileno())]
        process = subprocess.Popen(
            [*command, settings_argument(settings)],
            pass_fds=[theirs.fileno()],
            env=worker_environment({"PATH": "/usr/bin"}),
            stderr=subprocess.PIPE,
            text=True,
        )
    return Channel(ours), process


def test_it_says_what_its_network_is(tmp_path: Path) -> None:
    write_colors(tmp_path)
    channel, process = start_worker(tmp_path)
    said = {}
    while "ready" not in said:
        message = channel.receive()
        assert isinstance(message, ChannelMessage)
        said[message.kind] = message.body
    channel.close()
    process.communicate(timeout=20)

    assert said["ready"] == {
        "network": "colors",
        "classes": ["background", "red", "blue"],
        "default_class": "red",
        "licence": "Apache-2.0",
    }


def test_a_network_that_wants_more_than_its_share_ends_it_before_it_is_ready(tmp_path: Path) -> None:
    write_network(tmp_path, greedy_model(gibibytes=2), colors_card())
    channel, process = start_worker(tmp_path)
    _, said = process.communicate(timeout=50)
    channel.close()

    assert process.returncode != 0
    assert "colors fails: it wants more memory than there is" in said
