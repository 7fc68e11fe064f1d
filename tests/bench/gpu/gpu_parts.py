"""What limits and the sample's way have in common on the device: a decoder, a network, a clock."""

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

DEVICE = "cuda"
INPUT_HW = (224, 224)
MEAN_RGB, STD_RGB = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class NvdecLoop:
    """Decodes the same packets again and again on one thread and one stream."""

    def __init__(self, packets: Sequence[bytes], stream: torch.cuda.Stream) -> None:
        import PyNvVideoCodec

        self._nvc = PyNvVideoCodec
        self._stream = stream
        self._buffers = [np.frombuffer(packet, np.uint8) for packet in packets]
        self._decoder = PyNvVideoCodec.CreateDecoder(
            gpuid=0,
            codec=PyNvVideoCodec.cudaVideoCodec.H264,
            cudacontext=0,
            cudastream=stream.cuda_stream,
            usedevicememory=True,
        )

    def groups(self) -> Iterator[list[Any]]:
        """Give without end what each packet brought; a frame is valid until the next one is asked for."""
        for number, buffer in enumerate(itertools.cycle(self._buffers)):
            packet = self._nvc.PacketData()
            packet.bsl, packet.bsl_data, packet.pts = len(buffer), buffer.ctypes.data, number
            packet.decode_flag = self._nvc.VideoPacketFlag.ENDOFPICTURE
            yield self._decoder.Decode(packet)

    def close(self) -> None:
        """Take out what is left, so that the decoder ends in order."""
        self._decoder.Decode(self._nvc.PacketData())
        self._stream.synchronize()


def fcn_resnet101() -> torch.nn.Module:
    """The network with random weights that stay within half precision, in float32 on the CPU."""
    from segtriton_server.vision.networks.fcn_resnet101 import NETWORK
    from segtriton_server.vision.networks.torchvision_network import SEEDED

    return NETWORK.load(Path(), SEEDED)


class InFlight:
    """Lets no more steps wait on the device than keep it busy, so that a clock here shows what is done there."""

    def __init__(self, most: int = 4) -> None:
        self._most = most
        self._events: deque[torch.cuda.Event] = deque()

    def add(self) -> None:
        """Note the end of a step, and wait for one long ago."""
        if DEVICE != "cuda":
            return
        event = torch.cuda.Event()
        event.record()
        self._events.append(event)
        if len(self._events) > self._most:
            self._events.popleft().synchronize()

    def finish(self) -> None:
        """Wait for all."""
        for event in self._events:
            event.synchronize()
        self._events.clear()


def per_second(step: Callable[[], int], seconds: float, warm_steps: int = 3) -> float:
    """How many items a second the step does; it works on the current stream and returns how many it did."""
    in_flight = InFlight()
    for _ in range(warm_steps):
        step()
        in_flight.add()
    in_flight.finish()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        count += step()
        in_flight.add()
    in_flight.finish()
    return count / (time.perf_counter() - started)
