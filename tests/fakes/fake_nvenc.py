"""PyNvVideoCodec's encoder without one."""

import ctypes
import types

import numpy as np


class FakePicParams:
    def __init__(self):
        self.inputTimeStamp = 0


class FakeNvencError(Exception):
    pass


class FakeNvencUnsupportedError(Exception):
    pass


class FakeNvencSession:
    """PyNvEncoder as bound by PyNvVideoCodec 2.2: late packets as dicts, strict about shapes and strides."""

    def __init__(self, library, width, height, options):
        self._library, self._width, self._height = library, width, height
        self.options = options
        self._held = []
        self.ended = False

    def GetSequenceParams(self):  # noqa: N802
        return b"\0\0\0\1\x67sps\0\0\0\1\x68pps"

    def Encode(self, frame, pic_params):  # noqa: N802
        assert not self.ended
        assert isinstance(pic_params, FakePicParams)
        luma, chroma = frame.cuda()
        height, width = self._height, self._width
        content = self._read(luma, (height, width, 1), (width, 1, 1))
        content += self._read(chroma, (height // 2, width // 2, 2), (width, 2, 1))
        number = len(self._library.encoded)
        self._library.encoded.append(content)
        kind = 3 if number % int(self.options["gop"]) == 0 else 0
        self._held.append({"data": b"packet" + content, "timestamp": pic_params.inputTimeStamp, "picture_type": kind})
        return self._release(self._library.delay)

    def EndEncode(self):  # noqa: N802
        self.ended = True
        return self._release(0)

    def _release(self, keep):
        count = max(0, len(self._held) - keep)
        released, self._held = self._held[:count], self._held[count:]
        return self._library.arrange(released)

    @staticmethod
    def _read(plane, shape, strides):
        interface = plane.__cuda_array_interface__
        assert interface["shape"] == shape
        assert interface["strides"] == strides
        assert interface["typestr"] == "|u1"
        address, is_read_only = interface["data"]
        assert not is_read_only
        return ctypes.string_at(address, int(np.prod(shape)))


class FakeNvenc(types.ModuleType):
    """`delay`: how many frames are held back; `failure`: what opening raises; `arrange`: may reorder or drop."""

    NV_ENC_PIC_PARAMS = FakePicParams
    PyNvVCException = FakeNvencError
    PyNvVCExceptionUnsupported = FakeNvencUnsupportedError

    def __init__(self):
        super().__init__("PyNvVideoCodec")
        self.delay = 1
        self.failure = None
        self.arrange = list
        self.sessions = []
        self.encoded = []

    def CreateEncoder(self, width, height, fmt, usecpuinputbuffer, **kwargs):  # noqa: N802
        assert (fmt, usecpuinputbuffer) == ("NV12", False)
        if self.failure is not None:
            raise self.failure
        session = FakeNvencSession(self, width, height, kwargs)
        self.sessions.append((width, height, kwargs, session))
        return session
