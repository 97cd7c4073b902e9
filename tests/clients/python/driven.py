"""One of the official Python clients, controlled by commands: `python driven.py URL`.

Each input line is a command. The script answers it with one line of JSON. node/driven.mjs lists
the commands.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack

from common import LIMIT, call, opened, outcome

URL = sys.argv[1]


class Client:
    def __init__(self, stack):
        self.stack = stack
        self.bearer = None
        self.ids = []
        self.streams = {"GET": asyncio.Event(), "POST": asyncio.Event()}

    async def on_request(self, request):
        if self.bearer:
            request.headers["authorization"] = f"Bearer {self.bearer}"

    async def on_response(self, response):
        if "mcp-session-id" in response.headers:
            self.ids.append(response.headers["mcp-session-id"])
        if response.headers.get("content-type") == "text/event-stream":
            self.streams[response.request.method].set()

    async def token(self, text):
        self.bearer = text
        return text

    async def open(self):
        hooks = {"request": [self.on_request], "response": [self.on_response]}
        self.session = await self.stack.enter_async_context(opened(URL, hooks))
        await asyncio.wait_for(self.streams["GET"].wait(), LIMIT)
        return self.ids[0]

    async def call(self, tool):
        return await outcome(call(self.session, tool))

    async def begin(self, tool):
        self.streams["POST"].clear()
        self.begun = asyncio.ensure_future(call(self.session, tool))
        await asyncio.wait_for(self.streams["POST"].wait(), LIMIT)
        return "begun"

    async def finish(self):
        return await outcome(self.begun)


async def main():
    async with AsyncExitStack() as stack:
        client = Client(stack)
        while line := await asyncio.to_thread(sys.stdin.readline):
            name, *arguments = line.split()
            print(json.dumps(await getattr(client, name)(*arguments)), flush=True)


asyncio.run(main())
