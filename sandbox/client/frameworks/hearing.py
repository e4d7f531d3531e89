"""What does a framework hear of a call? The text that a model reads, and the answer beside it."""

from __future__ import annotations

from collections.abc import Awaitable

from sandbox.client.answers import Answer, ClientError, Refusal, Unavailable
from sandbox.client.told import text_of
from sandbox.client.tools import Arguments, AsyncCall, Call, Tool


def heard(tool: Tool, call: Call, arguments: Arguments) -> tuple[str, Answer]:
    """Call a tool and return what the model reads, and the answer."""
    try:
        answer = call(arguments)
    except ClientError as error:
        answer = _turned_away(error)
    return text_of(answer, {tool.name: tool.plain_name}), answer


async def heard_async(tool: Tool, call: AsyncCall, arguments: Arguments) -> tuple[str, Answer]:
    """Call a tool on the event loop and return what the model reads, and the answer."""
    asking: Awaitable[Answer] = call(arguments)
    try:
        answer = await asking
    except ClientError as error:
        answer = _turned_away(error)
    return text_of(answer, {tool.name: tool.plain_name}), answer


def _turned_away(error: ClientError) -> Refusal:
    """Return what has no receipt as the refusal that a model can act on; raises what has no reason, for its people."""
    if not error.reason:
        raise error
    told = error if isinstance(error, Unavailable) else Unavailable("")
    return Refusal(
        call_id=told.call_id,
        reason=error.reason,
        message=str(error),
        rule="",
        retry_after_s=told.retry_after_s,
        line=0,
        column=0,
        metadata={},
        effect=told.effect,
        receipt=None,
    )
