"""Shared by the scripts: a session of the official client, and waits with a time limit."""

import asyncio
from contextlib import asynccontextmanager

from mcp import ClientSession
from mcp.client.streamable_http import streamable_http_client

try:  # version 2 has its own package
    import httpx2 as httpx
except ImportError:
    import httpx

LIMIT = 10


@asynccontextmanager
async def opened(url, hooks, on_log=None):
    """An open session. `hooks` are called with each HTTP request or response."""
    async with httpx.AsyncClient(timeout=60, event_hooks=hooks) as http:
        async with streamable_http_client(url, http_client=http) as streams:
            async with ClientSession(streams[0], streams[1], logging_callback=on_log) as session:
                await asyncio.wait_for(session.initialize(), LIMIT)
                yield session


async def call(session, name):
    result = await session.call_tool(name, {})
    return result.content[0].text


async def outcome(awaitable):
    """The outcome of a call: its value, or that it was rejected or timed out."""
    try:
        return await asyncio.wait_for(awaitable, LIMIT)
    except asyncio.TimeoutError:
        return "TIMED OUT"
    except Exception:
        return "rejected"
