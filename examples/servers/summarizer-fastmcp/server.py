"""An MCP server whose tools ask the caller's model (FastMCP 3.4).

`summarize` hands the text to `ctx.sample_step`, which becomes a sampling request
to the MCP client, and returns what the model makes of it. The server itself
knows no model and holds no key. With TOKEN in its environment it takes callers that
send it ("Authorization: Bearer …") and no others.
"""

import os
import sys
from typing import Annotated

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.server.auth import StaticTokenVerifier
from pydantic import Field

token = os.environ.get("TOKEN")
auth = StaticTokenVerifier({token: {"client_id": "sampler"}}) if token else None
mcp = FastMCP("summarizer-fastmcp", version="1.0.0", auth=auth)

Text = Annotated[str, Field(description="The text to work on.")]


async def ask(ctx: Context, instruction: str, text: str, max_tokens: int) -> str:
    """Ask the caller's model once; a failure is the tool's result."""
    try:
        step = await ctx.sample_step(
            f"{instruction}\n\n{text}",
            system_prompt="You write plain, short English.",
            max_tokens=max_tokens,
        )
    except Exception as error:
        raise ToolError(f"sampling failed: {error}") from error
    return f"{step.text}\n\n(model: {step.response.model})"


@mcp.tool
async def summarize(text: Text, ctx: Context) -> str:
    """Summarize a text in one or two sentences."""
    return await ask(ctx, "Summarize this text in one short sentence:", text, 120)


@mcp.tool
async def title(text: Text, ctx: Context) -> str:
    """Find a short title for a text."""
    return await ask(ctx, "Give this text a title of at most six words:", text, 24)


@mcp.tool
async def echo(text: Text) -> str:
    """Return the text as it is, without any model."""
    return text


if __name__ == "__main__":
    # http (Streamable HTTP at /mcp), sse (HTTP+SSE at /sse) or stdio
    transport = sys.argv[1] if len(sys.argv) > 1 else "http"
    if transport == "stdio":
        mcp.run(transport="stdio", show_banner=False)
    else:
        mcp.run(transport=transport, host="0.0.0.0", port=8000, show_banner=False)
