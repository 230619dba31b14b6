// All releases, newest first.
import { h, icon } from '../dom.js';
import { onEvent, changed } from '../store.js';
import * as api from '../api.js';
import * as parts from '../parts.js';
import { setQuery } from '../router.js';
import * as f from '../format.js';

const STATUSES = ['', 'in-progress', 'waiting', 'succeeded', 'failed', 'stopped', 'superseded'];
let status = '';
let releases = null;
let next = null;
let problem = null;
let timer = null;

const path = (cursor) => `releases?limit=50${status && `&status=${status}`}${cursor ? `&cursor=${cursor}` : ''}`;

async function load() {
  try {
    const page = await api.get(path());
    releases = page.releases;
    next = page.next;
    problem = null;
  } catch (error) {
    problem = error;
  }
  changed();
}

async function more() {
  const page = await api.get(path(next));
  releases = [...releases, ...page.releases];
  next = page.next;
  changed();
}

function row(release) {
  const last = release.stages.at(-1);
  return h('tr', { key: `${release.pipeline} ${release.number}` },
    h('td', null, h('a', { href: parts.releaseHref(release.pipeline, release.number) }, h('strong', null, release.pipeline), ` #${release.number}`),
      release.type === 'rollback' && h('span.rolled', { title: 'rollback' }, icon('rollback', 'rollback'))),
    h('td', null, parts.badge(release.status), last && release.status !== 'succeeded' && h('span.quiet.small', null, ` ${last.name}`)),
    h('td.message', null, h('span.cut', { title: release.message }, release.message || release.startReason || '')),
    h('td', null, parts.commit(release.commit)),
    h('td.quiet', null, release.starter?.name || ''),
    h('td.num', null, parts.ago(release.startedMs)),
    h('td.num', null, parts.took(release.startedMs, release.endedMs)));
}

export default {
  title: () => 'History',
  open() {
    status = new URLSearchParams(location.search).get('status') || '';
    releases = null;
    load();
    return onEvent((event) => {
      if (event && !/\.release\.|stage\./.test(event.type)) return;
      timer ||= setTimeout(() => { timer = null; if (releases?.length <= 50) load(); }, 500);
    });
  },
  render() {
    return h('section', null, h('h1', null, 'History'),
      h('div.toolbar', null, h('div.segments', { role: 'group', aria: { label: 'Status' } }, STATUSES.map((name) => h('button.segment', {
        type: 'button', key: name || 'all', aria: { pressed: String(status === name) },
        onClick: () => { status = name; releases = null; setQuery({ status: name }); changed(); load(); },
      }, name ? f.stateOf(name).text : 'all')))),
      problem && !releases ? parts.problemBox(problem, load) : !releases ? parts.skeleton(8)
        : !releases.length ? parts.empty('No release is like that', 'Choose another status.')
          : h('div.table-scroll', { key: 'list' }, h('table.history', null,
            h('thead', null, h('tr', null, ['Release', 'Status', 'Message', 'Commit', 'Started by', 'Ago', 'Took'].map((t) => h('th', { scope: 'col', key: t }, t)))),
            h('tbody', null, releases.map(row)))),
      next && h('button.button', { type: 'button', key: 'more', onClick: more }, 'Older ones'));
  },
};
