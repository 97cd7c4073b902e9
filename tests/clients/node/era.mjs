// A TypeScript client that asks which service answers: `node era.mjs v1|auto|legacy URL`.
// Prints the answer, or the error that the client reported.

import { sdk } from './common.mjs';

const [mode, url] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport } = await sdk(mode);

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
