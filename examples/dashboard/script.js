// Shows the reports of /events, and ends sessions. Text of clients never becomes markup.

'use strict';

const at = (id) => document.getElementById(id);
const SILENCE = 5_000; // milliseconds; the server sends a report every second
let lastReport = 0;

function connect() {
  const events = new EventSource('events');
  lastReport = Date.now();
  events.onmessage = ({ data }) => {
    lastReport = Date.now();
    connection('live', 'Live');
    show(JSON.parse(data));
  };
  events.onerror = () => connection('lost', 'Connection lost, trying again…');
  // The browser reconnects after a broken connection, but not after a refusal or silence.
  const watch = setInterval(() => {
    if (events.readyState !== EventSource.CLOSED && Date.now() - lastReport < SILENCE) return;
    events.onerror();
    events.close();
    clearInterval(watch);
    connect();
  }, 1_000);
}

function connection(state, text) {
  if (document.body.dataset.connection === state) return;
  document.body.dataset.connection = state;
  at('connection').textContent = text;
}

function show(now) {
  document.title = `${now.open} open · MCP sessions`;
  at('open').textContent = count(now.open);
  at('streams').textContent = count(now.streams);
  at('opened').textContent = count(now.opened);
  at('ended').textContent = count(sum(now.ended));
  at('refused').textContent = count(sum(now.refused));
  const open = now.history.map(([open]) => open);
  const refused = now.history.map(([, refused]) => refused);
  draw('open', open, `now ${count(now.open)}, at most ${count(Math.max(...open))}`);
  draw('refused', refused, `${count(refused.reduce((a, b) => a + b))} in 5 min, at most ${count(Math.max(...refused))}`);
  list(now);
  reasons('ended-reasons', now.ended, 'No session has ended yet.');
  reasons('refused-reasons', now.refused, 'No request has been refused yet.');
}

/** Draws one step a second, the newest at the right edge. As in the page, 300 units are five minutes. */
function draw(name, values, summary) {
  const top = scaleOf(Math.max(...values));
  const scale = at(`${name}-chart`).querySelectorAll('.scale span');
  [top, top / 2, 0].forEach((value, i) => (scale[i].textContent = count(value)));
  const start = 300 - values.length;
  const steps = values.map((value, i) => `V${100 - (100 * value) / top}H${start + i + 1}`).join('');
  const [area, line] = at(`${name}-chart`).querySelectorAll('.area, .line');
  area.setAttribute('d', `M${start} 100${steps}V100Z`);
  line.setAttribute('d', `M${start} ${100 - (100 * values[0]) / top}${steps}`);
  at(`${name}-summary`).textContent = summary;
}

/** Returns the top of a scale whose middle is a whole number too: 2, 4, 10, 20, 40, 100… */
function scaleOf(most) {
  for (let ten = 1; ; ten *= 10) {
    const top = [2, 4, 10].find((step) => step * ten >= most);
    if (top) return top * ten;
  }
}

/** The rows, by fingerprint. A row stays while its session lives, so its button keeps the focus. */
const rows = new Map();

function list({ sessions, open, opened }) {
  const ended = new Set(rows.keys());
  const body = at('sessions').tBodies[0];
  sessions.forEach((session, i) => {
    ended.delete(session.fingerprint);
    const row = rows.get(session.fingerprint) ?? add(session);
    for (const field of ['age', 'idle']) {
      row.querySelector(`[data-field=${field}]`).textContent = duration(session[field]);
    }
    for (const field of ['in_flight', 'streams']) {
      row.querySelector(`[data-field=${field}]`).textContent = count(session[field]);
    }
    if (body.rows[i] !== row) body.insertBefore(row, body.rows[i] ?? null);
  });
  for (const fingerprint of ended) {
    const row = rows.get(fingerprint);
    if (row.contains(document.activeElement)) at('sessions-title').focus();
    row.remove();
    rows.delete(fingerprint);
  }
  at('sessions').hidden = open === 0;
  at('empty').hidden = open > 0;
  at('empty').querySelector('b').textContent = opened === 0 ? 'No sessions yet.' : 'No session is open.';
  at('more').hidden = open <= sessions.length;
  at('more').textContent = `The newest ${count(sessions.length)} of ${count(open)} sessions.`;
}

function add({ fingerprint, client, version, owner }) {
  const row = at('session').content.firstElementChild.cloneNode(true);
  const texts = { fingerprint, client: client ?? 'unnamed', version: version ?? '', owner: owner ?? 'anonymous' };
  for (const [field, text] of Object.entries(texts)) {
    row.querySelector(`[data-field=${field}]`).textContent = text;
  }
  row.querySelector('[data-field=owner]').classList.toggle('anonymous', owner === null);
  const button = row.querySelector('button');
  button.setAttribute('aria-label', `End session ${fingerprint} of ${texts.client}`);
  button.onclick = () => end(fingerprint, texts.client);
  rows.set(fingerprint, row);
  return row;
}

async function end(fingerprint, client) {
  if (!confirm(`End session ${fingerprint} of ${client}?\n\nIts client must open a new one.`)) return;
  const answer = await fetch(`sessions/${fingerprint}/end`, { method: 'POST' }).catch(() => null);
  const outcome = { 204: 'has ended', 404: 'had already ended' }[answer?.status] ?? 'could not be ended';
  at('said').textContent = `Session ${fingerprint} ${outcome}.`;
}

function reasons(id, counts, none) {
  const most = Math.max(...Object.values(counts));
  const entries = Object.entries(counts).sort(([, a], [, b]) => b - a);
  const shown = entries.map(([reason, n]) => {
    const row = at('reason').content.firstElementChild.cloneNode(true);
    row.cells[0].textContent = reason.replaceAll('_', ' ');
    row.cells[1].textContent = count(n);
    row.style.setProperty('--share', n / most);
    return row;
  });
  if (shown.length === 0) {
    const row = document.createElement('tr');
    row.insertCell().textContent = none;
    shown.push(row);
  }
  at(id).tBodies[0].replaceChildren(...shown);
}

const sum = (counts) => Object.values(counts).reduce((a, b) => a + b, 0);
const count = (number) => number.toLocaleString('en');

function duration(seconds) {
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  if (minutes === 0) return `${seconds} s`;
  if (hours === 0) return `${minutes} min ${seconds % 60} s`;
  return `${hours} h ${minutes % 60} min`;
}

at('empty').querySelector('code').textContent = new URL('mcp', location.href).href;
connect();
