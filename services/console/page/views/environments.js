// What runs where: pipelines by environments.
import { h, icon } from '../dom.js';
import { state, onEvent, changed } from '../store.js';
import * as api from '../api.js';
import * as parts from '../parts.js';
import * as f from '../format.js';

let data = null;
let problem = null;
let timer = null;

async function load() {
  try {
    data = await api.get('environments');
    problem = null;
  } catch (error) {
    problem = error;
  }
  changed();
}

// In the order in which pipelines reach them, as far as that can be told; then by name.
function columns() {
  const depth = new Map();
  for (const entry of data.running) {
    const stages = state.pipelines?.get(entry.pipeline)?.stages || [];
    const at = stages.findIndex((s) => s.name === entry.stage);
    depth.set(entry.environment, Math.max(depth.get(entry.environment) ?? 0, at));
  }
  return data.environments.toSorted((a, b) => (depth.get(a) ?? 99) - (depth.get(b) ?? 99) || (a < b ? -1 : 1));
}

const pinFor = (pipeline, environment) => data.pins?.find((pin) => pin.pipeline === pipeline && pin.environment === environment);

function pinMark(pipeline, environment) {
  const pin = pinFor(pipeline, environment);
  return pin && h('p.pin', { key: 'pin', title: `${f.shortDigest(pin.digest)}: ${pin.reason || ''}` }, icon('pin', 'pinned'), h('span.cut', null, 'pinned', pin.by && ` by ${pin.by}`, pin.reason && `: ${pin.reason}`));
}

function freezeMark(environment) {
  const freezes = (data.freezes || []).filter((freeze) => freeze.environment === environment && freeze.frozen);
  return freezes.map((freeze) => h('p.freeze', { key: freeze.window, title: `${freeze.window}: ${freeze.reason || ''}` }, icon('freeze', 'frozen'),
    h('span.cut', null, 'frozen', freeze.untilMs && [' for ', parts.left(freeze.untilMs)], freeze.reason && `: ${freeze.reason}`)));
}

function cell(pipeline, environment, entries) {
  if (!entries?.length) return h('td.env-cell', null, h('span.quiet', { aria: { label: 'nothing' } }, '–'), pinMark(pipeline, environment));
  return h('td.env-cell', null, pinMark(pipeline, environment), entries.map((entry) => h('div.env-entry', {
    key: entry.action, class: entry.behind === 0 ? 'tone-good' : entry.behind < 3 ? 'tone-waiting' : 'tone-failed',
    title: entry.behind === 0 ? 'the newest that was built' : `${entry.behind} newer ${entry.behind === 1 ? 'release has' : 'releases have'} been built`,
  },
  h('span.env-line', null, icon(entry.behind === 0 ? 'good' : 'down'), parts.releaseLink(entry.pipeline, entry.release), entry.builtBy !== entry.release && h('span.rolled', { title: `the image of release ${entry.builtBy}` }, icon('rollback', 'rolled back')), entry.behind > 0 && h('span.behind.num', null, `−${entry.behind}`),
    h('span.push', null, parts.ago(entry.sinceMs))),
  h('span.env-line.quiet', null, entries.length > 1 && `${entry.action} `, parts.commit(entry.commit), parts.digest(entry.digest)))));
}

function table() {
  const names = columns();
  const rows = new Map();
  for (const entry of data.running) {
    if (!rows.has(entry.pipeline)) rows.set(entry.pipeline, {});
    (rows.get(entry.pipeline)[entry.environment] ||= []).push(entry);
  }
  return h('div.table-scroll', { tabindex: '0', role: 'region', aria: { label: 'Environments' } }, h('table.env', null,
    h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'Pipeline'), names.map((name) => h('th', { scope: 'col', key: name }, name, freezeMark(name))))),
    h('tbody', null, [...rows.keys()].sort().map((pipeline) => h('tr', { key: pipeline },
      h('th', { scope: 'row' }, h('a', { href: `/pipelines/${pipeline}` }, pipeline)), names.map((name) => cell(pipeline, name, rows.get(pipeline)[name])))))));
}

export default {
  title: () => 'Environments',
  open() {
    load();
    return onEvent((event) => {
      if (event && !/action\.ended|release\.started|artifact\.set|definition|environment\.pinned/.test(event.type)) return;
      timer ||= setTimeout(() => { timer = null; load(); }, 400);
    });
  },
  render() {
    if (problem && !data) return parts.problemBox(problem, load);
    if (!data) return parts.skeleton(5);
    return h('section', null, h('h1', null, 'Environments'),
      data.running.length ? table() : parts.empty('Nothing runs anywhere yet', 'What a deploy action puts somewhere stands here.'));
  },
};
