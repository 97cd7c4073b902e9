// The script of the page: an official TypeScript client, and hand-written `fetch` calls. esbuild
// bundles it.

import * as v2 from '@modelcontextprotocol/client';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const v1 = { Client, StreamableHTTPClientTransport };

/** Talks to the server with the client `v1`, `v2`, or `auto` (v2 with both eras). */
window.talk = async (version, url) => {
  const { client, transport, heard } = open(version, url);
  try {
    await client.connect(transport);
  } catch (error) {
    return { error: String(error) };
  }
  const id = transport.sessionId;
  const report = { session: id?.length };
  report.tools = (await client.listTools()).tools.map((tool) => tool.name);
  report.progress = [];
  report.called = await call(version, client, ({ progress }) => report.progress.push(progress));
  report.heard = await heard;

  report.without_id = await ping(url);
  report.wrong_id = await ping(url, 'ended-long-ago');
  report.right_id = await ping(url, id);
  await transport.terminateSession();
  report.after_end = await ping(url, id);
  await client.close();

  const other = open(version, url);
  await other.client.connect(other.transport);
  const headers = { 'mcp-session-id': other.transport.sessionId };
  report.deleted = (await fetch(url, { method: 'DELETE', headers })).status;
  report.call_after_end = await call(version, other.client).catch((error) =>
    error.message.includes('Session not found') ? 'Session not found' : String(error)
  );
  await other.client.close();
  return report;
};

/** `heard` resolves with the first notification of the client's GET stream. */
function open(version, url) {
  const { Client, StreamableHTTPClientTransport } = version === 'v1' ? v1 : v2;
  const options = version === 'auto' ? { versionNegotiation: { mode: 'auto' } } : {};
  const client = new Client({ name: `page-${version}`, version: '1' }, options);
  const heard = new Promise((resolve) => {
    client.fallbackNotificationHandler = async ({ params }) => resolve(params.data);
  });
  return { client, heard, transport: new StreamableHTTPClientTransport(new URL(url)) };
}

async function call(version, client, onprogress) {
  const schema = version === 'v1' ? [undefined] : [];
  const tool = { name: 'count', arguments: {} };
  return (await client.callTool(tool, ...schema, { onprogress })).content[0].text;
}

/** The status, and the message of the error if there is one. */
async function ping(url, id) {
  const answer = await fetch(url, {
    method: 'POST',
    headers: {
      ...(id && { 'mcp-session-id': id }),
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream'
    },
    body: '{"jsonrpc":"2.0","id":1,"method":"ping"}'
  });
  return [answer.status, (await answer.json()).error?.message ?? null];
}
