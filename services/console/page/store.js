// What the page knows. Fed by the event stream: an event says which pipeline changed, and what the console
// knows of it is asked for again, some together. Views subscribe and render.
import * as api from './api.js';

const SETTLE_MS = 50;       // events that come together are one question
const ASK_SINGLY_MAX = 12;  // more pipelines changed at once: the whole list is asked for
const RETRY_MS = [500, 1000, 2000, 5000];

export const state = {
  version: null,
  me: null,             // whoami; null: not signed in
  needsToken: false,
  connection: 'connecting', // live, lost
  pipelines: null,      // name -> pipeline, in the order of names; null: not loaded
  details: new Map(),   // name -> pipeline with actions
  approvals: null,
  problem: null,
};

const subscribers = new Set();
let queued = false;
export function changed() {
  if (queued) return;
  queued = true;
  requestAnimationFrame(() => {
    queued = false;
    for (const fn of [...subscribers]) fn();
  });
}
export function subscribe(fn) {
  subscribers.add(fn);
  return () => subscribers.delete(fn);
}

const eventListeners = new Set();
// Each event as it comes: fn({type, pipeline, ...}), and fn(null) when all must be asked for anew.
export function onEvent(fn) {
  eventListeners.add(fn);
  return () => eventListeners.delete(fn);
}

// ---- asking ----

export async function loadPipelines() {
  const all = new Map();
  let next = '';
  do {
    const page = await api.get(`pipelines?limit=100${next && `&cursor=${next}`}`);
    for (const pipeline of page.pipelines) all.set(pipeline.name, pipeline);
    next = page.next || '';
  } while (next);
  state.pipelines = all;
  changed();
}

export async function loadApprovals() {
  state.approvals = (await api.get('approvals')).approvals;
  changed();
}

export async function loadPipeline(name) {
  try {
    const pipeline = await api.get(`pipelines/${encodeURIComponent(name)}`);
    state.details.set(name, pipeline);
    if (pipeline.deleted) state.pipelines?.delete(name);
    else if (state.pipelines?.has(name)) state.pipelines.set(name, pipeline);
    else if (state.pipelines) state.pipelines = new Map([...state.pipelines, [name, pipeline]].sort((a, b) => (a[0] < b[0] ? -1 : 1)));
  } catch (error) {
    if (error.status !== 404) throw error;
    state.details.set(name, null);
  }
  changed();
}

const dirty = new Set();
let approvalsDirty = false;
let settling = null;

async function settle() {
  settling = null;
  const names = [...dirty];
  const approvals = approvalsDirty;
  dirty.clear();
  approvalsDirty = false;
  try {
    const asked = approvals ? [loadApprovals()] : [];
    if (names.length > ASK_SINGLY_MAX) {
      asked.push(loadPipelines());
      for (const name of names) if (state.details.has(name)) asked.push(loadPipeline(name));
    } else {
      asked.push(...names.map(loadPipeline));
    }
    await Promise.all(asked);
  } catch (error) {
    note(error);
  }
}

function takeEvent(event) {
  dirty.add(event.pipeline);
  if (/\.(approval|vote)\./.test(event.type) || event.type.includes('release.ended')) approvalsDirty = true;
  settling ||= setTimeout(settle, SETTLE_MS);
  for (const fn of [...eventListeners]) fn(event);
}

async function loadAll() {
  await Promise.all([loadPipelines(), loadApprovals(), ...[...state.details.keys()].map(loadPipeline)]);
  for (const fn of [...eventListeners]) fn(null);
}

function note(error) {
  if (error.status === 401) {
    state.needsToken = true;
    state.me = null;
  } else {
    state.problem = error;
  }
  changed();
}

// ---- the stream ----

let lastId = null;
let stopStream = null;

function setConnection(connection) {
  if (state.connection === connection) return;
  state.connection = connection;
  changed();
}

async function follow(signal) {
  let failures = 0;
  while (!signal.aborted) {
    try {
      await api.stream('events', {
        lastId,
        signal,
        on(name, data, id) {
          if (id) lastId = id;
          if (!name) return;
          failures = 0;
          setConnection('live');
          if (name === 'reset') lastId = null;
          if (name === 'reset' || (name === 'hello' && !state.pipelines)) loadAll().catch(note);
          else if (name !== 'hello') takeEvent(data);
        },
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401) {
        note(error);
        return;
      }
    }
    setConnection(state.pipelines ? 'lost' : 'connecting');
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]));
  }
}

function startStream() {
  stopStream?.abort();
  stopStream = new AbortController();
  follow(stopStream.signal);
}

// ---- beginning, signing in and out ----

async function whoami() {
  try {
    state.me = await api.get('whoami');
    state.needsToken = false;
  } catch (error) {
    state.me = null;
    if (error.status !== 401) throw error;
    state.needsToken = true;
  }
}

export async function begin() {
  for (let failures = 0; ; failures++) {
    try {
      state.version = await api.get('version');
      api.setApprover(state.version.approverUrl);
      await whoami();
      break;
    } catch {
      setConnection('lost');
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS[Math.min(failures, RETRY_MS.length - 1)]));
    }
  }
  changed();
  if (state.me) startStream();
}

// Throws where the token is not taken; the one before stays forgotten.
export async function signIn(token) {
  api.setToken(token);
  await whoami();
  if (!state.me) {
    api.setToken(null);
    changed();
    throw new api.Problem(401, 'Not signed in', 'The token is not known, or has expired');
  }
  state.problem = null;
  startStream();
  changed();
}

export async function signOut() {
  stopStream?.abort();
  api.setToken(null);
  lastId = null;
  Object.assign(state, { pipelines: null, approvals: null });
  state.details.clear();
  await whoami();
  if (state.me) startStream();
  changed();
}

// ---- what I may ----

export const may = (role) => Boolean(state.me?.roles.includes(role));

// Why I cannot vote; null: I can.
export function voteObstacle(approval) {
  const me = state.me;
  if (!me || me.anonymous) return 'Sign in to vote';
  if (!may('approver')) return 'Voting needs the role approver';
  const votes = approval.votes || [];
  if (votes.some((v) => v.voter?.subject === me.subject || (me.email && v.voter?.email?.toLowerCase() === me.email.toLowerCase()))) return 'You have voted';
  const email = (me.email || '').toLowerCase();
  const names = [`user:${email}`, `user:${me.subject}`, ...me.groups.map((g) => `group:${g}`)];
  if (approval.by?.length && !approval.by.some((b) => names.includes(b) || names.includes(b.toLowerCase()))) return 'You are not among those who may vote';
  if (approval.not?.includes('author') && email && approval.authors?.some((a) => a.toLowerCase() === email)) return 'You are an author of this change';
  if (approval.not?.includes('starter') && approval.starter?.subject === me.subject) return 'You started this release';
  return null;
}
export const waitsForMe = (approval) => voteObstacle(approval) === null;
