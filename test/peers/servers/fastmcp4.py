"""A FastMCP 4 server, whose tools return what they need answered.

    python fastmcp4.py PORT
"""

import asyncio
import json
import logging
import sys

from fastmcp import Context, FastMCP
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    InputRequiredResult,
    SamplingMessage,
    TextContent,
    Tool,
)

logging.disable(logging.CRITICAL)
mcp = FastMCP("fastmcp-4")


def request(text: str, **params: object) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(type="text", text=text))
    return CreateMessageRequest(
        params=CreateMessageRequestParams(messages=[message], max_tokens=100, **params)
    )


@mcp.tool
async def echo(text: str) -> str:
    return text


@mcp.tool
async def one_round(text: str, ctx: Context) -> str | InputRequiredResult:
    if not ctx.input_responses:
        return InputRequiredResult(
            input_requests={"answer": request(text, system_prompt="Be brief.")}
        )
    return ctx.input_responses["answer"].content.text


@mcp.tool
async def several_rounds(text: str, ctx: Context) -> str | InputRequiredResult:
    """Three rounds, with what was said so far in the state."""
    said = json.loads(ctx.request_state or "[]")
    if ctx.input_responses:
        said.append(ctx.input_responses["next"].content.text)
    if len(said) == 3:
        return "|".join(said)
    return InputRequiredResult(
        input_requests={"next": request(f"{text} {len(said)}")},
        request_state=json.dumps(said),
    )


@mcp.tool
async def side_by_side(text: str, ctx: Context) -> str | InputRequiredResult:
    """Three requests in one round."""
    if not ctx.input_responses:
        return InputRequiredResult(
            input_requests={f"q{i}": request(f"{text} {i}") for i in range(3)}
        )
    return "|".join(ctx.input_responses[f"q{i}"].content.text for i in range(3))


@mcp.tool
async def with_tools(text: str, ctx: Context) -> str | InputRequiredResult:
    """Let the model choose a tool, and say which."""
    if not ctx.input_responses:
        add = Tool(name="add", input_schema={"type": "object", "properties": {}})
        return InputRequiredResult(input_requests={"q": request(text, tools=[add])})
    content = ctx.input_responses["q"].content
    use = content[0] if isinstance(content, list) else content
    return f"{use.type} {use.name} {use.input}"


@mcp.prompt
async def asked(text: str, ctx: Context) -> str | InputRequiredResult:
    """A prompt that samples: not only tools may."""
    if not ctx.input_responses:
        return InputRequiredResult(input_requests={"q": request(text)})
    return ctx.input_responses["q"].content.text


asyncio.run(
    mcp.run_http_async(
        host="127.0.0.1", port=int(sys.argv[1]), path="/mcp", show_banner=False
    )
)
