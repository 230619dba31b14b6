// Where is my change, what waits for me, what broke: a row a pipeline, its stages as cells.
import { h, icon, memo } from '../dom.js';
import { state, waitsForMe, changed, loadPipelines } from '../store.js';
import * as parts from '../parts.js';
import { setQuery } from '../router.js';
import * as gates from '../gates.js';
import * as f from '../format.js';

// Failing and waiting first, then what runs, then the rest.
const FILTERS = [
  ['', 'All', () => true],
  ['failed', 'Failing', (p) => p.failing],
  ['waiting', 'Waiting', (p) => p.waits],
  ['running', 'Running', (p) => p.running],
  ['mine', 'Mine', (p) => p.mine],
];

let text = '';
let filter = '';
let frozen = null; // the order while the pointer is over the list: nothing jumps under it

function summarize(pipeline) {
  const stages = pipeline.stages;
  const me = state.me;
  const approvals = (state.approvals || []).filter((a) => a.pipeline === pipeline.name);
  const newest = stages.find((s) => s.current)?.current;
  return {
    pipeline,
    name: pipeline.name,
    failing: stages.some((s) => s.current?.status === 'failed'),
    waits: stages.some((s) => s.waiting.some((w) => w.approvals.length)),
    running: stages.some((s) => s.current?.status === 'in-progress'),
    waitsForMe: approvals.some(waitsForMe),
    mine: approvals.some(waitsForMe) || Boolean(me && !me.anonymous && newest && (newest.starter === me.name || newest.starter === me.email)),
  };
}

const rank = (s) => (s.waitsForMe ? 0 : s.failing ? 1 : s.waits ? 2 : s.running ? 3 : 4);

function matches(summary) {
  if (!text) return true;
  const labels = Object.entries(summary.pipeline.labels || {}).map(([k, v]) => `${k}=${v}`);
  return text.split(/\s+/).every((word) => summary.name.includes(word) || labels.some((l) => l.includes(word)));
}

