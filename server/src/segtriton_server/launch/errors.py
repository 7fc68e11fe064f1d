"""What can go wrong before and while Triton starts; each message is one sentence with the remedy.

LaunchError
├── AdminKeyError              the file with the operators' key cannot be used
├── AssetError                 a network or a clip could not be fetched
└── TritonError
    ├── TritonNotFoundError    no tritonserver on this machine
    ├── StubError              Triton's Python stub cannot run
    ├── NumpyVersionError      a NumPy that this Triton cannot work with
    ├── ModelNotFoundError     a model or the networks' folder is not where it was said to be
    ├── PortInUseError         another program listens there
    └── ServerExitedError      Triton ended, or did not get ready in time
"""


class LaunchError(Exception):
    """Anything this package reports to the person who starts it."""


class AdminKeyError(LaunchError):
    """The file with the key of Triton's administrative calls cannot be used."""


class AssetError(LaunchError):
    """A network or a sample clip could not be fetched, or is not the one that was meant."""


class TritonError(LaunchError):
    """Triton cannot start here."""


class TritonNotFoundError(TritonError):
    """There is no tritonserver."""


class StubError(TritonError):
    """The stub that runs Python models does not run."""


class NumpyVersionError(TritonError):
    """NumPy is missing, or too new for this Triton."""


class ModelNotFoundError(TritonError):
    """A model, or the folder of networks, is missing."""


class PortInUseError(TritonError):
    """A port is taken."""


class ServerExitedError(TritonError):
    """Triton ended by itself, or was not ready in time.

    Attributes:
        log_tail: The last lines of its log, if it had one.
    """

    def __init__(self, message: str, log_tail: str = "") -> None:
        """Keeps the end of the log beside the message."""
        super().__init__(message)
        self.log_tail = log_tail
