"""Structured logs on standard error, which Triton passes on: text, or one JSON object a line."""

import json
import logging
import sys
from datetime import datetime, timezone

from segtriton_server.settings import Settings

_SESSION = "session"


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            _SESSION: getattr(record, _SESSION, ""),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s session=%(session)s %(message)s", defaults={_SESSION: "-"})


def configure_logging(settings: Settings) -> None:
    """Send this package's records to standard error in the form that the settings ask for."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if settings.log_json else _TextFormatter())
    logger = logging.getLogger("segtriton_server")
    logger.handlers[:] = [handler]
    logger.setLevel(settings.log_level)
    logger.propagate = False


def session_log(name: str, session_id: str) -> logging.LoggerAdapter[logging.Logger]:
    """Return a logger whose records carry the session id."""
    return logging.LoggerAdapter(logging.getLogger(name), {_SESSION: session_id})
