"""What happened, for operators? One JSON line an event on stderr: ids and digests, never arguments, SQL or results."""

from __future__ import annotations

import sys

import structlog

structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(),
    ],
    logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
    cache_logger_on_first_use=True,
)
_logger = structlog.get_logger()


def note(event: str, **facts: str | float | bool) -> None:
    """Tell operators of `event`, a fixed phrase; `facts` are ids, digests, counts and names of our own files."""
    _logger.info(event, **facts)


def warn(event: str, **facts: str | float | bool) -> None:
    """Tell operators of `event`, which somebody should look at."""
    _logger.warning(event, **facts)


def broke(event: str, error: BaseException, **facts: str | float | bool) -> None:
    """Tell operators of a fault by its class and place. The error's own text stays out: it may quote contents."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace is not None else ""
    _logger.error(event, error_class=type(error).__name__, where=where, **facts)
