"""The part of torch that codes pictures, on NumPy, with streams that really lag."""

import types
import weakref
from typing import ClassVar

import numpy as np
from torch_streams import TorchOnStreams


class FakeStream:
    """Does nothing of what it is given until somebody waits for it, as a GPU may."""

    handles = 0
    by_handle: ClassVar = weakref.WeakValueDictionary()

    def __init__(self):
        FakeStream.handles += 1
        self.cuda_stream = 0x1000 + FakeStream.handles
        FakeStream.by_handle[self.cuda_stream] = self
        self.device_index = 0
        self._work = []
        self._done = 0

    def enqueue(self, task):
        self._work.append(task)

    def wait_event(self, event):
        self.enqueue(event.synchronize)

    @property
    def end(self):
        return self._done + len(self._work)

    def run_until(self, end):
        while self._done < end:
            task = self._work.pop(0)
            self._done += 1
            task()


class FakeEvent:
    def __init__(self, blocking=False):
        assert blocking, "spinning takes the encoders' cores"
        self._stream, self._end = None, 0

    def record(self, stream):
        self._stream, self._end = stream, stream.end

    def synchronize(self):
        self._stream.run_until(self._end)


class FakeTensor:
    def __init__(self, array, pinned=False):
        self.array = array
        self.pinned = pinned

    shape = property(lambda self: self.array.shape)
    dtype = property(lambda self: self.array.dtype)

    def __len__(self):
        return len(self.array)

    def __getitem__(self, key):
        return FakeTensor(self.array[key], self.pinned)

    def __iter__(self):
        return iter(self.unbind())

    def numel(self):
        return self.array.size

    def view(self, *shape):
        if len(shape) == 1 and isinstance(shape[0], tuple):
            (shape,) = shape
        viewed = self.array.view()
        viewed.shape = shape  # raises where it would have to copy, as torch does
        return FakeTensor(viewed, self.pinned)

    def unsqueeze(self, axis):
        return FakeTensor(np.expand_dims(self.array, axis), self.pinned)

    def unbind(self):
        return tuple(FakeTensor(row, self.pinned) for row in self.array)

    def copy_(self, source, non_blocking):
        assert non_blocking
        assert self.shape == source.shape
        FakeTorch.current.enqueue(lambda: np.copyto(self.array, source.array))
        return self

    def data_ptr(self):
        return self.array.ctypes.data

    def numpy(self):
        return self.array


class FakeTorch(TorchOnStreams):
    """`current` is the stream of the only thread; `pinned` lists the sizes of host memory that was taken."""

    def __init__(self):
        super().__init__("torch")
        FakeTorch.current = self.default = FakeStream()
        self.uint8 = np.dtype(np.uint8)
        self.Tensor = FakeTensor
        self.pinned = []
        self.cuda = types.SimpleNamespace(
            Stream=FakeStream,
            Event=FakeEvent,
            stream=self.enter_stream,
            current_stream=lambda: FakeTorch.current,
        )

    def empty(self, shape, *, dtype, device="cpu", pin_memory=False):
        if pin_memory:
            self.pinned.append(shape)
        return FakeTensor(np.full(shape, 77, dtype), pin_memory)

    def empty_like(self, tensor):
        return self.empty(tensor.shape, dtype=tensor.dtype, device="cuda")

    def zeros(self, shape, *, dtype, device):
        return FakeTensor(np.zeros(shape, dtype))
