"""Which packet a picture of NVDEC's was coded in."""

# No picture comes later than so many packets after its own.
_MOST_PENDING = 128


class DisplayNumbers:
    """Names packets to NVDEC and finds their numbers again.

    NVDEC hands timestamps on in rising order, whatever order they were given in: it takes them for what they are in a
    container. So packets are named by their pts; where that is missing or repeats, by the next free number.
    """

    def __init__(self) -> None:
        """Begin with no packet."""
        self._seq_by_name: dict[int, int] = {}
        self._last_name = -1

    def give(self, seq: int, pts: int | None) -> int:
        """The name of packet `seq`, an integer of 64 bits."""
        name = self._last_name + 1 if pts is None else pts
        while name in self._seq_by_name:
            name += 1
        self._seq_by_name[name] = seq
        self._last_name = name
        if len(self._seq_by_name) > _MOST_PENDING:
            del self._seq_by_name[next(iter(self._seq_by_name))]
        return name

    def take(self, name: int) -> int:
        """The number of the packet with a name, -1 for none: a picture that NVDEC made up."""
        return self._seq_by_name.pop(name, -1)
