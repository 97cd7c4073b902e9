// One of the official TypeScript clients against one server: `node client.mjs v1|v2 URL`.
// Prints the outcome as one line of JSON. Every wait ends after ten seconds.

import { call, outcome, pause, sdk, within } from './common.mjs';

const [version, url] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport } = await sdk(version);

/** Opens a session; `heard` resolves with the first notification of its GET stream. */
async function open() {
  const client = new Client({ name: `typescript-${version}`, version: '1' });
  const heard = new Promise((resolve) => {
    client.fallbackNotificationHandler = async (notification) => resolve(notification.method);
  });
  const transport = new StreamableHTTPClientTransport(new URL(url));
  await within(client.connect(transport));
  return { client, transport, heard, id: transport.sessionId };
}

/** Ends a session without its client. */
const end = async (id) =>
  (await fetch(url, { method: 'DELETE', headers: { 'mcp-session-id': id } })).status;

const status = async (id) =>
  (
    await fetch(url, {
      method: 'POST',
      headers: {
        'mcp-session-id': id,
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream'
      },
      body: '{"jsonrpc":"2.0","id":1,"method":"ping"}'
    })
  ).status;

const report = {};

{
  const { client, transport, heard, id } = await open();
  report.tools = (await within(client.listTools())).tools.map((tool) => tool.name).sort();
  report.calls = [await within(call(client, 'count')), await within(call(client, 'count'))];
  report.heard = process.argv.includes('--listen') ? await outcome(heard) : null;
  await within(transport.terminateSession());
  await within(client.close());
  report.after_end = await status(id);
}
{
  const { client, id } = await open();
  await within(call(client, 'count'));
  report.deleted = await end(id);
  report.between_calls = await outcome(call(client, 'count'));
  report.close = await outcome(client.close().then(() => 'closed'));
}
{
  const { client, id } = await open();
  const waiting = outcome(call(client, 'wait'));
  await pause(300);
  await end(id);
  report.in_a_call = await waiting;
  await within(client.close());
}
{
  const { client, heard, id } = await open();
  await (process.argv.includes('--listen') ? outcome(heard) : pause(300));
  await end(id);
  report.in_a_stream = await outcome(call(client, 'count'));
  await within(client.close());
}
console.log(JSON.stringify(report));
process.exit(0);
