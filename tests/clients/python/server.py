"""A server with one of the official Python SDKs: `python server.py [PORT]`.

It accepts requests only for its own host and port, and prints its URL first.
"""

import asyncio
import logging
import socket
import sys
from collections import Counter

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings

try:  # version 2 has another name for it
    from mcp.server.mcpserver import Context, MCPServer
except ImportError:
    from mcp.server.fastmcp import Context, FastMCP as MCPServer

# The SDK logs each stream that ends with its session as an error with a traceback.
logging.getLogger("mcp").setLevel(logging.CRITICAL)

calls = Counter()


async def count(context: Context) -> str:
    """Counts its calls in this session."""
    session_id = context.request_context.request.headers["mcp-session-id"]
    calls[session_id] += 1
    return f"call {calls[session_id]} of this session"


async def test_simple_text() -> str:
    """Says one sentence."""
    return "This is a simple text response for testing."


async def wait() -> str:
    """Answers after a minute."""
    await asyncio.sleep(60)
    return "a minute later"


def app(address):
    security = TransportSecuritySettings(allowed_hosts=[address])
    if MCPServer.__name__ == "FastMCP":
        server = MCPServer("python-v1", transport_security=security)
        app = server.streamable_http_app()
    else:
        server = MCPServer("python-v2")
        app = server.streamable_http_app(transport_security=security)
    for tool in (count, test_simple_text, wait):
        server.add_tool(tool)
    return app


listener = socket.create_server(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0))
address = "127.0.0.1:%d" % listener.getsockname()[1]
print(f"MCP server at http://{address}/mcp", flush=True)
server = uvicorn.Server(uvicorn.Config(app(address), log_level="warning"))
server.run(sockets=[listener])
