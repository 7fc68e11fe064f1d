"""Frames to a worker: in order, at once where it reads, and never a wait where it does not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from segtriton_server.workers.channel import Channel
from segtriton_server.workers.frame_sender import FrameSender

FRAMES = [bytes([number]) * (100_000 + number) for number in range(20)]


@pytest.fixture
def ends() -> Iterator[tuple[FrameSender, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield FrameSender(Channel(ours)), theirs


def read(connection: socket.socket, size: int) -> bytes:
    content = b""
    while len(content) < size and (part := connection.recv(1 << 20)):
        content += part
    return content


def test_a_frame_goes_out_without_another_thread(ends: tuple[FrameSender, socket.socket]) -> None:
    sender, worker = ends
    sender.send(b"frame")

    assert worker.recv(100, socket.MSG_DONTWAIT) == b"frame"


def test_who_sends_waits_for_no_worker_and_all_arrives_in_order(ends: tuple[FrameSender, socket.socket]) -> None:
    sender, worker = ends
    for frame in FRAMES:
        sender.send(frame)  # far more than the socket takes, and nobody reads
    writing = threading.Thread(target=sender.run)
    writing.start()
    sender.close()
    sender.send(b"late")

    wanted = b"".join(FRAMES)
    assert read(worker, len(wanted) + 1) == wanted
    writing.join(5)
    assert not writing.is_alive()


def test_a_frame_goes_behind_those_that_wait_though_there_is_room_again(
    ends: tuple[FrameSender, socket.socket],
) -> None:
    sender, worker = ends
    for frame in FRAMES:
        sender.send(frame)
    wanted = b"".join(FRAMES) + b"last"
    content = read(worker, 50_000)
    sender.send(b"last")
    sender.close()
    writing = threading.Thread(target=sender.run)
    writing.start()

    assert content + read(worker, len(wanted) - len(content)) == wanted
    writing.join(5)


def test_a_worker_that_is_gone_costs_nobody_anything(ends: tuple[FrameSender, socket.socket]) -> None:
    sender, worker = ends
    worker.close()
    sender.send(b"frame")
    sender.close()
    sender.run()
