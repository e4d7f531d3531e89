"""What an agent developer imports: call a tool, get a value, with a receipt that has been verified.

```python
from sandbox.client import Client, Refusal, Result

with Client.from_deployment("my-deployment", "agent") as client:
    match client.call("shop.query", {"sql": "SELECT region, count(*) FROM orders GROUP BY region"}):
        case Result(rows=rows, receipt=receipt):
            print(rows, receipt.verified.index)
        case Refusal(reason=reason, message=message):
            print(reason, message)
```
"""

from __future__ import annotations

from sandbox.client.aio import AsyncClient
from sandbox.client.answers import (
    Answer,
    ClientError,
    Column,
    Explanation,
    NotAuthenticated,
    Pending,
    Receipt,
    ReceiptInvalid,
    Refusal,
    Result,
    ServiceError,
    Unavailable,
)
from sandbox.client.credentials import Identity, address_of
from sandbox.client.sync import Client
from sandbox.client.tools import AsyncClientTool, ClientTool, Tool

__all__ = [
    "Answer",
    "AsyncClient",
    "AsyncClientTool",
    "Client",
    "ClientError",
    "ClientTool",
    "Column",
    "Explanation",
    "Identity",
    "NotAuthenticated",
    "Pending",
    "Receipt",
    "ReceiptInvalid",
    "Refusal",
    "Result",
    "ServiceError",
    "Tool",
    "Unavailable",
    "address_of",
]
