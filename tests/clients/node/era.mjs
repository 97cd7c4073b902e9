// A TypeScript client that asks which service answers: `node era.mjs v1|auto|legacy URL`.
// Prints the answer, or the error that the client was given.

const [mode, url] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport } =
  mode === 'v1'
    ? {
        ...(await import('@modelcontextprotocol/sdk/client/index.js')),
        ...(await import('@modelcontextprotocol/sdk/client/streamableHttp.js'))
      }
    : await import('@modelcontextprotocol/client');

const options = mode === 'v1' ? {} : { versionNegotiation: { mode } };
const client = new Client({ name: 'era', version: '1' }, options);
try {
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  const result = await client.callTool({ name: 'which', arguments: {} });
  console.log(result.content[0].text);
  await client.close();
} catch (error) {
  console.log(`error: ${error.message}`);
}
process.exit(0);
