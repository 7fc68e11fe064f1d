"""A network with a card in a process of its own, for a process that must not run what a user brought.

Nothing of that process is believed: it answers with masks of a length that is known before, or it is ended. What it may
read, call and allocate is what a worker may.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Pipe
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segtriton_protocol import UPRIGHT, Orientation
from segtriton_server.frames import Picture
from segtriton_server.memory_plan import idle_bytes
from segtriton_server.settings import Settings
from segtriton_server.vision.errors import NetworkFileError, UnknownNetworkError
from segtriton_server.vision.networks import CARD_NAME, known_networks
from segtriton_server.vision.networks.card import NetworkCard
from segtriton_server.vision.networks.card_reader import read_card
from segtriton_server.vision.preprocess import network_rgb
from segtriton_server.vision.segmenter import ClassIds
from segtriton_server.workers.environment import worker_environment
from segtriton_server.workers.router_messages import settings_argument

READY = b"ready"
MAX_REASON_BYTES = 4096
_GRACE_SECONDS = 2.0

Mask = NDArray[np.uint8]


class ConfinedSegmenter:
    """See `Segmenter`. Calls come from one thread; a process that ended or hung is started anew at the next call."""

    warnings: tuple[str, ...] = ()
    is_better_mirrored: bool = False

    def __init__(self, settings: Settings) -> None:
        """Start the process and wait until it has loaded the network.

        Raises:
            UnknownNetworkError: there is no folder of that name with a card.
            NetworkFileError: the card has mistakes, or the process could not load the network.
        """
        folder = settings.networks / settings.network
        if not (folder / CARD_NAME).is_file():
            raise UnknownNetworkError(settings.network, known_networks(settings.networks))
        self._card = read_card(folder)
        self.name = self._card.name
        self.classes = self._card.labels
        self.default_class = self._card.default_class
        self.licence = self._card.licence
        self.input_hw = self._card.input.size_hw
        self.max_batch_size = settings.batch_size
        # Nothing else lies in that process: where it was measured what the network takes, that is enough.
        memory = idle_bytes(settings) if settings.network_memory_bytes else settings.worker_memory_bytes
        self._settings = replace(settings, worker_memory_bytes=memory)
        self._sequence: object = None
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def start(self) -> object:
        """See `Segmenter`; the process keeps what belongs to the sequence that was seen last."""
        return object() if self._card.states else None

    def preprocess(self, pictures: Picture, orientation: Orientation = UPRIGHT) -> Mask:
        """RGB uint8 [h, w, 3]: as much of the input as the picture takes."""
        return network_rgb(self._card.input, pictures, orientation)

    def segment(
        self,
        inputs: Sequence[Mask],
        classes: Sequence[ClassIds],
        orientations: Sequence[Orientation] = (),
        states: Sequence[Any] = (),
    ) -> list[Mask]:
        """Masks [h, w] of inputs that are of one sequence, if the network keeps anything.

        Raises:
            RuntimeError: the process failed, ended or took longer than the setting stage_deadline.
        """
        sequence = states[0] if states else None
        header = {
            "shapes": [network_input.shape for network_input in inputs],
            "classes": [sorted(wanted) for wanted in classes],
            "goes_on": sequence is not None and sequence is self._sequence,
        }
        height, width = self.input_hw
        size = height * width
        pictures = b"".join(network_input.tobytes() for network_input in inputs)
        answer = self._ask((json.dumps(header).encode(), pictures), size * len(inputs), self._settings.stage_deadline)
        self._sequence = sequence
        masks = np.frombuffer(answer, np.uint8).reshape(len(inputs), height, width)
        turned = zip(masks, orientations or [UPRIGHT] * len(inputs), strict=True)
        return [np.ascontiguousarray(orientation.to_stored(mask)) for mask, orientation in turned]

    @property
    def card(self) -> NetworkCard:
        """The network's card."""
        return self._card

    @property
    def pid(self) -> int:
        """The id of the process; raises RuntimeError where there is none at the moment."""
        if self._process is None:
            raise RuntimeError("the network's process has ended")
        return self._process.pid

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._pipe.close()
            self._process = None

    # ---------------------------------------------------------------- the process

    def _start(self) -> None:
        self.close()
        self._sequence = None
        self._pipe, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [
                    self._settings.worker_python,
                    "-m",
                    "segtriton_server.workers.network_process",
                    str(theirs.fileno()),
                    settings_argument(self._settings),
                ],
                pass_fds=[theirs.fileno()],
                env=worker_environment(os.environ),
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        try:
            answer = self._exchange((), MAX_REASON_BYTES, self._settings.start_timeout)
        except RuntimeError as error:
            self.close()
            raise NetworkFileError(f"{self.name} could not be loaded: {error}") from None
        if answer != READY:
            self.close()
            raise NetworkFileError(_one_line(answer))

    def _ask(self, messages: Sequence[bytes], size: int, seconds: float) -> bytes:
        if self._process is None or self._process.poll() is not None:
            self._start()
        answer = self._exchange(messages, size, seconds)
        if len(answer) != size:
            self.close()
            raise RuntimeError("the network's process failed; its log lines say why")
        return answer

    def _exchange(self, messages: Sequence[bytes], most: int, seconds: float) -> bytes:
        """Send messages and return the answer, of at most so many bytes; the process is killed where it is late."""
        assert self._process is not None
        started = time.monotonic()
        watchdog = threading.Timer(seconds, self._process.kill)
        watchdog.daemon = True
        watchdog.start()
        try:
            for message in messages:
                self._pipe.send_bytes(message)
            return self._pipe.recv_bytes(most)
        except (EOFError, OSError):
            is_late = time.monotonic() - started >= seconds
            self.close()
            why = f"took longer than {seconds:g} s" if is_late else "ended, or answered with what is no mask"
            raise RuntimeError(f"the network's process {why}") from None
        finally:
            watchdog.cancel()


def _one_line(reason: bytes) -> str:
    text = reason.decode(errors="replace")
    return "".join(character if character.isprintable() else " " for character in text)
