// One of the official TypeScript clients, controlled by commands: `node driven.mjs v1|v2 URL`. Each
// input line is a command. The script answers it with one line of JSON:
//   token TOKEN  sets the bearer token of later requests
//   open         opens a session, waits for its GET stream, and answers the id
//   call TOOL    answers the result of the tool
//   begin TOOL   calls the tool and waits only until the answer begins
//   finish       answers the outcome of that call

import { createInterface } from 'node:readline';
import { call, outcome, sdk, within } from './common.mjs';

const [version, url] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport } = await sdk(version);

let token, client, begun;
let onStream = () => {};

/** A fetch with the current token that calls `onStream` when an event stream begins. */
const watchedFetch = async (input, init) => {
  const headers = new Headers(init.headers);
  if (token) headers.set('authorization', `Bearer ${token}`);
  const response = await fetch(input, { ...init, headers });
  if (response.headers.get('content-type') === 'text/event-stream') onStream(init.method);
  return response;
};

/** Resolves when the next event stream in answer to this method begins. */
const stream = (method) =>
  new Promise((resolve) => {
    onStream = (answered) => answered === method && resolve();
  });

const commands = {
  token: async (text) => {
    token = text;
    return text;
  },
  open: async () => {
    const listening = stream('GET');
    client = new Client({ name: `typescript-${version}`, version: '1' });
    const transport = new StreamableHTTPClientTransport(new URL(url), { fetch: watchedFetch });
    await within(client.connect(transport));
    await within(listening);
    return transport.sessionId;
  },
  call: (tool) => outcome(call(client, tool)),
  begin: async (tool) => {
    const answering = stream('POST');
    begun = call(client, tool);
    begun.catch(() => {});
    await within(answering);
    return 'begun';
  },
  finish: () => outcome(begun)
};

for await (const line of createInterface({ input: process.stdin })) {
  const [name, argument] = line.split(' ');
  console.log(JSON.stringify(await commands[name](argument)));
}
process.exit(0);
