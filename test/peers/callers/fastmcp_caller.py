"""Calls a tool as a FastMCP client without sampling, of version 3.4 or 4.

    python fastmcp_caller.py URL legacy|modern TOOL ARGUMENTS
"""

import asyncio
import json
import sys

import fastmcp

url, era, tool, arguments = sys.argv[1:]
# Version 3 knows only one era and has no word for it.
mode = {"legacy": "legacy", "modern": "2026-07-28"}[era]
options = {} if fastmcp.__version__.startswith("3.") else {"mode": mode}


async def main() -> None:
    async with fastmcp.Client(url, **options) as client:
        result = await client.call_tool(tool, json.loads(arguments))
        print(result.content[0].text)


asyncio.run(main())
