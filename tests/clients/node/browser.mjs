// A page in headless Chromium, for the scripts that `client_tests::Browser` runs:
// `node SCRIPT CHROMIUM ARGUMENTS...`.

import { chromium } from 'playwright-core';

const [executablePath, ...rest] = process.argv.slice(2);

/** The arguments after the browser's path. */
export const ARGUMENTS = rest;

/**
 * Opens `url` and returns the result of `act` on the page. `complaints` are the errors that the browser
 * writes to its console. A script in the page cannot read all of them.
 */
export async function inPage(url, act) {
  const browser = await chromium.launch({ executablePath });
  try {
    const page = await browser.newPage();
    const complaints = [];
    page.on('console', (line) => line.type() === 'error' && complaints.push(line.text()));
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(url);
    return await act(page, complaints);
  } finally {
    await browser.close();
  }
}
