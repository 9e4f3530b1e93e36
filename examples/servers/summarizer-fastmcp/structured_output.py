"""An MCP server that makes data of a text, by the caller's model (FastMCP 3.4).

`read_invoice` gives `ctx.sample` the type that it wants. FastMCP offers the model a
tool named `final_response` with the schema of that type, insists that it is called
(tool choice "required"), and checks the arguments.
"""

from datetime import date
from typing import Annotated

from fastmcp import Context, FastMCP
from pydantic import BaseModel, Field

mcp = FastMCP("invoice-reader", version="1.0.0")


class Invoice(BaseModel):
    number: str
    due: date
    total: float = Field(ge=0, description="The sum to pay.")
    currency: str = Field(pattern="^[A-Z]{3}$", description="Such as EUR.")


@mcp.tool
async def read_invoice(
    text: Annotated[str, Field(description="The invoice, as text.")],
    ctx: Context,
) -> Invoice:
    """Read number, due date and sum from an invoice."""
    answer = await ctx.sample(
        text,
        system_prompt="You read invoices and report what they say, nothing else.",
        result_type=Invoice,
        max_tokens=200,
    )
    return answer.result


if __name__ == "__main__":
    mcp.run(transport="http", host="0.0.0.0", port=8000, show_banner=False)
