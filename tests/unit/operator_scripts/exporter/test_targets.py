import pytest

from segtriton_ops.exporter.targets import Target, TargetError, resolve


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("video.example.com:8001", Target("video.example.com", 8001)),
        ("dns:///segtriton-headless.video.svc:8001", Target("segtriton-headless.video.svc", 8001, each_address=True)),
        ("[::1]:8001", Target("::1", 8001)),
    ],
)
def test_a_target_reads_as_it_is_written(text: str, target: Target) -> None:
    assert Target.parse(text) == target
    assert str(target) == text


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":1", "host:0", "host:99999", "http://host:1", "u@host:1", "host:1/x"]
)
def test_what_is_no_target_is_refused(text: str) -> None:
    with pytest.raises(TargetError, match="write HOST:PORT"):
        Target.parse(text)


async def test_only_names_marked_so_are_taken_apart() -> None:
    assert await resolve(Target("localhost", 1)) == ["localhost:1"]
    assert "127.0.0.1:1" in await resolve(Target("localhost", 1, each_address=True))


async def test_a_name_without_address_is_an_error() -> None:
    with pytest.raises(OSError, match=r"."):
        await resolve(Target("nowhere.invalid", 1, each_address=True))
