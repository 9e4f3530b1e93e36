"""FastMCP's own proxy, with a sampling handler that answers without a model.

fastmcp_proxy.py fresh|session URL

With fresh every request opens a session with the server, as create_proxy does
by itself; with session every caller keeps one, which is as fast as it gets.
"""

import asyncio
import logging
import socket
import sys

from fastmcp.server import create_proxy
from fastmcp.server.providers.proxy import (
    FastMCPProxy,
    ProxyClient,
    StatefulProxyClient,
)


async def sample(messages, params, context) -> str:
    return messages[-1].content.text


def proxy(kind: str, url: str) -> FastMCPProxy:
    if kind == "fresh":
        return create_proxy(ProxyClient(url, sampling_handler=sample), name="bench")
    client = StatefulProxyClient(url, sampling_handler=sample)
    return FastMCPProxy(client_factory=client.new_stateful, name="bench")


if __name__ == "__main__":
    logging.disable(logging.ERROR)
    # With the protocol named, asyncio switches Nagle's algorithm off, which would
    # cost 40 ms a call.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(2048)
    print(f"127.0.0.1:{listener.getsockname()[1]}", flush=True)
    asyncio.run(
        proxy(sys.argv[1], sys.argv[2]).run_http_async(
            sockets=[listener],
            path="/mcp",
            show_banner=False,
            log_level="critical",
            uvicorn_config={"access_log": False, "timeout_keep_alive": 600},
        )
    )
