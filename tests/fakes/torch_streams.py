"""The part of a fake torch that knows which stream is the current one, of its only thread."""

import contextlib
import types


class TorchOnStreams(types.ModuleType):
    """`current` is the stream that `torch.cuda.stream` has entered last."""

    current = None

    @classmethod
    @contextlib.contextmanager
    def enter_stream(cls, stream):
        before, cls.current = cls.current, stream
        try:
            yield
        finally:
            cls.current = before
