"""Serves FastMCP's own programs as they are.

Each argument is a Python file with an object `mcp`. Prints the port of each, a line each in
their order, then serves all of them over Streamable HTTP at /mcp.
"""

import asyncio
import importlib.util
import logging
import pathlib
import socket
import sys


def load(file: str):
    spec = importlib.util.spec_from_file_location(pathlib.Path(file).stem, file)
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program.mcp


async def main() -> None:
    servers = [
        (load(file), socket.create_server(("127.0.0.1", 0))) for file in sys.argv[1:]
    ]
    for _, listener in servers:
        print(listener.getsockname()[1], flush=True)
    await asyncio.gather(
        *(
            mcp.run_http_async(sockets=[listener], path="/mcp", show_banner=False)
            for mcp, listener in servers
        )
    )


if __name__ == "__main__":
    # It logs a stack for each caller that leaves.
    logging.getLogger("mcp.server.streamable_http").setLevel(logging.CRITICAL)
    asyncio.run(main())
