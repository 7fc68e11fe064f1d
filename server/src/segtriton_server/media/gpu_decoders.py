"""Which decoder a session on a GPU gets."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence

from segtriton_protocol import Packet, VideoFormat
from segtriton_server.device.streams import StreamPool
from segtriton_server.media.decoder import Decoded, Decoder
from segtriton_server.media.libav_decoder import LibavDecoder
from segtriton_server.media.nvdec import NvdecDecoder, UnsupportedStreamError
from segtriton_server.media.nvdec_caps import refusal
from segtriton_server.media.nvdec_pool import NvdecPool
from segtriton_server.media.uploading_decoder import UploadingDecoder
from segtriton_server.settings import Settings

_LOG = logging.getLogger(__name__)

# What is kept to begin anew with; a stream whose first picture comes later than this is not begun anew.
_MOST_KEPT_PACKETS = 64
_MOST_KEPT_BYTES = 32 << 20


def open_gpu_decoder(
    video: VideoFormat, pool: NvdecPool, streams: StreamPool, settings: Settings, *, low_delay: bool
) -> Decoder:
    """Open NVDEC where it decodes such streams, else libavcodec with an upload.

    Raises:
        SegtritonError: UNSUPPORTED_FORMAT or LIMIT_EXCEEDED.
    """

    def open_on_cpu(reason: str) -> Decoder:
        decoder = LibavDecoder(video, settings.num_decoder_threads, settings.max_pixels, low_delay=low_delay)
        return UploadingDecoder(decoder, streams, reason, settings.group_size)

    # Imported here: the module does not load without a driver, which only a process that decodes has to have.
    nvc = importlib.import_module("PyNvVideoCodec")
    reason = refusal(video, nvc)
    if reason is None and video.width * video.height > settings.max_pixels:
        reason = "it is too large"  # the CPU's decoder refuses it with the limit
    if reason is not None:
        return open_on_cpu(reason)
    nvdec = NvdecDecoder(video, pool, nvc, group_size=settings.group_size, low_delay=low_delay)
    return SwitchingDecoder(nvdec, open_on_cpu)


class SwitchingDecoder:
    """NVDEC, until a stream turns out to be none of NVDEC's: a client may not know, or not say, what it sends."""

    def __init__(self, first: Decoder, open_second: Callable[[str], Decoder]) -> None:
        """Begin with a decoder that may raise UnsupportedStreamError."""
        self._decoder = first
        self._open_second = open_second
        self._kept: list[Packet] | None = []

    @property
    def name(self) -> str:
        """The name of the decoder that is in use."""
        return self._decoder.name

    @property
    def notes(self) -> tuple[str, ...]:
        """See `Decoder`."""
        return self._decoder.notes

    def decode(self, packets: Sequence[Packet]) -> Decoded:
        """See `Decoder`."""
        self._keep(packets)
        try:
            decoded = self._decoder.decode(packets)
        except UnsupportedStreamError as error:
            return self._switch(error, packets)
        if decoded.groups:
            self._kept = None
        return decoded

    def flush(self) -> Decoded:
        """See `Decoder`."""
        try:
            return self._decoder.flush()
        except UnsupportedStreamError as error:
            begun = self._switch(error, [])
        rest = self._decoder.flush()
        return Decoded([*begun.groups, *rest.groups], begun.damaged + rest.damaged)

    def close(self) -> None:
        """See `Decoder`."""
        self._decoder.close()

    def _keep(self, packets: Sequence[Packet]) -> None:
        if self._kept is None:
            return
        self._kept += packets
        num_bytes = sum(len(packet.payload) for packet in self._kept)
        if len(self._kept) > _MOST_KEPT_PACKETS or num_bytes > _MOST_KEPT_BYTES:
            self._kept = None

    def _switch(self, error: UnsupportedStreamError, packets: Sequence[Packet]) -> Decoded:
        _LOG.info("NVDEC refused a stream (%s), libavcodec takes over", error)
        self._decoder.close()
        self._decoder = self._open_second("NVDEC refused the stream")
        kept, self._kept = self._kept, None
        return self._decoder.decode(packets if kept is None else kept)
