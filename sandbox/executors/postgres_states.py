"""Why did a server not let a login in? libpq keeps the SQLSTATE only in its message, if it is told to.

psycopg does not offer that setting of libpq's, so its own copy of libpq is asked through `ctypes`, as psycopg documents
for what it does not wrap (https://www.psycopg.org/psycopg3/docs/api/pq.html#psycopg.pq.PGconn.pgconn_ptr).
"""

from __future__ import annotations

import ctypes
import re
import sys
from typing import Final, Protocol, cast

from psycopg import pq

_STATES_ALONE: Final = 3
"""`PQERRORS_SQLSTATE`: a message is severity and state, none of the server's words."""
_STATE: Final = re.compile(rb":\s+([0-9A-Z]{5})$", re.MULTILINE)


class _Pointing(Protocol):
    """What every implementation of `PGconn` has, and its protocol leaves out."""

    @property
    def pgconn_ptr(self) -> int | None: ...


def tell_states_alone(connection: pq.abc.PGconn) -> None:
    """Have libpq keep of each error of the server nothing but its SQLSTATE."""
    _set_error_verbosity(cast("_Pointing", connection).pgconn_ptr, _STATES_ALONE)


def state_of(connection: pq.abc.PGconn) -> str:
    """Return the SQLSTATE with which the server that was asked last let nobody in; empty if it said none."""
    states = _STATE.findall(connection.error_message)
    return states[-1].decode("ascii") if states else ""


def _of_libpq() -> ctypes.CDLL:
    """Return the module that psycopg runs on: what it was linked with is found through it."""
    return ctypes.CDLL(sys.modules[pq.PGconn.__module__].__file__)


_set_error_verbosity: Final = _of_libpq().PQsetErrorVerbosity
_set_error_verbosity.argtypes = [ctypes.c_void_p, ctypes.c_int]
_set_error_verbosity.restype = ctypes.c_int
