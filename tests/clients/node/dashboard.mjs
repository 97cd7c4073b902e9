// The operator's page and two clients: `node dashboard.mjs CHROMIUM PAGE MCP [without-script]`.
// Prints what the page showed and the state of the clients, as one line of JSON.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { ARGUMENTS, inPage } from './browser.mjs';

const [pageUrl, url, option] = ARGUMENTS;
const HOSTILE = '<img src=x onerror="document.title = `owned`">';
const LIMIT = 10_000;

const report = await inPage(pageUrl, async (page, complaints) => {
  page.setDefaultTimeout(LIMIT);
  if (option === 'without-script') await page.route('**/script.js', (route) => route.abort());

  // The server becomes unreachable, and comes back.
  await page.route('**/events', (route) => route.abort());
  await page.reload();
  await page.getByText('Connection lost').waitFor();
  await page.unroute('**/events');
  await page.getByText('Live', { exact: true }).waitFor();

  complaints.length = 0;
  const sent = await everythingSentTo(page);
  await page.reload();
  await page.getByText('No sessions yet.').waitFor();

  const alice = await open(HOSTILE, { authorization: 'Bearer alice-demo' });
  const other = await open('bystander');
  await page.getByText('bystander').waitFor();
  const row = page.getByRole('row').filter({ hasText: HOSTILE });
  await row.locator('[data-field=streams]', { hasText: '1' }).waitFor();
  const fields = ['client', 'version', 'owner', 'streams'].map(async (field) => [
    field,
    await row.locator(`[data-field=${field}]`).textContent()
  ]);
  const report = Object.fromEntries(await Promise.all(fields));
  const fingerprint = await row.locator('[data-field=fingerprint]').textContent();
  report.fingerprint = fingerprint.replaceAll(/[0-9a-f]/g, 'x');
  report.images = await page.locator('img').count();
  report.title = await page.title();
  const shown = [await page.content()];

  report.refused = await ping('ended-long-ago');
  const reason = page.locator('#refused-reasons tr', { hasText: 'session not found' });
  await reason.waitFor();
  report.refused_shown = await reason.locator('td').textContent();

  page.on('dialog', (dialog) => {
    report.asked = dialog.message().replace(fingerprint, 'FINGERPRINT').split('\n')[0];
    return dialog.accept();
  });
  await row.getByRole('button', { name: `End session ${fingerprint}` }).click();
  await row.waitFor({ state: 'detached' });
  await page.getByText(`Session ${fingerprint} has ended.`).waitFor();
  report.focus = await page.evaluate(() => document.activeElement.id);
  report.ended_shown = await page.locator('#ended-reasons').getByRole('row', { name: 'revoked' }).textContent();
  report.next_call = await alice.client.ping().catch((error) =>
    error.message.includes('Session not found') ? 'Session not found' : String(error)
  );
  report.status = await ping(alice.id);
  report.bystander = await other.client.ping();
  report.complaints = [...complaints];

  shown.push(await page.content());
  const paths = [...sent.files.keys()].map((path) => path.replace(fingerprint, 'FINGERPRINT'));
  report.sent = paths.sort();
  report.announced = sent.events.some((event) => event.includes(fingerprint));
  const texts = [...(await Promise.all(sent.files.values())), ...sent.events, ...shown];
  report.leaks = texts.filter((text) => [alice.id, other.id].some((id) => text.includes(id)));
  return report;
});
console.log(JSON.stringify(report));
process.exit(0);

/** Everything that the dashboard sends to the page: files, and single events. */
async function everythingSentTo(page) {
  const sent = { files: new Map(), events: [] };
  page.on('response', (response) => {
    const headers = response.headers();
    const hasBody = headers['content-type'] !== 'text/event-stream' && response.status() !== 204;
    const body = hasBody ? response.text() : Promise.resolve('');
    const { pathname } = new URL(response.url());
    sent.files.set(pathname, body.then((body) => JSON.stringify(headers) + body));
  });
  const network = await page.context().newCDPSession(page);
  await network.send('Network.enable');
  network.on('Network.eventSourceMessageReceived', ({ data }) => sent.events.push(data));
  return sent;
}

async function open(name, headers = {}) {
  const client = new Client({ name, version: '1.2.3' });
  const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  await client.connect(transport);
  return { client, id: transport.sessionId };
}

async function ping(id) {
  const headers = {
    'mcp-session-id': id,
    authorization: 'Bearer alice-demo',
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream'
  };
  const body = '{"jsonrpc":"2.0","id":1,"method":"ping"}';
  return (await fetch(url, { method: 'POST', headers, body })).status;
}
