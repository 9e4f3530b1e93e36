"""A FastMCP 3.4 server whose tools sample in every way that FastMCP knows.

Prints the port that it listens on, then serves Streamable HTTP at /mcp, or the transport
that its argument names.
"""

import asyncio
import base64
import json
import logging
import socket
import sys

from fastmcp import Context, FastMCP
from mcp.types import ImageContent, SamplingMessage, TextContent
from pydantic import BaseModel

mcp = FastMCP("fastmcp-peer", version="3.4")

# The smallest PNG there is.
PIXEL = base64.b64encode(
    bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010804000000b51c0c02"
        "0000000b4944415478da6364f80f00010501012718e3660000000049454e44ae426082"
    )
).decode()


class City(BaseModel):
    name: str
    people: int


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def lookup(word: str) -> str:
    """Look a word up; there is no dictionary."""
    raise ValueError(f"no dictionary for {word}")


@mcp.tool
async def plain(text: str, ctx: Context) -> str:
    return (await ctx.sample(text)).text or ""


@mcp.tool
async def prompted(text: str, ctx: Context) -> str:
    result = await ctx.sample(
        text, system_prompt="Be brief.", temperature=0, max_tokens=77
    )
    return result.text or ""


@mcp.tool
async def hinted(text: str, ctx: Context) -> str:
    step = await ctx.sample_step("hello", model_preferences=text.split(","))
    return step.response.model


@mcp.tool
async def conversation(text: str, ctx: Context) -> str:
    def say(role: str, what: str) -> SamplingMessage:
        return SamplingMessage(role=role, content=TextContent(type="text", text=what))

    messages = [say("user", "one"), say("assistant", "two"), say("user", text)]
    return (await ctx.sample(messages)).text or ""


@mcp.tool
async def picture(text: str, ctx: Context) -> str:
    image = ImageContent(type="image", data=PIXEL, mimeType="image/png")
    question = TextContent(type="text", text=text)
    messages = [
        SamplingMessage(role="user", content=image),
        SamplingMessage(role="user", content=question),
    ]
    return (await ctx.sample(messages)).text or ""


@mcp.tool
async def loop(text: str, ctx: Context) -> str:
    return (await ctx.sample(text, tools=[add, lookup])).text or ""


@mcp.tool
async def structured(text: str, ctx: Context) -> str:
    result = await ctx.sample(text, result_type=City)
    return json.dumps(result.result.model_dump())


@mcp.tool
async def parallel(text: str, ctx: Context) -> str:
    answers = await asyncio.gather(*(ctx.sample(f"{text} {i}") for i in range(3)))
    return "|".join(sorted(answer.text or "" for answer in answers))


@mcp.tool
async def stop_reason(text: str, ctx: Context) -> str:
    step = await ctx.sample_step(text)
    return f"{step.response.stopReason}: {step.text}"


if __name__ == "__main__":
    # It logs a stack for each caller that leaves.
    logging.getLogger("mcp.server.streamable_http").setLevel(logging.CRITICAL)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    transport = sys.argv[1] if len(sys.argv) > 1 else "http"
    asyncio.run(
        mcp.run_http_async(
            transport=transport, sockets=[listener], path="/mcp", show_banner=False
        )
    )
