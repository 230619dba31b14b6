// A bar an action over the time of the release; what ran together stands stacked; waiting is hatched.
import { h, icon } from './dom.js';
import * as parts from './parts.js';
import * as f from './format.js';

// Long waits would press the work into nothing: time spent on gates counts a tenth of what it was, capped.
function scale(release, rows) {
  const busy = [];
  for (const row of rows) if (row.kind === 'run') busy.push([row.from, row.to]);
  const marks = [...new Set(rows.flatMap((r) => [r.from, r.to]))].sort((a, b) => a - b);
  if (marks.length < 2) return { at: () => 0, whole: 1 };
  const work = busy.reduce((sum, [a, b]) => sum + (b - a), 0) || 60000;
  const widths = marks.slice(1).map((to, i) => {
    const from = marks[i];
    const works = busy.some(([a, b]) => a < to && b > from);
    return works ? to - from : Math.min(to - from, Math.max(work * 0.12, 1000));
  });
  const whole = widths.reduce((a, b) => a + b, 0);
  const starts = [0];
  for (const width of widths) starts.push(starts.at(-1) + width);
  return { at: (ms) => (starts[marks.indexOf(ms)] / whole) * 100, whole };
}

function rowsOf(release, stages) {
  const now = Date.now();
  const rows = [];
  const known = new Set(release.stages.map((s) => s.name));
  for (const stage of release.stages) {
    if (stage.waitingMs && (stage.enteredMs || stage.endedMs || now) - stage.waitingMs > 1000)
      rows.push({ kind: 'wait', key: `wait ${stage.name} ${stage.number}`, stage: stage.name, text: `gate of ${stage.name}`, status: stage.enteredMs ? 'passed' : stage.status, from: stage.waitingMs, to: stage.enteredMs || stage.endedMs || now, live: !stage.enteredMs && !stage.endedMs });
    for (const action of stage.actions) {
      for (const run of action.runs.filter((r) => r.stageNumber === stage.number))
        rows.push({ kind: 'run', key: run.runId, stage: stage.name, text: action.name, what: run.environment, status: run.status, from: run.requestedMs, begin: run.startedMs, to: run.endedMs || now, live: !run.endedMs, run, action: action.kind });
    }
  }
  const planned = stages.filter((s) => !s.removed && !known.has(s.name)).map((s) => s.name);
  return { rows, planned: ['succeeded', 'failed', 'stopped', 'superseded'].includes(release.status) ? [] : planned };
}

function bar(row, at) {
  const left = at(row.from), width = Math.max(at(row.to) - left, 0.6);
  const state = f.stateOf(row.status);
  return h('span.bar', {
    class: [`tone-${row.kind === 'wait' ? (row.live ? 'waiting' : 'passed') : state.tone}`, row.kind === 'wait' ? 'is-wait' : '', row.live ? 'is-live' : ''].join(' '),
    style: { left: `${left.toFixed(2)}%`, width: `${width.toFixed(2)}%` },
    title: `${f.exact(row.from)} to ${row.live ? 'now' : f.exact(row.to)}${row.begin ? `\nstarted ${f.duration(row.begin - row.from)} after it was asked for` : ''}`,
  });
}

function rowNode(row, at, chosen, choose) {
  const state = f.stateOf(row.status);
  const waits = row.kind === 'wait';
  const line = [
    h('span.tl-name', null, h('span', { class: waits ? (row.live ? 'tone-waiting' : 'quiet') : `tone-${state.tone}` }, icon(waits ? 'lock' : state.icon, waits ? 'gate' : state.text)), h('span.cut', null, row.text), row.what && h('span.quiet.cut', null, `→ ${row.what}`),
      row.live && row.run?.silent && h('span.tone-waiting', { title: `not heard of for ${f.left(row.run.silent.forMs)}; it goes on` }, icon('warn', 'silent'))),
    h('span.tl-track', null, bar(row, at)),
    h('span.tl-took', null, waits ? parts.took(row.from, row.live ? null : row.to) : parts.took(row.begin || row.from, row.live ? null : row.to)),
  ];
  return h('li', { key: row.key },
    row.run && row.action !== 'approval' ? h('button.tl-row', { type: 'button', aria: { pressed: String(row.run.runId === chosen) }, onClick: () => choose(row.run.runId) }, line) : h('div.tl-row', null, line));
}

export function timeline(release, stages, chosen, choose) {
  const { rows, planned } = rowsOf(release, stages);
  const { at } = scale(release, rows);
  const groups = [];
  for (const row of rows) {
    if (groups.at(-1)?.stage !== row.stage) groups.push({ stage: row.stage, rows: [] });
    groups.at(-1).rows.push(row);
  }
  return h('section.timeline', { aria: { label: 'Timeline' } },
    groups.map((group, i) => h('div.tl-stage', { key: `${group.stage} ${i}` },
      h('h2', null, group.stage, ' ', parts.badge(release.stages.findLast((s) => s.name === group.stage)?.status),
        release.stages.some((s) => s.name === group.stage && s.automatic) && h('span.quiet.small', { title: release.stages.findLast((s) => s.name === group.stage && s.automatic).entryReason || '' }, 'retried by itself')),
      h('ul.plain', null, group.rows.map((row) => rowNode(row, at, chosen, choose))))),
    planned.map((name) => h('div.tl-stage.is-planned', { key: `planned ${name}` }, h('h2', null, name, h('span.quiet.small', null, ' to come')))));
}
