// A page calls an MCP server of another origin: `node cors.mjs CHROMIUM PAGE v1|v2|auto URL`.
// Prints what the page's script saw and what the browser blocked, as one line of JSON.

import { ARGUMENTS, inPage } from './browser.mjs';

const [pageUrl, version, url] = ARGUMENTS;

const report = await inPage(pageUrl, async (page, complaints) => {
  const seen = await page.evaluate(([version, url]) => window.talk(version, url), [version, url]);
  return { seen, blocked: complaints.filter((line) => line.includes('blocked by CORS policy')) };
});
console.log(JSON.stringify(report));
