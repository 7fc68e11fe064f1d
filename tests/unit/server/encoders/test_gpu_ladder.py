import av
import pytest

from segtriton_protocol import ErrorCode, SegtritonError
from segtriton_server.encoders.ladder import choose_encoder


@pytest.fixture
def ladder(gpu):
    return gpu.module("gpu_ladder")


@pytest.fixture
def choose(gpu, ladder, setup_of):
    return lambda **setup: ladder.choose_gpu_encoder(setup_of(**setup), gpu.stream, lambda pictures: None)


@pytest.fixture
def no_nvenc(gpu):
    gpu.nvenc.failure = gpu.nvenc.PyNvVCException("unsupported device")


@pytest.fixture
def no_x264(ladder, monkeypatch):
    def fail(setup, stream):
        raise av.error.EncoderNotFoundError(1, "libx264")

    monkeypatch.setattr(ladder, "DeviceX264Encoder", fail)


@pytest.mark.parametrize(
    ("wanted", "size_hw", "name"),
    [
        ("auto", (64, 96), "h264_nvenc"),
        ("auto", (65, 96), "nvjpeg"),
        ("auto", (64, 97), "nvjpeg"),
        ("h264", (64, 96), "h264_nvenc"),
        ("mjpeg", (64, 96), "nvjpeg"),
        ("mask", (65, 97), "mask"),
    ],
)
def test_with_nvenc(choose, wanted, size_hw, name):
    encoder, _ = choose(height=size_hw[0], width=size_hw[1], encoder=wanted)

    assert encoder.name == name


@pytest.mark.parametrize("wanted", ["auto", "h264"])
def test_without_nvenc_x264_is_next(choose, no_nvenc, wanted):
    encoder, sentence = choose(encoder=wanted)

    assert encoder.name == "libx264"
    assert sentence == "NVENC does not work here (unsupported device); x264 on the CPU is the next."


def test_a_size_that_nvenc_refuses_goes_to_x264(gpu, ladder, choose):
    assert ladder.probe_nvenc() is None
    gpu.nvenc.failure = gpu.nvenc.PyNvVCException("Invalid encoder width and height")

    encoder, sentence = choose(encoder="auto")

    assert encoder.name == "libx264"
    assert "Invalid encoder width and height" in sentence


@pytest.mark.usefixtures("no_nvenc", "no_x264")
def test_without_any_h264_auto_takes_motion_jpeg(choose):
    encoder, sentence = choose(encoder="auto")

    assert encoder.name == "nvjpeg"
    assert sentence == "Neither NVENC nor x264 works on this machine."


@pytest.mark.usefixtures("no_nvenc", "no_x264")
def test_without_any_h264_asking_for_it_is_refused(choose):
    with pytest.raises(SegtritonError) as caught:
        choose(encoder="h264")

    assert caught.value.code is ErrorCode.UNKNOWN_ENCODER


@pytest.mark.parametrize(
    ("setup", "others"),
    [
        ({"encoder": "mjpeg"}, "auto, h264, mask"),
        ({"encoder": "mjpeg", "height": 65}, "mask"),
        ({"encoder": "auto", "height": 65}, "mask"),
    ],
)
def test_without_nvjpeg_the_others_are_named(gpu, choose, setup, others):
    gpu.jpeg.places.clear()

    with pytest.raises(SegtritonError) as caught:
        choose(**setup)

    assert caught.value.code is ErrorCode.UNKNOWN_ENCODER
    reason = "nvJPEG's library was not found, neither torchvision's nor CUDA's own"
    assert f"mjpeg does not work here ({reason}); encoders: {others}." in str(caught.value)


@pytest.mark.usefixtures("no_nvenc", "no_x264")
def test_without_any_encoder_auto_names_the_mask(gpu, choose):
    gpu.jpeg.failures["nvjpegCreateSimple"] = 6

    with pytest.raises(SegtritonError, match=r"EXECUTION_FAILED.*; encoders: mask\.") as caught:
        choose(encoder="auto")

    assert caught.value.code is ErrorCode.UNKNOWN_ENCODER


def test_full_memory_is_no_reason_to_name_others(gpu, choose):
    gpu.jpeg.failures["nvjpegEncoderStateCreate"] = 5

    with pytest.raises(MemoryError):
        choose(encoder="mjpeg")


def test_odd_sizes_are_refused_as_on_the_cpu(choose, setup_of):
    with pytest.raises(SegtritonError) as on_cpu:
        choose_encoder(setup_of(65, 97, encoder="h264"))
    with pytest.raises(SegtritonError) as on_gpu:
        choose(height=65, width=97, encoder="h264")

    assert on_gpu.value.code is ErrorCode.UNKNOWN_ENCODER
    assert str(on_gpu.value) == str(on_cpu.value)


@pytest.mark.parametrize(
    ("setup", "sentence"),
    [
        ({"encoder": "auto"}, "This GPU encodes H.264 itself."),
        ({"encoder": "auto", "height": 65}, "H.264 has no odd picture sizes where chroma is halved."),
        ({"encoder": "mjpeg"}, "The client asked for it."),
        ({"encoder": "mask"}, "The client asked for it."),
    ],
)
def test_the_sentence_says_why(choose, setup, sentence):
    assert choose(**setup)[1] == sentence
