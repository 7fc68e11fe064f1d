"""Every setting of the server, in one typed place.

A model reads them from the `parameters` of its config.pbtxt; the environment variable
`SEGTRITON_<NAME>` of the same name in capitals wins over the file.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

_Number = TypeVar("_Number", int, float)
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False, "": False}
_NUMBERS = {int: "an integer", float: "a number"}
# Defaults of a GPU that differ: a call there costs more than a picture.
_OF_A_GPU = {
    "batch_size": 32,
    "batch_deadline": 0.010,
    "frames_in_flight": 32,
    "stream_slots": 64,
    "start_timeout": 300.0,
}


class InvalidSettingError(ValueError):
    """A parameter of the model or an environment variable does not hold what it must."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The server's settings; sizes in bytes, times in seconds.

    Attributes:
        accelerator: "cpu" or "gpu"; a GPU has other defaults for batches, slots and the start (`load`).
        network: the network of this model, one of `vision.networks`.
        networks: folder with the network files.
        weights: file of the network's weights in `networks`, empty for its own; "seeded" for random ones.
        network_width: width of a GPU network's input, in pixels.
        network_height: the same for its height.
        visualization_class_name: the class of a session that names none, or several, "person,dog"; empty for the
            network's own.
        inference_backend: what runs a GPU network: "pytorch" or "tensorrt".
        compile_cache: folder where compiled kernels and engines are kept between starts; empty to keep none.
        workers: worker processes; 0 means one for each two cores (at least two), or `workers_per_gpu` for each GPU.
        workers_per_gpu: worker processes that share one GPU; 0 means as many as its memory holds, at most four under
            MPS and two without.
        mps: whether workers run on a GPU side by side, through NVIDIA's Multi-Process Service.
        group_size: the most frames of one session that travel through a GPU's stages together.
        spare_decoders: idle GPU decoders that a worker keeps for its next sessions.
        device_cache_bytes: GPU memory that CV-CUDA may keep for reuse in one worker.
        decoder_threads: threads of one CPU decoder or encoder; 0 means the cores that each worker has. A session that
            opens beside others of its worker has one thread for its decoder, unless it is live.
        encoder_threads: pictures of a file that x264 codes at the same time and holds back, at most 16, and fewer where
            the memory is short; 0 means the cores, divided among the sessions there are when this one opens. What x264
            makes depends on it: where a number is set, it is the same whoever else is there.
        network_threads: threads of one network call on the CPU.
        network_memory_bytes: what the network takes in each process that loads it, beyond what those of this package
            take; `segtriton-networks add` measures it.
        network_state_bytes: what the network keeps for each session.
        batch_size: the most frames of one network call.
        batch_deadline: how long a frame waits for others to fill its batch.
        frames_in_flight: frames of a session between decoder and encoder.
        stream_slots: sessions served at once; further ones are refused. 0 means as many of 1280x720 as the memory
            holds, at most 16.
        window_packets: packets that a session may have sent and not yet got back; with less than 80, a session can
            stand still where its decoder refuses many packets in turn. Each two more let x264 code one more picture at
            the same time.
        window_bytes: the same in bytes.
        unacknowledged_bytes: output that a session's client may leave unread; beyond it the session's worker waits.
        handover_bytes: output of a session whose client acknowledges nothing, beyond which it is asked to go on
            elsewhere; at twice as much it ends. Triton holds all of it until then. Less by default where an eighth of
            the memory is less.
        live_messages_per_second: messages that live sessions may make together; beyond that, clients are asked to put
            several packets into each. 0: as many as the router can take, by what messages cost it.
        sample_window_bytes: bytes that a session of the sample's contract, which knows no credit, may queue.
        sample_output_bytes: output of such a session, beyond which it ends: Triton holds all of it until then.
            A quarter of the memory by default where that is less.
        idle_timeout: a session is ended in which no new packet has come and none was answered for so long, whatever
            other messages its client sends.
        stage_deadline: a stage busy for so long with one frame counts as hung, as does an OPEN that is not answered;
            its worker is replaced.
        confinement: "auto" takes from workers what they need not (see `workers.confinement`): on a GPU only privileges,
            "full" the same there as on a CPU, and "off" nothing.
        memory_bytes: what all processes of the server may use together; 0 means the limit of the container, or what
            the machine has. An OPEN whose session would not fit is refused.
        worker_memory_bytes: what one confined worker may allocate, less by default where its share of the memory is
            less; 0 for no limit.
        start_timeout: how long workers may take to load.
        max_pixels: the largest picture, width times height, less by default where a worker's memory holds less; what
            has more bytes than such a picture in 8-bit 4:2:0 is made 8-bit 4:2:0.
        background_bytes: what the pictures of a session's background may take, decoded; a session with more is refused,
            and `segclient` draws it itself.
        token_file: file with the accepted bearer tokens, or their hashes, one a line, each with its tenant if it has
            one; empty to serve everybody, unless `jwt_key_file` says otherwise.
        jwt_key_file: PEM file with the public key of who signs JSON Web Tokens; empty to accept none.
        jwt_audience: the audience that such a token must name.
        jwt_issuer: the issuer that it must name; empty for any.
        tenant_slots: sessions of one tenant at once; 0 for as many as there are slots.
        tenant_opens_per_minute: sessions that one tenant may open in a minute; 0 for no limit.
        python: interpreter for the workers; empty means the first python3 on PATH.
        log_level: DEBUG, INFO, WARNING or ERROR.
        log_json: one JSON object a line instead of text.
        drain_file: file that `segtriton-drain` writes when the server is to take no new session; empty for none.
        heartbeat_file: file that is touched every second as long as the router works; empty for none.
        pod: name of the pod, for replies and logs.
    """

    accelerator: Literal["cpu", "gpu"] = "cpu"
    network: str = "selfie"
    networks: Path = Path("networks")
    weights: str = ""
    network_width: int = 224
    network_height: int = 224
    visualization_class_name: str = ""
    inference_backend: Literal["pytorch", "tensorrt"] = "pytorch"
    compile_cache: str = ""
    workers: int = 0
    workers_per_gpu: int = 0
    mps: bool = True
    group_size: int = 16
    spare_decoders: int = 4
    device_cache_bytes: int = 64 << 20
    decoder_threads: int = 0
    encoder_threads: int = 0
    network_threads: int = 1
    network_memory_bytes: int = 0
    network_state_bytes: int = 0
    batch_size: int = 4
    batch_deadline: float = 0.0
    frames_in_flight: int = 4
    stream_slots: int = 0
    window_packets: int = 112
    window_bytes: int = 16 << 20
    unacknowledged_bytes: int = 8 << 20
    handover_bytes: int = 256 << 20
    live_messages_per_second: float = 0.0
    sample_window_bytes: int = 256 << 20
    sample_output_bytes: int = 1 << 30
    idle_timeout: float = 60.0
    stage_deadline: float = 10.0
    confinement: Literal["auto", "full", "off"] = "auto"
    memory_bytes: int = 0
    worker_memory_bytes: int = 8 << 30
    start_timeout: float = 60.0
    max_pixels: int = 8192 * 4320
    # The protocol's number; its package loads NumPy, and a worker must hide files from its libraries before.
    background_bytes: int = 256 << 20
    token_file: str = ""
    jwt_key_file: str = ""
    jwt_audience: str = "segtriton"
    jwt_issuer: str = ""
    tenant_slots: int = 0
    tenant_opens_per_minute: int = 0
    python: str = ""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_json: bool = False
    drain_file: str = ""
    heartbeat_file: str = ""
    pod: str = ""

    @classmethod
    def load(cls, parameters: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
        """Return the settings of a model; what neither names has its default, for a GPU one of its own.

        Raises:
            InvalidSettingError: a value is none of its setting's choices, not of its type, negative or infinite.
        """
        values: dict[str, Any] = {}
        for name, kind in get_type_hints(cls).items():
            text = environment.get(f"SEGTRITON_{name.upper()}", parameters.get(name))
            if text is not None:
                values[name] = _parse(name, kind, text)
        if values.get("accelerator") == "gpu":
            values = {**_OF_A_GPU, **values}
        return cls(**values)

    @property
    def compile_folder(self) -> Path | None:
        """Where compiled kernels and engines are kept."""
        return Path(self.compile_cache) if self.compile_cache else None

    @property
    def num_workers(self) -> int:
        """Worker processes to start."""
        return self.workers or max(2, num_cores() // 2)

    @property
    def num_decoder_threads(self) -> int:
        """Threads of one decoder."""
        return self.decoder_threads or max(2, min(4, num_cores() // self.num_workers))

    @property
    def worker_python(self) -> str:
        """The interpreter that workers run on."""
        return self.python or shutil.which("python3") or "python3"


def num_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _parse(name: str, kind: Any, text: str) -> object:
    choices = _choices(kind)
    try:
        if choices:
            return choices[text.lower()]
        return _not_negative(kind(text)) if kind in (int, float) else kind(text)
    except (KeyError, ValueError):
        wanted = f"one of {', '.join(filter(None, choices))}" if choices else f"{_NUMBERS[kind]} that is not negative"
        raise InvalidSettingError(
            f"The setting {name} must be {wanted}, not {text!r}; "
            f"correct it in config.pbtxt or in SEGTRITON_{name.upper()}."
        ) from None


def _choices(kind: Any) -> Mapping[str, object]:
    """The values that a setting of a kind may have, by their texts in lower case; none where they are not counted."""
    if kind is bool:
        return _BOOLEANS
    return {choice.lower(): choice for choice in get_args(kind)} if get_origin(kind) is Literal else {}


def _not_negative(value: _Number) -> _Number:
    if not 0 <= value < math.inf:
        raise ValueError(value)
    return value
