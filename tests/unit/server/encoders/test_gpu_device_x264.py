import threading

import av
import numpy as np
import pytest


def moving_nv12(height, width, count):
    """Smooth pictures whose two chroma channels differ, so that swapped or shifted planes show."""
    rows, columns = np.mgrid[:height, :width]
    chroma_rows, chroma_columns = np.mgrid[: height // 2, : width // 2]
    pictures = np.empty((count, 3 * height // 2, width), np.uint8)
    for number in range(count):
        pictures[number, :height] = 128 + 80 * np.sin((rows + 3 * number) / 11) * np.cos((columns - 2 * number) / 13)
        chroma = pictures[number, height:].reshape(height // 2, width // 2, 2)
        chroma[..., 0] = 100 + 40 * np.sin((chroma_columns + number) / 17)
        chroma[..., 1] = 160 + 40 * np.cos((chroma_rows - number) / 19)
    return pictures


def decode_h264(extradata, encoded):
    decoder = av.CodecContext.create("h264", "r")
    decoder.extradata = extradata
    frames = [frame for item in encoded for frame in decoder.decode(av.Packet(item.payload))]
    return [*frames, *decoder.decode(None)]


def hold_coding(module, monkeypatch):
    """Let no picture be coded until the event is set."""
    may_code = threading.Event()
    make_frame = module.nv12_frame

    def wait_and_make_frame(picture):
        assert may_code.wait(10)
        return make_frame(picture)

    monkeypatch.setattr(module, "nv12_frame", wait_and_make_frame)
    return may_code


def psnr(picture, frame):
    height, width = frame.height, frame.width
    u_plane, v_plane = (np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in frame.planes[1:])
    luma = np.frombuffer(frame.planes[0], np.uint8).reshape(-1, frame.planes[0].line_size)[:height, :width]
    chroma = np.stack([u_plane[: height // 2, : width // 2], v_plane[: height // 2, : width // 2]], axis=2)
    decoded = np.concatenate([luma, chroma.reshape(height // 2, width)])
    return 10 * np.log10(255**2 / max(1e-9, np.mean((picture.astype(float) - decoded) ** 2)))


def encode_groups(gpu, encoder, pictures, group, tags):
    encoded = []
    for start in range(0, len(pictures), group):
        part = pictures[start : start + group]
        canvas = encoder.canvas(gpu.like(*encoder.size_hw, count=len(part)))
        gpu.draw(canvas, part)
        encoded += encoder.encode(canvas, tags[start : start + group])
    return encoded + encoder.flush()


@pytest.mark.parametrize(("height", "width"), [(64, 96), (66, 98), (90, 160), (2, 4)])
@pytest.mark.parametrize(("low_delay", "num_frame_threads"), [(True, 1), (False, 1), (False, 2), (False, 5)])
def test_decoded_packets_show_the_pictures_in_order(
    gpu, setup_of, tags_of, height, width, low_delay, num_frame_threads
):
    setup = setup_of(height, width, low_delay=low_delay, num_frame_threads=num_frame_threads, crf=16)
    encoder = gpu.module("device_x264").DeviceX264Encoder(setup, gpu.stream)
    pictures, tags = moving_nv12(height, width, 10), tags_of(range(10))

    encoded = encode_groups(gpu, encoder, pictures, 4, tags)

    assert [frame.tag for frame in encoded] == tags
    assert encoded[0].is_keyframe
    frames = decode_h264(encoder.extradata, encoded)
    assert [(frame.height, frame.width) for frame in frames] == [(height, width)] * 10
    assert min(psnr(*pair) for pair in zip(pictures, frames, strict=True)) > 35


def test_a_group_is_one_download_into_memory_that_is_kept(gpu, setup_of, tags_of):
    encoder = gpu.module("device_x264").DeviceX264Encoder(setup_of(), gpu.stream)

    encode_groups(gpu, encoder, moving_nv12(64, 96, 12), 4, tags_of(range(12)))

    assert gpu.torch.pinned == [0, 4 * 96 * 96]


def test_the_next_group_is_downloaded_while_one_is_coded(gpu, setup_of, tags_of, monkeypatch):
    module = gpu.module("device_x264")
    may_code = hold_coding(module, monkeypatch)
    encoder = module.DeviceX264Encoder(setup_of(num_frame_threads=2, crf=16), gpu.stream)
    pictures, tags = moving_nv12(64, 96, 12), tags_of(range(12))
    fetch = module.PinnedDownload.fetch

    def fetch_and_see(download, tensor):
        fetched = fetch(download, tensor)
        if len(gpu.torch.pinned) == 4:  # the second group is here, and the first one is not coded
            may_code.set()
        return fetched

    monkeypatch.setattr(module.PinnedDownload, "fetch", fetch_and_see)

    extradata, encoded = encoder.extradata, encode_groups(gpu, encoder, pictures, 4, tags)
    encoder.close()

    assert [frame.tag for frame in encoded] == tags
    assert gpu.torch.pinned == [0, 0, 4 * 96 * 96, 4 * 96 * 96]
    frames = decode_h264(extradata, encoded)
    assert min(psnr(*pair) for pair in zip(pictures, frames, strict=True)) > 35


def test_a_download_that_is_tried_again_leaves_the_group_alone_that_is_being_coded(gpu, setup_of, tags_of, monkeypatch):
    module = gpu.module("device_x264")
    may_code = hold_coding(module, monkeypatch)
    encoder = module.DeviceX264Encoder(setup_of(num_frame_threads=2, crf=16), gpu.stream)
    pictures, tags = moving_nv12(64, 96, 8), tags_of(range(8))
    canvases = [encoder.canvas(gpu.like(64, 96, count=4)) for _ in range(2)]
    for canvas, part in zip(canvases, (pictures[:4], pictures[4:]), strict=True):
        gpu.draw(canvas, part)
    encoded = encoder.encode(canvases[0], tags[:4])
    fetch, calls = module.PinnedDownload.fetch, []

    def fail_and_fetch(download, tensor):
        calls.append(download)
        if len(calls) == 1:
            raise MemoryError
        fetched = fetch(download, tensor)
        may_code.set()
        return fetched

    monkeypatch.setattr(module.PinnedDownload, "fetch", fail_and_fetch)
    extradata = encoder.extradata
    with pytest.raises(MemoryError):
        encoder.encode(canvases[1], tags[4:])
    encoded += encoder.encode(canvases[1], tags[4:]) + encoder.flush()
    encoder.close()

    assert [frame.tag for frame in encoded] == tags
    assert min(psnr(*pair) for pair in zip(pictures, decode_h264(extradata, encoded), strict=True)) > 35


def test_what_goes_wrong_on_the_coding_thread_is_raised(gpu, setup_of, tags_of, monkeypatch):
    module = gpu.module("device_x264")
    encoder = module.DeviceX264Encoder(setup_of(num_frame_threads=2), gpu.stream)
    monkeypatch.setattr(encoder._encoder, "encode_frame", lambda frame, tag: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        encode_groups(gpu, encoder, moving_nv12(64, 96, 4), 4, tags_of(range(4)))
    with pytest.raises(ZeroDivisionError):
        encoder.flush()
    encoder.close()


def test_pictures_of_another_stream_are_waited_for(gpu, setup_of, tags_of):
    encoder = gpu.module("device_x264").DeviceX264Encoder(setup_of(crf=16), gpu.stream)
    (picture,) = moving_nv12(64, 96, 1)
    canvas = encoder.canvas(gpu.like(64, 96))
    writer = gpu.torch.cuda.Stream()
    writer.enqueue(lambda: np.copyto(canvas.owner.array, picture))
    ready = gpu.pictures.record_event(writer)
    pictures = gpu.pictures.DevicePictures(canvas.pictures.planes, ready=ready)

    encoded = encoder.encode(type(canvas)(pictures, canvas.owner), tags_of([0])) + encoder.flush()

    (frame,) = decode_h264(encoder.extradata, encoded)
    assert psnr(picture, frame) > 35


def test_the_canvas_has_the_number_and_colour_of_the_pictures(gpu, setup_of):
    encoder = gpu.module("device_x264").DeviceX264Encoder(setup_of(), gpu.stream)
    like = gpu.like(64, 96, count=3)
    like = gpu.pictures.DevicePictures(like.planes, gpu.pictures.ColorMatrix.BT601, gpu.pictures.ColorRange.FULL)

    pictures = encoder.canvas(like).pictures

    assert [plane.shape for plane in pictures.planes] == [(3, 64, 96, 1), (3, 32, 48, 2)]
    assert (pictures.matrix, pictures.color_range) == (like.matrix, like.color_range)


def test_rgb_and_bare_masks_are_refused(gpu, setup_of, tags_of):
    encoder = gpu.module("device_x264").DeviceX264Encoder(setup_of(), gpu.stream)

    with pytest.raises(TypeError, match="RGB"):
        encoder.canvas(gpu.like(64, 96, rgb=True))
    with pytest.raises(TypeError):
        encoder.encode_masks(None, tags_of([0]))


def test_frames_lie_on_the_picture_itself_where_pyav_can_do_that(gpu):
    nv12_frame = gpu.module("device_x264").nv12_frame
    picture = moving_nv12(64, 96, 1)[0]

    frame = nv12_frame(picture)
    picture[0, 0] = 9

    assert (frame.height, frame.width) == (64, 96)
    assert bytes(frame.planes[0])[0] == 9
