// Requests to the console and, for votes, to the approver. The token is held here and nowhere else: gone
// with the page.

let token = null;
let approverUrl = null;
export const setToken = (value) => { token = value || null; };
export const hasToken = () => token !== null;
export const setApprover = (url) => { approverUrl = url ? url.replace(/\/$/, '') : null; };
export const hasApprover = () => approverUrl !== null;

// What went wrong, in the words of RFC 9457 where the server said it so.
export class Problem extends Error {
  constructor(status, title, detail, errors) {
    super(detail || title);
    Object.assign(this, { status, title, errors: errors || [] });
  }
}

function headers(extra) {
  return token ? { ...extra, Authorization: `Bearer ${token}` } : { ...extra };
}

async function answer(response) {
  const type = response.headers.get('Content-Type') || '';
  const body = type.includes('json') ? await response.json() : await response.text();
  if (response.ok) return { status: response.status, body };
  throw new Problem(response.status, body.title || response.statusText, body.detail || String(body), body.errors);
}

async function request(url, options, whose) {
  let response;
  try {
    response = await fetch(url, { cache: 'no-store', credentials: 'omit', ...options });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Problem(0, 'Unreachable', `The ${whose} cannot be reached`);
  }
  return answer(response);
}

export async function get(path, options = {}) {
  const { body } = await request(`/api/v1/${path}`, { headers: headers({ Accept: 'application/json' }), ...options }, 'console');
  return body;
}

// To the person's disk. By a request of the page's own, since a link sends no Authorization.
export async function download(path, name) {
  const response = await fetch(`/api/v1/${path}`, { headers: headers({}), cache: 'no-store', credentials: 'omit' })
    .catch(() => { throw new Problem(0, 'Unreachable', 'The console cannot be reached'); });
  if (!response.ok) await answer(response);
  const url = URL.createObjectURL(await response.blob());
  const link = Object.assign(document.createElement('a'), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// An Idempotency-Key. Not randomUUID(): that is there only over https and on localhost.
export const newKey = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');

// The key makes a repeated press the same request.
export async function post(path, json, key = newKey()) {
  return request(`/api/v1/${path}`, {
    method: 'POST',
    headers: headers({ 'Content-Type': 'application/json', 'Idempotency-Key': key }),
    body: JSON.stringify(json),
  }, 'console');
}

export async function vote(approvalId, json, key) {
  if (!approverUrl) throw new Problem(0, 'No approver', 'common.approver-url is not set on the console');
  return request(`${approverUrl}/api/v1/approvals/${approvalId}/votes`, {
    method: 'POST',
    headers: headers({ 'Content-Type': 'application/json', 'Idempotency-Key': key }),
    body: JSON.stringify(json),
  }, 'approver');
}

// Server-sent events by fetch, since EventSource sends no Authorization. Calls on(name, data, id) for each; returns when
// the stream ended, throws a Problem when it could not begin.
export async function stream(path, { lastId, signal, on }) {
  const extra = { Accept: 'text/event-stream' };
  if (lastId) extra['Last-Event-ID'] = lastId;
  const response = await fetch(`/api/v1/${path}`, { headers: headers(extra), signal, cache: 'no-store', credentials: 'omit' })
    .catch((error) => { throw error.name === 'AbortError' ? error : new Problem(0, 'Unreachable', 'The console cannot be reached'); });
  if (!response.ok) await answer(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    const frames = rest.split('\n\n');
    rest = frames.pop();
    for (const frame of frames) readFrame(frame, on);
  }
}

function readFrame(frame, on) {
  let name = 'message', id, data;
  for (const line of frame.split('\n')) {
    const colon = line.indexOf(':');
    const field = line.slice(0, colon), value = line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') name = value;
    else if (field === 'id') id = value;
    else if (field === 'data') data = data === undefined ? value : `${data}\n${value}`;
  }
  on(data === undefined ? null : name, data === undefined ? null : JSON.parse(data), id);
}
