"""One of the official Python clients against one server: `python client.py URL [--listen]`.

Prints the outcome as one line of JSON. Every wait ends after LIMIT seconds.
"""

import asyncio
import json
import sys
import urllib.error
import urllib.request
from contextlib import asynccontextmanager

import common
from common import LIMIT, call, outcome

URL = sys.argv[1]
LISTENS = "--listen" in sys.argv


@asynccontextmanager
async def opened():
    """An open session, its id, and an event that the first notification of its stream sets."""
    ids, heard = [], asyncio.Event()

    async def remember(response):
        if "mcp-session-id" in response.headers:
            ids.append(response.headers["mcp-session-id"])

    async def on_log(_):
        heard.set()

    async with common.opened(URL, {"response": [remember]}, on_log) as session:
        yield session, ids[0], heard


async def request(method, session_id, body=None):
    """The status of a request sent without the client."""
    headers = {
        "mcp-session-id": session_id,
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
    }

    def send():
        try:
            asked = urllib.request.Request(URL, body, headers, method=method)
            return urllib.request.urlopen(asked, timeout=LIMIT).status
        except urllib.error.HTTPError as error:
            return error.code

    return await asyncio.to_thread(send)


async def listen(heard):
    if LISTENS:
        await asyncio.wait_for(heard.wait(), LIMIT)
    else:
        await asyncio.sleep(0.3)


async def main():
    report = {}
    async with opened() as (session, session_id, heard):
        tools = await asyncio.wait_for(session.list_tools(), LIMIT)
        report["tools"] = sorted(tool.name for tool in tools.tools)
        report["calls"] = [await outcome(call(session, "count")) for _ in range(2)]
        report["heard"] = None
        if LISTENS:
            await listen(heard)
            report["heard"] = "notifications/message"
    ping = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    report["after_end"] = await request("POST", session_id, ping)

    async with opened() as (session, session_id, heard):
        await outcome(call(session, "count"))
        report["deleted"] = await request("DELETE", session_id)
        report["between_calls"] = await outcome(call(session, "count"))
    report["close"] = "closed"

    async with opened() as (session, session_id, heard):
        waiting = asyncio.ensure_future(call(session, "wait"))
        await asyncio.sleep(0.3)
        await request("DELETE", session_id)
        report["in_a_call"] = await outcome(waiting)

    async with opened() as (session, session_id, heard):
        await listen(heard)
        await request("DELETE", session_id)
        report["in_a_stream"] = await outcome(call(session, "count"))
    print(json.dumps(report))


asyncio.run(asyncio.wait_for(main(), 60))
