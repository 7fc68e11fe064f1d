from dataclasses import replace
from fractions import Fraction

import pytest

from segtriton_protocol import Background, ErrorCode, Framing, Open, OutputSpec, Packet, SegtritonError, VideoFormat
from segtriton_protocol.packets import PacketBlock
from segtriton_server.memory_plan import MemoryPlan
from segtriton_server.workers.session_memory import SessionMemory

MIB = 1 << 20
PLAN = MemoryPlan(limit=2048 * MIB, worker=640 * MIB, sessions=496 * MIB)


def video(width: int, height: int, pixel_format: str = "yuv420p", background_pictures: int = 0) -> Open:
    described = VideoFormat("h264", width, height, Fraction(1, 25), Framing.ANNEX_B, b"", pixel_format=pixel_format)
    if not background_pictures:
        return Open(video=described)
    packets = [Packet(seq, seq, seq, 1, True, b"x") for seq in range(background_pictures)]
    background = Background(described, PacketBlock.pack(packets))
    return Open(video=described, output=OutputSpec(effect="image"), background=background)


@pytest.fixture
def memory() -> SessionMemory:
    return SessionMemory(PLAN, 64 * MIB)


def test_a_worker_that_is_full_is_left_out_until_a_session_ends(memory: SessionMemory) -> None:
    needed = memory.needed_bytes(video(3840, 2160))
    assert memory.choose(["a", "b"], needed) == ["a", "b"]
    memory.take("1", "a", video(3840, 2160))
    assert memory.choose(["a", "b"], needed) == ["b"]
    memory.take("2", "b", video(3840, 2160))
    with pytest.raises(SegtritonError, match="Other sessions leave no worker the 486 MiB") as caught:
        memory.choose(["a", "b"], needed)
    assert caught.value.code is ErrorCode.RESOURCE_EXHAUSTED
    assert caught.value.retryable
    assert caught.value.retry_after_seconds

    memory.give_back("1")
    memory.give_back("1")
    assert memory.choose(["a", "b"], needed) == ["a"]


def test_small_sessions_find_room_beside_a_large_one(memory: SessionMemory) -> None:
    memory.take("1", "a", video(2560, 1440))
    assert memory.choose(["a"], memory.needed_bytes(video(1280, 720))) == ["a"]


@pytest.mark.parametrize(
    ("size", "pixel_format"), [((8192, 4320), "yuv420p"), ((3840, 2160), "yuv420p10le"), ((2560, 1440), "gbrp12le")]
)
def test_what_never_fits_is_not_to_be_tried_again(
    size: tuple[int, int], pixel_format: str, memory: SessionMemory
) -> None:
    with pytest.raises(SegtritonError, match=rf"{size[0]}x{size[1]} in .* and a worker here has 496") as caught:
        memory.needed_bytes(video(*size, pixel_format))
    assert caught.value.code is ErrorCode.LIMIT_EXCEEDED
    assert not caught.value.retryable


def test_a_format_that_nobody_knows_counts_as_plain(memory: SessionMemory) -> None:
    assert memory.needed_bytes(video(640, 480, "mystery")) == memory.needed_bytes(video(640, 480))


def test_frame_threads_take_at_most_half_of_what_is_left(memory: SessionMemory) -> None:
    needed = memory.needed_bytes(video(1920, 1080))
    threads = memory.take("1", "a", video(1920, 1080), wanted_threads=16)

    assert 2 <= threads < 16
    assert memory.choose(["a"], (PLAN.sessions - needed) // 2) == ["a"]
    with pytest.raises(SegtritonError, match="Other sessions"):
        memory.choose(["a"], PLAN.sessions - needed)
    assert memory.take("2", "b", video(1920, 1080), wanted_threads=2) == 2
    assert memory.take("3", "c", video(3840, 2160), wanted_threads=16) == 1


def test_what_the_network_keeps_is_counted_with_a_session() -> None:
    plain = SessionMemory(PLAN, 64 * MIB).needed_bytes(video(1280, 720))
    memory = SessionMemory(MemoryPlan(PLAN.limit, PLAN.worker, plain + 15 * MIB, state=10 * MIB), 64 * MIB)

    assert memory.needed_bytes(video(1280, 720)) == plain + 10 * MIB
    memory.take("1", "a", video(176, 144))
    with pytest.raises(SegtritonError, match="Other sessions leave no worker"):
        memory.choose(["a"], memory.needed_bytes(video(1280, 720)))


def test_a_background_is_counted_with_its_decoder(memory: SessionMemory) -> None:
    picture_bytes = 1280 * 720 * 3 // 2
    plain = memory.needed_bytes(video(1280, 720))
    assert memory.needed_bytes(video(1280, 720, background_pictures=1)) - plain == 4 * picture_bytes
    assert memory.needed_bytes(video(1280, 720, background_pictures=40)) - plain == (40 + 34) * picture_bytes

    memory.take("1", "a", video(1280, 720, background_pictures=40))
    most = PLAN.sessions - plain - (40 + 34) * picture_bytes
    assert memory.choose(["a"], most) == ["a"]
    with pytest.raises(SegtritonError, match="Other sessions leave no worker"):
        memory.choose(["a"], most + 1)


def test_a_background_that_takes_more_than_the_setting_is_refused_for_good(memory: SessionMemory) -> None:
    memory.needed_bytes(video(1280, 720, background_pictures=48))
    with pytest.raises(SegtritonError, match="may take 65 MiB of memory; a session's may take 64 here") as caught:
        memory.needed_bytes(video(1280, 720, background_pictures=49))
    assert caught.value.code is ErrorCode.LIMIT_EXCEEDED
    assert not caught.value.retryable


def test_each_output_of_a_frame_is_counted(memory: SessionMemory) -> None:
    one = video(1280, 720)
    three = replace(one, output=OutputSpec(more_effects=("mask", "overlay")))

    assert memory.needed_bytes(three) - memory.needed_bytes(one) == 2 * 39 * 1280 * 720 * 3 // 2
