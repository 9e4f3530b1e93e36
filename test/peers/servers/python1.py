"""A server with the official Python SDK 1.

    python python1.py http|sse|stdio [PORT]
"""

import sys

from mcp.server.fastmcp import Context, FastMCP
from mcp.types import SamplingMessage, TextContent

transport = sys.argv[1]
port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
mcp = FastMCP("python-sdk-1", host="127.0.0.1", port=port, log_level="ERROR")


@mcp.tool()
async def echo(text: str) -> str:
    return text


@mcp.tool()
async def ask(text: str, ctx: Context) -> str:
    """Sample, on the stream of the call."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    result = await ctx.session.create_message(
        [message], max_tokens=100, related_request_id=ctx.request_id
    )
    return result.content.text


@mcp.tool()
async def ask_on_get(text: str, ctx: Context) -> str:
    """Sample without naming the call, so on the session's own stream."""
    message = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    result = await ctx.session.create_message([message], max_tokens=100)
    return result.content.text


mcp.run({"http": "streamable-http"}.get(transport, transport))
