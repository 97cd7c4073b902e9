"""A Python client that asks which service answers: `python era.py auto|legacy URL`.

Prints the answer, or the error that the client reported. Version 1 knows only `legacy`.
"""

import asyncio
import sys

MODE, URL = sys.argv[1:]


def reasons(error):
    """The texts of the errors inside an exception group."""
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(reasons(inner) for inner in error.exceptions)
    return str(error)


async def ask():
    try:
        from mcp import Client
    except ImportError:
        from mcp import ClientSession
        from mcp.client.streamable_http import streamable_http_client

        async with streamable_http_client(URL) as (read, write, _):
            async with ClientSession(read, write) as session:
                await session.initialize()
                return await session.call_tool("which", {})
    async with Client(URL, mode=MODE) as client:
        return await client.call_tool("which", {})


try:
    result = asyncio.run(asyncio.wait_for(ask(), 20))
    print(result.content[0].text)
except BaseException as error:
    print(f"error: {reasons(error)}")