function order(summaries) {
  const sorted = summaries.toSorted((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
  if (!frozen) return sorted;
  const place = new Map(frozen.map((name, i) => [name, i]));
  return sorted.toSorted((a, b) => (place.get(a.name) ?? Infinity) - (place.get(b.name) ?? Infinity));
}

// ---- a row ----

function gateMarks(stage) {
  const open = stage.waiting.flatMap((w) => w.approvals);
  const newest = stage.waiting.at(-1);
  const gated = stage.gates.length > 0 && open.length === 0;
  const held = stage.waiting.length > 0 && open.length === 0;
  const kind = newest?.held?.[0]?.kind;
  return h('span.joint', { aria: { hidden: open.length || held || stage.disabled ? null : 'true' } },
    stage.disabled && h('span.gate-mark.tone-failed', { key: 'shut', title: `The way into ${stage.name} is disabled${stage.disabled.by ? ` by ${stage.disabled.by}` : ''}: ${stage.disabled.reason || ''}` }, icon('pause', `way into ${stage.name} disabled`)),
    open.slice(0, 1).map((a) => h('span.gate-mark.tone-waiting.num', { title: `${a.approved} of ${a.count} votes to enter ${stage.name}, until ${f.moment(a.expiresMs)}` }, `${a.approved}/${a.count}`)),
    held && kind !== 'disabled' && h('span.gate-mark.tone-waiting', { title: `Release ${newest.release} waits for ${gates.holdsText(newest.held)}` }, icon(gates.iconOf(kind), 'waiting')),
    gated && !held && !stage.disabled && h('span.gate-mark', { title: stage.gates.map(gates.gateTitle).join('; ') }, icon(gates.iconOf(stage.gates[0].kind))));
}

function cell(pipeline, stage) {
  const { current } = stage;
  const status = f.stateOf(current?.status);
  const label = current ? `${stage.name}: release ${current.release} ${status.text}` : `${stage.name}: ${status.text}`;
  return h('a.cell', {
    key: stage.name, class: `tone-${status.tone}`, href: current ? parts.releaseHref(pipeline.name, current.release) : `/pipelines/${pipeline.name}`,
    title: [label, current?.message, current?.reason].filter(Boolean).join('\n'), aria: { label },
  },
  h('span.cell-stage', null, h('span.cut', null, stage.name), parts.ago(current?.sinceMs)),
  h('span.cell-release', null, icon(status.icon),
    current ? h('span.release-number.num', null, `#${current.release}`) : h('span.quiet', null, '–'),
    current?.type === 'rollback' ? h('span.rolled', { title: 'rollback' }, icon('rollback', 'rollback')) : null,
    h('span.commit.cut', null, f.shortCommit(current?.commit))));
}

function row(summary) {
  const { pipeline } = summary;
  const pending = pipeline.definition.status !== 'taken';
  return h('li.row', null,
    h('a.row-name', { href: `/pipelines/${pipeline.name}` },
      h('strong.cut', null, pipeline.name),
      h('span.row-labels', null,
        summary.waitsForMe && h('span.for-you', null, 'waits for you'),
        pending && h('span.tag.tone-waiting', { title: pipeline.definition.reason || '' }, pipeline.definition.status === 'refused' ? 'definition refused' : 'definition pending'),
        Object.entries(pipeline.labels || {}).map(([k, v]) => h('span.tag', { key: k, title: `${k}=${v}` }, v)))),
    h('div.cells', { style: { '--stages': String(pipeline.stages.length) } },
      pipeline.stages.map((stage, i) => [(i > 0 || stage.gates.length > 0 || stage.disabled) && gateMarks(stage), cell(pipeline, stage)])));
}

// ---- the list ----

function toolbar(summaries) {
  return h('div.toolbar', null,
    h('div.segments', { role: 'group', aria: { label: 'Which pipelines' } }, FILTERS.map(([name, label, fits]) => {
      const count = name ? summaries.filter(fits).length : summaries.length;
      return h('button.segment', {
        type: 'button', key: name || 'all', aria: { pressed: String(filter === name) },
        onClick: () => { filter = name; setQuery({ show: name }); changed(); },
      }, label, h('span.segment-count.num', { class: name === 'failed' && count ? 'tone-failed' : '' }, String(count)));
    })),
    h('input.filter', {
      type: 'search', placeholder: 'Filter by name or label', value: text, aria: { label: 'Filter pipelines by name or label' },
      onInput: (event) => { text = event.target.value.trim().toLowerCase(); setQuery({ q: text }); changed(); },
    }));
}

function nothing(summaries) {
  if (summaries.length) return parts.empty('No pipeline is like that', 'Change the filter.');
  return parts.empty('There is no pipeline yet', 'Write one and apply it: ', h('code', null, 'gantry apply -f pipeline.yaml'), '.');
}

export default {
  title: () => 'Overview',
  open() {
    const query = new URLSearchParams(location.search);
    filter = query.get('show') || '';
    text = query.get('q') || '';
    return () => { frozen = null; };
  },
  render() {
    if (state.problem && !state.pipelines) return parts.problemBox(state.problem, () => loadPipelines().catch(() => {}));
    if (!state.pipelines) return parts.skeleton(6);
    const summaries = [...state.pipelines.values()].map(summarize);
    const fits = FILTERS.find(([name]) => name === filter)?.[2] || FILTERS[0][2];
    const shown = order(summaries.filter((s) => fits(s) && matches(s)));
    return h('section.overview', { aria: { label: 'Pipelines' } }, h('h1.visually-hidden', null, 'Overview'), toolbar(summaries),
      shown.length ? h('ul.rows', {
        key: 'rows',
        onMouseenter: () => { frozen = order(summaries).map((s) => s.name); },
        onMouseleave: () => { frozen = null; changed(); },
      }, shown.map((s) => memo('li', s.name, [s.pipeline, s.waitsForMe], () => row(s)))) : nothing(summaries));
  },
};
