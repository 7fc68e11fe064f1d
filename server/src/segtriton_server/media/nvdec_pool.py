"""NVDEC decoders that outlive their sessions: to create one takes 85 ms, to take one over 5 ms at most."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from segtriton_server.media.nvdec_caps import NVDEC_CODECS

# Surfaces are as large as the largest size that a decoder may be given later.
_USUAL_SIZE_WH = 1920, 1088


class DecoderKind(NamedTuple):
    """What a decoder keeps for life; its size it can change."""

    codec: str
    pixel_format: str
    low_delay: bool


@dataclass(slots=True)
class PooledDecoder:
    """A decoder, the stream that it writes pictures on, and the sizes (width, height) that it has and may have."""

    decoder: Any
    stream: torch.cuda.Stream
    kind: DecoderKind
    size_wh: tuple[int, int]
    max_size_wh: tuple[int, int]

    def fits(self, kind: DecoderKind, size_wh: tuple[int, int]) -> bool:
        """Whether it can take over such a stream."""
        return self.kind == kind and all(side <= most for side, most in zip(size_wh, self.max_size_wh, strict=True))


class NvdecPool:
    """Lends decoders to sessions; any thread may call."""

    def __init__(self, spare_decoders: int) -> None:
        """Keep at most `spare_decoders` idle."""
        self._spare_decoders = spare_decoders
        self._lock = threading.Lock()
        self._idle: list[PooledDecoder] = []

    def acquire(self, nvc: Any, kind: DecoderKind, size_wh: tuple[int, int]) -> PooledDecoder:
        """Take an idle decoder that fits, of the same size if there is one, or create one."""
        with self._lock:
            fitting = [pooled for pooled in self._idle if pooled.fits(kind, size_wh)]
            if fitting:
                pooled = next((pooled for pooled in fitting if pooled.size_wh == size_wh), fitting[-1])
                self._idle.remove(pooled)
        if not fitting:
            return _create(nvc, kind, size_wh)
        if pooled.size_wh != size_wh:
            pooled.decoder.setReconfigParams(*size_wh)
            pooled.size_wh = size_wh
        return pooled

    def give_back(self, pooled: PooledDecoder) -> None:
        """Keep a decoder that was flushed for the next session; the oldest goes if there are too many."""
        with self._lock:
            self._idle.append(pooled)
            surplus = self._idle[: -self._spare_decoders] if self._spare_decoders else list(self._idle)
            self._idle = self._idle[len(surplus) :]
        surplus.clear()  # outside of the lock: it waits for the device


def _create(nvc: Any, kind: DecoderKind, size_wh: tuple[int, int]) -> PooledDecoder:
    stream = torch.cuda.Stream()
    max_size_wh = max(size_wh[0], _USUAL_SIZE_WH[0]), max(size_wh[1], _USUAL_SIZE_WH[1])
    latency = nvc.DisplayDecodeLatencyType
    decoder = nvc.CreateDecoder(
        gpuid=0,
        codec=getattr(nvc.cudaVideoCodec, NVDEC_CODECS[kind.codec]),
        cudacontext=0,
        cudastream=stream.cuda_stream,
        usedevicememory=True,
        maxwidth=max_size_wh[0],
        maxheight=max_size_wh[1],
        # LOW gives each picture at once, NATIVE lets the chip work on four.
        latency=latency.LOW if kind.low_delay else latency.NATIVE,
    )
    return PooledDecoder(decoder, stream, kind, size_wh, max_size_wh)
