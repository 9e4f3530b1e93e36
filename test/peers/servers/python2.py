"""A server with the official Python SDK 2, which serves both eras.

    python python2.py http|sse|stdio [PORT]
"""

import logging
import sys

from mcp.server.mcpserver import Context, MCPServer
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    InputRequiredResult,
    SamplingMessage,
    TextContent,
)

logging.disable(logging.CRITICAL)
transport = sys.argv[1]
mcp = MCPServer("python-sdk-2")


def question(text: str) -> list[SamplingMessage]:
    return [SamplingMessage(role="user", content=TextContent(type="text", text=text))]


def asking(state: str | None = None, **texts: str) -> InputRequiredResult:
    return InputRequiredResult(
        input_requests={
            key: CreateMessageRequest(
                params=CreateMessageRequestParams(
                    messages=question(text), max_tokens=100
                )
            )
            for key, text in texts.items()
        },
        request_state=state,
    )


@mcp.tool()
async def echo(text: str) -> str:
    return text


@mcp.tool()
async def ask(text: str, ctx: Context) -> str:
    """Sample by a request to the caller, which only the session era has."""
    result = await ctx.session.create_message(
        question(text), max_tokens=100, related_request_id=ctx.request_id
    )
    return result.content.text


@mcp.tool()
async def one_round(text: str, ctx: Context) -> str | InputRequiredResult:
    answers = ctx.input_responses
    if not answers:
        return asking(answer=text)
    return answers["answer"].content.text


@mcp.tool()
async def two_rounds(text: str, ctx: Context) -> str | InputRequiredResult:
    answers = ctx.input_responses
    if not answers:
        return asking(first=text)
    if "first" in answers:
        return asking(state="first done", second=answers["first"].content.text)
    return f"{ctx.request_state}: {answers['second'].content.text}"


port = {"port": int(sys.argv[2])} if len(sys.argv) > 2 else {}
mcp.run({"http": "streamable-http"}.get(transport, transport), **port)
