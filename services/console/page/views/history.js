// All releases, newest first.
import { h } from '../dom.js';
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
          : parts.releaseTable(releases, true),
      next && h('button.button', { type: 'button', key: 'more', onClick: more }, 'Older ones'));
  },
};
