"""nvJPEG's library on streams that lag."""

import ctypes
from ctypes import CFUNCTYPE, POINTER, c_int, c_size_t, c_void_p

from lagging_torch import FakeStream


class FakeJpegState:
    """An encoder state: `picture` is there once the stream was waited for."""

    def __init__(self):
        self.picture = None
        self.is_busy = False


class FakeImage(ctypes.Structure):
    _fields_ = (("channel", c_void_p * 4), ("pitch", c_size_t * 4))


class FakeNvjpeg:
    """nvJPEG behind its C interface, strict about the order of calls; its work happens on the streams given.

    `places`: where the library is; `failures`: statuses by function; `alive`: what was made and not yet destroyed.
    """

    SUCCESS, INVALID_PARAMETER = 0, 2
    CHROMA_420, INPUT_RGBI = 2, 5

    def __init__(self):
        self.places = {"libnvjpeg.so.13"}
        self.loaded = []
        self.failures = {}
        self.made = []
        self.alive = {}
        self.most_busy = 0
        self._count = 0
        created = c_void_p, POINTER(c_void_p), c_void_p
        coded = c_void_p, c_void_p, c_void_p, POINTER(FakeImage), c_int, c_int, c_int, c_void_p
        retrieved = c_void_p, c_void_p, c_void_p, POINTER(c_size_t), c_void_p
        self._export("nvjpegCreateSimple", self._create_handle, POINTER(c_void_p))
        self._export("nvjpegEncoderStateCreate", self._create_state, *created)
        self._export("nvjpegEncoderParamsCreate", self._create_params, *created)
        self._export("nvjpegEncoderStateDestroy", self._destroy_state, c_void_p)
        self._export("nvjpegEncoderParamsDestroy", self._destroy_params, c_void_p)
        for option in ("Quality", "OptimizedHuffman", "SamplingFactors"):
            self._export(f"nvjpegEncoderParamsSet{option}", self._setter(option), c_void_p, c_int, c_void_p)
        self._export("nvjpegEncodeYUV", self._encode_yuv, *coded)
        self._export("nvjpegEncodeImage", self._encode_image, *coded)
        self._export("nvjpegEncodeRetrieveBitstream", self._retrieve, *retrieved)

    def load(self, place):
        """Stands in for ctypes.CDLL."""
        if place not in self.places:
            raise OSError(f"{place}: cannot open shared object file")
        self.loaded.append(place)
        return self

    def kinds_alive(self):
        return sorted(kind for kind, _ in self.alive.values())

    @staticmethod
    def jpeg(kind, size_hw, quality, content, number):
        """What it makes of a picture, the `number`th since the start: no two are of one length."""
        height, width = size_hw
        return f"{kind} {height}x{width} q{quality} css2 huff0:".encode() + content + b"." * number

    def _export(self, name, function, *types):
        def run(*arguments):
            if name in self.failures:
                return self.failures[name]
            try:
                function(*arguments)
            except (AssertionError, KeyError):  # would be lost in a callback
                return self.INVALID_PARAMETER
            return self.SUCCESS

        setattr(self, name, CFUNCTYPE(c_int, *types)(run))

    def _make(self, kind, thing, out):
        address = 0x7F00_0000_0000 + 16 * (len(self.made) + 1)  # cut to 32 bits, it is nobody's
        self.made.append(kind)
        self.alive[address] = kind, thing
        out[0] = address

    def _find(self, kind, address):
        found, thing = self.alive[address]
        assert found == kind
        return thing

    def _create_handle(self, out):
        self._make("handle", None, out)

    def _create_state(self, handle, out, stream):
        self._find("handle", handle)
        assert stream in FakeStream.by_handle
        self._make("state", FakeJpegState(), out)

    def _create_params(self, handle, out, stream):
        self._find("handle", handle)
        assert stream in FakeStream.by_handle
        self._make("params", {"Quality": 70, "OptimizedHuffman": 1, "SamplingFactors": 0}, out)

    def _destroy_state(self, state):
        self._find("state", state)
        del self.alive[state]

    def _destroy_params(self, params):
        self._find("params", params)
        del self.alive[params]

    def _setter(self, name):
        def set_it(params, value, stream):
            assert stream in FakeStream.by_handle
            self._find("params", params)[name] = value

        return set_it

    def _encode_yuv(self, handle, state, params, image, chroma, width, height, stream):
        assert chroma == self.CHROMA_420
        sizes = (height, width), (height // 2, width // 2), (height // 2, width // 2)
        self._encode("yuv", (handle, state, params), image[0], (height, width), sizes, stream)

    def _encode_image(self, handle, state, params, image, layout, width, height, stream):
        assert layout == self.INPUT_RGBI
        self._encode("rgb", (handle, state, params), image[0], (height, width), ((height, 3 * width),), stream)

    def _encode(self, kind, things, image, size_hw, sizes, stream):
        handle, state, params = things
        self._find("handle", handle)
        state, options = self._find("state", state), self._find("params", params)
        assert not state.is_busy
        assert (options["SamplingFactors"], options["OptimizedHuffman"]) == (self.CHROMA_420, 0)
        planes = [(image.channel[i], image.pitch[i], *size) for i, size in enumerate(sizes)]
        quality, number = options["Quality"], self._count
        self._count += 1
        state.is_busy, state.picture = True, None
        self.most_busy = max(self.most_busy, sum(kind == "state" and s.is_busy for kind, s in self.alive.values()))

        def run():
            content = b"".join(
                ctypes.string_at(address + row * pitch, columns)
                for address, pitch, rows, columns in planes
                for row in range(rows)
            )
            state.picture = self.jpeg(kind, size_hw, quality, content, number)

        FakeStream.by_handle[stream].enqueue(run)

    def _retrieve(self, handle, state, data, length, stream):
        self._find("handle", handle)
        state = self._find("state", state)
        jpeg = state.picture
        assert jpeg is not None, "the stream was not waited for"
        size = c_size_t.from_address(ctypes.addressof(length.contents))
        if data is not None:
            assert size.value >= len(jpeg)
            state.is_busy = False

        def run():
            size.value = len(jpeg)
            if data is not None:
                ctypes.memmove(data, jpeg, len(jpeg))

        FakeStream.by_handle[stream].enqueue(run)
