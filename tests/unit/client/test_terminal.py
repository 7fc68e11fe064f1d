"""What a person at a terminal sees, and what Ctrl-C does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import time

import pytest
from client_clips import frame_times, make_clip, slow_clip
from echo_service import EchoService, packets_at
from segclient_process import PROGRAM, environment, interrupt, run, run_on_a_terminal

# ------------------------------------------------------------------ terminals


def test_colours_are_for_terminals_whose_user_wants_them() -> None:
    command = ("doctor", "--endpoint", "127.0.0.1:1")

    assert "\x1b[31mnot ok\x1b[0m" in run_on_a_terminal(*command, NO_COLOR="")
    assert "\x1b" not in run_on_a_terminal(*command, NO_COLOR="1")
    assert "\x1b" not in run(*command, code=1)


def test_progress_is_for_terminals(serve, tmp_path) -> None:
    command = ("--endpoint", serve(EchoService()), "-sv", make_clip(tmp_path / "clip.mp4"))

    assert re.search(r"\rclip \[#*\.*\] \d+/20 frames", run_on_a_terminal(*command))
    assert "\x1b" not in run(*command)


# ------------------------------------------------------------------ Ctrl-C


class StuckService(EchoService):
    """Answers the first packets and no more."""

    async def ModelStreamInfer(self, requests, context):  # noqa: N802
        async for answer in super().ModelStreamInfer(requests, context):
            yield answer
            if "packets" in self.kinds:
                await asyncio.Event().wait()


def test_an_interrupt_lets_what_is_on_its_way_come_back_and_keeps_the_part_of_a_file(serve, tmp_path) -> None:
    service = EchoService()
    clips = [slow_clip(tmp_path / name) for name in ("a.mp4", "b.mp4")]
    code, told = interrupt(packets_at(service), serve(service), "--live", *clips, "-o", tmp_path)

    assert code == 130
    stopping, stopped = told.splitlines()
    assert stopping == "segclient: stopping; what is on its way comes back first, once more ends at once."
    done = int(re.search(r"a.mp4: Stopped after (\d+) frames", stopped).group(1))
    assert 0 < done < 30
    assert len(frame_times(tmp_path / "a_blur.part.mp4")) == done
    assert service.kinds[-1] == "end"
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "b.mp4", "a_blur.part.mp4"}


def test_an_interrupted_source_without_an_end_has_ended(serve, tmp_path) -> None:
    service = EchoService()
    code, _ = interrupt(
        packets_at(service), serve(service), "--live", "lavfi:testsrc=size=64x48:rate=5", "-o", tmp_path / "a.mkv"
    )

    assert code == 0
    assert frame_times(tmp_path / "a.mkv")


def test_a_second_interrupt_does_not_wait_for_the_service(serve, tmp_path) -> None:
    service = StuckService()
    code, told = interrupt(packets_at(service), serve(service), "--live", slow_clip(tmp_path / "a.mp4"), times=2)

    assert code == 130
    (interrupted,) = told.splitlines()[1:]
    assert interrupted.startswith("segclient: error: interrupted")


def test_a_second_interrupt_does_not_wait_for_a_source_that_gives_nothing(serve, tmp_path) -> None:
    fifo = tmp_path / "a.mkv"
    os.mkfifo(fifo)
    with contextlib.ExitStack() as writing:

        def wait() -> None:
            writing.enter_context(fifo.open("wb"))  # returns when the client has opened it, too

        code, told = interrupt(wait, serve(EchoService()), f"file://{fifo}", "-o", tmp_path / "o.mkv", times=2)

    assert code == 130
    assert told.splitlines()[1:] == ["segclient: error: interrupted."]


# ------------------------------------------------------------------ a terminal that is closed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_as_an_interrupt_does(serve, tmp_path, number: int) -> None:
    service = EchoService()
    clip = slow_clip(tmp_path / "a.mp4")
    code, told = interrupt(packets_at(service), serve(service), "--live", clip, number=number)

    assert code == 130
    done = int(re.search(r"Stopped after (\d+) frames", told).group(1))
    assert len(frame_times(tmp_path / "a_blur.part.mp4")) == done
    assert service.kinds[-1] == "end"


def test_that_it_is_closed_may_be_told_twice_and_nobody_reads_what_is_said(serve, tmp_path) -> None:
    service = EchoService()
    ours, theirs = os.openpty()
    line = [*PROGRAM, "--endpoint", serve(service), "-sv", "--live", str(slow_clip(tmp_path / "a.mp4"))]
    with subprocess.Popen(line, stderr=theirs, env=environment({})) as client:
        packets_at(service)()
        os.close(theirs)
        os.close(ours)
        for _ in range(2):
            client.send_signal(signal.SIGHUP)
            time.sleep(0.1)

    assert client.returncode == 130
    assert frame_times(tmp_path / "a_blur.part.mp4")


def test_under_nohup_a_run_goes_on(serve, tmp_path) -> None:
    service = EchoService()
    arguments = ["--endpoint", serve(service), "-sv", "--live", make_clip(tmp_path / "a.mp4", range(0, 12800 * 3, 640))]
    line = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *PROGRAM, *map(str, arguments)]
    with subprocess.Popen(line, env=environment({})) as client:
        packets_at(service)()
        client.send_signal(signal.SIGHUP)

    assert client.returncode == 0
    assert len(frame_times(tmp_path / "a_blur.mp4")) == 60
