import sys
from fractions import Fraction

import numpy as np
import pytest


@pytest.fixture
def nvenc(gpu):
    return gpu.module("nvenc_encoder")


def encode(gpu, encoder, numbers, tags):
    """Encode a group of pictures, each filled with its number."""
    height, width = encoder.size_hw
    canvas = encoder.canvas(gpu.like(height, width, count=len(numbers)))
    content = np.repeat(np.array(numbers, np.uint8), 3 * height // 2 * width).reshape(-1, 3 * height // 2, width)
    gpu.draw(canvas, content)
    return encoder.encode(canvas, tags)


@pytest.mark.parametrize("delay", [0, 1, 3])
def test_late_packets_get_the_tags_of_their_own_frames(gpu, nvenc, setup_of, tags_of, delay):
    gpu.nvenc.delay = delay
    encoder = nvenc.NvencEncoder(setup_of(frame_rate=Fraction(2)), gpu.stream)
    tags = tags_of(range(7))

    parts = [encode(gpu, encoder, group, tags[group.start : group.stop]) for group in (range(3), range(3, 7))]
    parts.append(encoder.flush())

    assert [len(part) for part in parts] == [3 - delay, 4, delay]
    encoded = [frame for part in parts for frame in part]
    assert [frame.tag for frame in encoded] == tags
    assert [set(frame.payload[len(b"packet") :]) for frame in encoded] == [{number} for number in range(7)]
    assert [frame.is_keyframe for frame in encoded] == [True, False, False, False, True, False, False]
    assert encoder.flush() == []


def test_packets_out_of_order_keep_their_own_tags(gpu, nvenc, setup_of, tags_of):
    gpu.nvenc.delay = 3
    gpu.nvenc.arrange = lambda packets: packets[::-1]
    encoder = nvenc.NvencEncoder(setup_of(), gpu.stream)
    encode(gpu, encoder, range(3), tags_of(range(3)))

    assert [(frame.tag.seq, frame.payload[-1]) for frame in encoder.flush()] == [(2, 2), (1, 1), (0, 0)]


def test_a_packet_of_no_picture_is_an_error(gpu, nvenc, setup_of, tags_of):
    gpu.nvenc.delay = 0
    gpu.nvenc.arrange = lambda packets: packets * 2
    encoder = nvenc.NvencEncoder(setup_of(), gpu.stream)

    with pytest.raises(RuntimeError, match="picture 0"):
        encode(gpu, encoder, [0], tags_of([0]))


def test_frames_with_equal_or_absent_timestamps_are_told_apart(gpu, nvenc, setup_of, tags_of):
    tag = type(tags_of([0])[0])
    tags = [tag(0, None, 1), tag(1, 5, 1), tag(2, 5, 1)]
    encoder = nvenc.NvencEncoder(setup_of(), gpu.stream)

    assert [frame.tag for frame in encode(gpu, encoder, range(3), tags) + encoder.flush()] == tags


def test_pictures_are_kept_until_their_packets_are_there(gpu, nvenc, setup_of, tags_of):
    gpu.nvenc.delay = 2
    encoder = nvenc.NvencEncoder(setup_of(), gpu.stream)
    encode(gpu, encoder, range(3), tags_of(range(3)))
    assert [set(waiting.memory.array.flat) for waiting in encoder._waiting.values()] == [{1}, {2}]

    encoder.flush()

    assert len(encoder._waiting) == 0


def test_both_planes_arrive_as_they_were_drawn(gpu, nvenc, setup_of, tags_of):
    encoder = nvenc.NvencEncoder(setup_of(6, 10), gpu.stream)
    content = np.random.default_rng(4).integers(0, 256, (2, 9, 10), np.uint8)
    canvas = encoder.canvas(gpu.like(6, 10, count=2))
    gpu.draw(canvas, content)

    encoder.encode(canvas, tags_of(range(2)))

    assert gpu.nvenc.encoded == [picture.tobytes() for picture in content]


def test_the_session_s_settings_are_handed_on(gpu, nvenc, setup_of):
    setup = setup_of(48, 80, frame_rate=Fraction(30000, 1001), preset="superfast", crf=20)
    encoder = nvenc.NvencEncoder(setup, gpu.stream)

    ((width, height, options, _),) = gpu.nvenc.sessions
    assert (width, height) == (80, 48)
    assert options == {
        "codec": "h264",
        "preset": "P2",
        "tuning_info": "low_latency",
        "bf": 0,
        "rc": "constqp",
        "constqp": "20,20,17",
        "fps": "29.97",
        "gop": 60,
        "repeatspspps": 0,
        "gpu_id": 0,
        "cudastream": gpu.stream.cuda_stream,
    }
    assert encoder.extradata == b"\0\0\0\1\x67sps\0\0\0\1\x68pps"
    assert (encoder.name, encoder.codec, encoder.takes_mask) == ("h264_nvenc", "h264", False)


@pytest.mark.parametrize(
    ("preset", "expected"),
    [("ultrafast", "P1"), ("veryfast", "P3"), ("faster", "P4"), ("fast", "P5"), ("medium", "P6"), ("veryslow", "P7")],
)
def test_slower_presets_of_x264_are_slower_ones_of_nvenc(gpu, nvenc, setup_of, preset, expected):
    nvenc.NvencEncoder(setup_of(preset=preset), gpu.stream)

    assert gpu.nvenc.sessions[0][2]["preset"] == expected


@pytest.mark.parametrize(("crf", "expected"), [(0, "0,0,0"), (2, "2,2,0"), (51, "51,51,48")])
def test_the_quality_stays_in_h264_s_bounds(gpu, nvenc, setup_of, crf, expected):
    nvenc.NvencEncoder(setup_of(crf=crf), gpu.stream)

    assert gpu.nvenc.sessions[0][2]["constqp"] == expected


def test_an_encoder_that_does_not_open_says_why(gpu, nvenc, setup_of):
    gpu.nvenc.failure = gpu.nvenc.PyNvVCExceptionUnsupported("Invalid encoder width\nerror code : 8")

    with pytest.raises(nvenc.NvencUnavailableError, match=r"^Invalid encoder width$"):
        nvenc.NvencEncoder(setup_of(), gpu.stream)


def test_rgb_and_bare_masks_are_refused(gpu, nvenc, setup_of, tags_of):
    encoder = nvenc.NvencEncoder(setup_of(), gpu.stream)

    with pytest.raises(TypeError, match="RGB"):
        encoder.canvas(gpu.like(64, 96, rgb=True))
    with pytest.raises(TypeError):
        encoder.encode_masks(None, tags_of([0]))


def test_a_closed_encoder_lets_go_of_its_session_and_pictures(gpu, nvenc, setup_of, tags_of):
    encoder = nvenc.NvencEncoder(setup_of(), gpu.stream)
    encode(gpu, encoder, range(2), tags_of(range(2)))

    encoder.close()

    assert encoder._encoder is None
    assert encoder.flush() == []


def test_the_probe_encodes_two_pictures_once(gpu, nvenc):
    assert nvenc.probe_nvenc() is None
    assert nvenc.probe_nvenc() is None

    assert [(width, height) for width, height, *_ in gpu.nvenc.sessions] == [(256, 256)]
    assert [set(content) for content in gpu.nvenc.encoded] == [{0}, {0}]


@pytest.mark.parametrize("kind", ["PyNvVCException", "PyNvVCExceptionUnsupported"])
def test_the_probe_names_what_opening_says(gpu, nvenc, kind):
    gpu.nvenc.failure = getattr(gpu.nvenc, kind)("unsupported device, error code : 2\n at line 9")

    assert nvenc.probe_nvenc() == "unsupported device, error code : 2"


def test_the_probe_names_a_library_that_is_not_there(nvenc, monkeypatch):
    monkeypatch.setitem(sys.modules, "PyNvVideoCodec", None)

    assert "PyNvVideoCodec" in nvenc.probe_nvenc()


def test_the_probe_names_a_driver_without_nvenc(nvenc, monkeypatch):
    def fail(name):
        raise RuntimeError("libnvidia-encode.so: cannot open shared object file\n\n=== TROUBLESHOOTING STEPS ===")

    monkeypatch.setattr(nvenc.importlib, "import_module", fail)

    assert nvenc.probe_nvenc() == "libnvidia-encode.so: cannot open shared object file"


@pytest.mark.parametrize(
    ("arrange", "reason"),
    [
        (lambda packets: [], "NVENC returned 0 of 2 pictures"),
        (lambda packets: [packet for packet in packets if packet["timestamp"] == 0], "NVENC returned 1 of 2 pictures"),
        (lambda packets: [packet | {"data": b""} for packet in packets], "NVENC returned 0 of 2 pictures"),
    ],
)
def test_the_probe_counts_what_comes_out(gpu, nvenc, arrange, reason):
    gpu.nvenc.delay = 0
    gpu.nvenc.arrange = arrange

    assert nvenc.probe_nvenc() == reason


def test_the_probe_survives_an_encoder_that_fails_later(gpu, nvenc):
    def fail(packets):
        raise gpu.nvenc.PyNvVCException("nvEncEncodePicture API failed")

    gpu.nvenc.arrange = fail

    assert nvenc.probe_nvenc() == "nvEncEncodePicture API failed"
