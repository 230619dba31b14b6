// Small pieces that several views show.
import { h, icon, announce } from './dom.js';
import * as f from './format.js';

// Texts that change by themselves carry their time; tick() rewrites them.
export const ago = (ms, title) => ms ? h('time.num', { title: title || f.exact(ms), datetime: new Date(ms).toISOString(), data: { ago: ms } }, f.span(Date.now() - ms)) : null;
export const until = (ms) => h('time.num', { title: f.exact(ms), datetime: new Date(ms).toISOString(), data: { until: ms } }, f.span(ms - Date.now()));
// Counts down by the second.
export const left = (ms) => h('time.num', { title: f.exact(ms), datetime: new Date(ms).toISOString(), data: { left: ms } }, f.left(ms - Date.now()));
// How long it took; counts on while it runs.
export function took(fromMs, toMs) {
  if (!fromMs) return null;
  if (toMs) return h('span.num', { title: `${f.exact(fromMs)} to ${f.exact(toMs)}` }, f.duration(toMs - fromMs));
  return h('span.num', { title: `since ${f.exact(fromMs)}`, data: { since: fromMs } }, f.duration(Date.now() - fromMs));
}

export function tick(all) {
  const now = Date.now();
  const write = (selector, text) => {
    for (const node of document.querySelectorAll(selector)) {
      const wanted = text(node.dataset);
      if (node.textContent !== wanted) node.textContent = wanted;
    }
  };
  write('[data-since]', (d) => f.duration(now - d.since));
  write('[data-left]', (d) => f.left(d.left - now));
  if (!all) return;
  write('[data-ago]', (d) => f.span(now - d.ago));
  write('[data-until]', (d) => f.span(d.until - now));
}

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text); // there only over https and on localhost
  const area = h('textarea.offscreen', { readonly: true, aria: { hidden: 'true' } }, text);
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
}

// A short text that copies the whole one.
function copyable(kind, short, whole) {
  if (!whole) return null;
  return h(`button.copy.${kind}`, {
    type: 'button',
    title: `${whole} (click copies)`,
    aria: { label: `Copy ${kind} ${short}` },
    onClick: async (event) => {
      event.preventDefault();
      event.stopPropagation();
      await copy(whole);
      announce(`Copied ${short}`);
    },
  }, short);
}
export const commit = (id) => copyable('commit', f.shortCommit(id), id);
export const digest = (id) => copyable('digest', f.shortDigest(id), id);

export function badge(status, text) {
  const state = f.stateOf(status);
  return h('span.badge', { class: `tone-${state.tone}` }, icon(state.icon), text || state.text);
}
// Where there is little room: words only for what is not as it should be.
export const shortBadge = (status) => (status === 'succeeded'
  ? h('span.badge.is-short.tone-good', { title: 'succeeded' }, icon('good', 'succeeded')) : badge(status));

export const releaseHref = (pipeline, number) => `/pipelines/${encodeURIComponent(pipeline)}/${number}`;
export const releaseLink = (pipeline, number, text) => h('a.release-number.num', { href: releaseHref(pipeline, number) }, text || `#${number}`);

export function problemBox(error, retry) {
  return h('div.problem', { role: 'alert' },
    h('strong', null, error.title || 'Something went wrong'), h('p', null, error.message),
    retry && h('button.button', { type: 'button', onClick: retry }, 'Try again'));
}

export const empty = (title, ...hint) => h('div.empty', null, h('strong', null, title), h('p', null, ...hint));

export const skeleton = (rows, kind = 'row') => h('div.skeletons', { aria: { busy: 'true', label: 'Loading' } },
  Array.from({ length: rows }, (_, i) => h(`div.skeleton.skeleton-${kind}`, { key: i })));

// Releases as a table, with their pipeline's name unless all are of one.
export function releaseTable(releases, withPipeline) {
  const columns = ['Release', 'Status', 'Message', 'Commit', 'Started by', 'Ago', 'Took'];
  return h('div.table-scroll', { key: 'releases', tabindex: '0', role: 'region', aria: { label: 'Releases' } }, h('table.history', null,
    h('thead', null, h('tr', null, columns.map((t) => h('th', { scope: 'col', key: t }, t)))),
    h('tbody', null, releases.map((release) => releaseRow(release, withPipeline)))));
}

function releaseRow(release, withPipeline) {
  const last = release.stages.at(-1);
  return h('tr', { key: `${release.pipeline} ${release.number}` },
    h('td', null, h('a', { href: releaseHref(release.pipeline, release.number) }, withPipeline && h('strong', null, release.pipeline, ' '), h('span.num', null, `#${release.number}`)),
      release.type === 'rollback' && h('span.rolled', { title: release.failedRelease ? `rolled back by itself because release ${release.failedRelease} failed` : 'rollback' }, icon('rollback', 'rollback'))),
    h('td', null, badge(release.status), last && release.status !== 'succeeded' && h('span.quiet.small', { title: f.heldTitle(last.held) }, ` ${last.name}`)),
    h('td.message', null, h('span.cut', { title: release.message }, release.message || release.startReason || '')),
    h('td', null, commit(release.commit)),
    h('td.quiet', null, release.starter?.name || ''),
    h('td.num', null, ago(release.startedMs)),
    h('td.num', null, took(release.startedMs, release.endedMs)));
}

// Of a transition's gates the first of a kind is called like it, a second approval-2; an action has its own name.
export const isGate = (approval) => /^approval(-\d+)?$/.test(approval.gate);
// The approval's name where others are open beside it, so that it is plain which is meant; else nothing.
export const gateAmong = (approval, others) => (others.some((o) => !o.outcome && o.approvalId !== approval.approvalId && o.stage === approval.stage) ? approval.gate : '');

// Votes so far, as "1 of 2".
export const approvedCount = (approval) => (approval.votes || []).filter((v) => v.verdict === 'approve').length;
export const rejectedCount = (approval) => (approval.votes || []).filter((v) => v.verdict === 'reject').length;
