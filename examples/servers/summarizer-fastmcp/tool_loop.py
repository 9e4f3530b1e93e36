"""An MCP server that lets the caller's model use tools of its own (FastMCP 3.4).

`quote` hands the customer's words to `ctx.sample` together with two functions. The
model asks for them as often as it likes; FastMCP runs them here, in the server, and
sends what they return with the next sampling request, until the model is done. The
caller sees one tool call and its result.
"""

from typing import Annotated

from fastmcp import Context, FastMCP
from pydantic import Field

mcp = FastMCP("order-desk", version="1.0.0")

STOCK = {"lamp": 12, "chair": 0, "desk": 3}
PRICES = {"lamp": 40, "chair": 90, "desk": 310}


@mcp.tool
async def quote(
    request: Annotated[str, Field(description="What the customer wants.")],
    ctx: Context,
) -> str:
    """Answer a customer who asks for furniture."""
    looked_up = []

    def stock(item: str) -> int:
        """How many pieces of an item are in the warehouse."""
        looked_up.append(f"stock({item})")
        return STOCK[item]

    def price(item: str, pieces: int) -> str:
        """What so many pieces of an item cost."""
        looked_up.append(f"price({item}, {pieces})")
        return f"{PRICES[item] * pieces} euro"

    answer = await ctx.sample(
        request,
        system_prompt="You sell furniture. Look up stock and price before you answer.",
        tools=[stock, price],
        max_tokens=400,
    )
    return f"{answer.text}\n\n(looked up: {', '.join(looked_up) or 'nothing'})"


if __name__ == "__main__":
    mcp.run(transport="http", host="0.0.0.0", port=8000, show_banner=False)
