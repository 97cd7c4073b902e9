// Sends bodies that the server refuses: `node large_bodies.mjs URL`. Prints the statuses as JSON.

const statuses = [];
for (const mib of [1, 3, 5]) {
  for (const headers of [
    { 'content-type': 'application/json' },
    { 'content-type': 'text/plain' },
    { 'content-type': 'application/json', 'mcp-session-id': 'unknown' }
  ]) {
    const body = ' '.repeat(mib * 1024 * 1024);
    const response = await fetch(process.argv[2], { method: 'POST', headers, body });
    await response.text();
    statuses.push(response.status);
  }
}
console.log(JSON.stringify(statuses));
