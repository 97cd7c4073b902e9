// A server with one of the official TypeScript SDKs: `node server.mjs v1|v2 [PORT]`.
// It accepts requests only for its own host and port, and prints its URL first.

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';

const [version, port = '0'] = process.argv.slice(2);
const { McpServer, Transport } =
  version === 'v1'
    ? {
        ...(await import('@modelcontextprotocol/sdk/server/mcp.js')),
        Transport: (await import('@modelcontextprotocol/sdk/server/streamableHttp.js'))
          .StreamableHTTPServerTransport
      }
    : {
        ...(await import('@modelcontextprotocol/server')),
        Transport: (await import('@modelcontextprotocol/node')).NodeStreamableHTTPServerTransport
      };

const transports = new Map();

/** The tools of one session. */
function tools() {
  const server = new McpServer({ name: `typescript-${version}`, version: '1' });
  const text = (text) => ({ content: [{ type: 'text', text }] });
  let calls = 0;
  server.registerTool('count', { description: 'Counts its calls in this session.' }, async () =>
    text(`call ${++calls} of this session`)
  );
  server.registerTool('test_simple_text', { description: 'Says one sentence.' }, async () =>
    text('This is a simple text response for testing.')
  );
  server.registerTool('wait', { description: 'Answers after a minute.' }, async () => {
    await new Promise((resolve) => setTimeout(resolve, 60_000));
    return text('a minute later');
  });
  return server;
}

/** The transport for a new session. */
async function opened() {
  const transport = new Transport({
    sessionIdGenerator: randomUUID,
    onsessioninitialized: (id) => transports.set(id, transport),
    onsessionclosed: (id) => transports.delete(id),
    enableDnsRebindingProtection: true,
    allowedHosts: [address()]
  });
  await tools().connect(transport);
  return transport;
}

const address = () => `127.0.0.1:${http.address().port}`;

const http = createServer(async (request, response) => {
  const id = request.headers['mcp-session-id'];
  const transport = id === undefined ? await opened() : transports.get(id);
  if (transport === undefined) {
    const error = { code: -32001, message: 'Session not found' };
    response.writeHead(404, { 'content-type': 'application/json' });
    response.end(JSON.stringify({ jsonrpc: '2.0', error, id: null }));
    return;
  }
  await transport.handleRequest(request, response);
});
http.listen(Number(port), '127.0.0.1', () => console.log(`MCP server at http://${address()}/mcp`));
