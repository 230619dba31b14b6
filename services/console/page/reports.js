// What builds said of tests and coverage: with a release, and as small bars over a pipeline's releases.
import { h, icon, memo } from './dom.js';
import * as parts from './parts.js';
import * as f from './format.js';

const FAILURES_OPEN = 3; // failures whose message is shown at once
const FILES_SHOWN = 10;

// Rounded down, so that 100 % is said only of what has nothing missing.
const percent = (rate) => `${(Math.floor(rate * 1000) / 10).toFixed(1)} %`;
const bad = (report) => report.problems > 0 || (report.counts && report.counts.failed + report.counts.errored > 0);

// ---- of a release ----

const PARTS = [['passed', 'good'], ['failed', 'failed'], ['errored', 'failed'], ['unknown', 'waiting'], ['skipped', 'stopped']];

function countsText(counts) {
  const others = PARTS.slice(1).filter(([key]) => counts[key]).map(([key]) => `${counts[key]} ${key}`);
  return f.listed([`${counts.passed} of ${counts.total} passed`, ...others, ...(counts.flaky ? [`${counts.flaky} only when repeated`] : [])]);
}

// Decoration: the text beside it says the same.
const share = (pieces, whole) => h('span.share', { aria: { hidden: 'true' } },
  pieces.filter(([n]) => n > 0).map(([n, tone], i) => h('span', { key: i, class: `share-part tone-${tone}`, style: { width: `${Math.max((n / whole) * 100, 1).toFixed(2)}%` } })));

function testLine({ counts, durationMs, files }) {
  if (!counts.total) return files > 0 ? h('p.small.quiet', null, 'no tests') : null;
  return [share(PARTS.map(([key, tone]) => [counts[key], tone]), counts.total),
    h('p.small.num-wrap', null, countsText(counts), h('span.quiet', null, ` · ${f.duration(durationMs)}`))];
}

function coverageLine({ coverage: c, files }) {
  if (c.lineRate === undefined) return files > 0 ? h('p.small.quiet', null, 'no lines') : null;
  return [share([[c.linesCovered, 'running']], c.linesCovered + c.linesMissed),
    h('p.small.num-wrap', null, h('strong', null, percent(c.lineRate)), ` of ${c.linesCovered + c.linesMissed} lines`,
      c.branchRate !== undefined && [', ', h('strong', null, percent(c.branchRate)), ` of ${c.branchesCovered + c.branchesMissed} branches`])];
}

// Made anew only for another failure: who closed one finds it closed when something else has happened.
const failureNode = (failure, i) => memo('details', i, [failure.suite, failure.name, failure.file, failure.message], () => failureDetails(failure, i < FAILURES_OPEN));

function failureDetails(failure, open) {
  return h('details.test-failure', { open },
    h('summary', null, h('span.tone-failed', null, icon(failure.errored ? 'warn' : 'failed', failure.errored ? 'error' : 'failure')),
      h('span.test-name', null, failure.suite && h('span.quiet', null, failure.suite, ' › '), failure.name || '(no name)')),
    failure.file && h('p.small.quiet', null, h('code', null, failure.file)),
    failure.message ? h('pre.tail', { tabindex: '0' }, failure.message) : h('p.small.quiet', null, 'It gave no message.'));
}

function failures(report) {
  if (!report.failures?.length) return null;
  const more = report.counts.failed + report.counts.errored - report.failures.length;
  return h('div.test-failures', null, report.failures.map(failureNode), more > 0 && h('p.small.quiet', { key: 'more' }, `and ${more} more, of which the files tell`));
}

function details(report) {
  const slow = report.slowest || [], worst = (report.worst || []).filter((file) => file.linesMissed > 0).slice(0, FILES_SHOWN);
  return [
    slow.length > 0 && h('details', { key: 'slow' }, h('summary.small', null, icon('chevron'), 'Slowest tests'),
      h('ul.figures.small', null, slow.map((t, i) => h('li', { key: i }, h('span.cut', { title: `${t.suite || ''} ${t.name || ''}` }, t.suite && h('span.quiet', null, t.suite, ' › '), t.name), h('span.num', null, f.duration(t.durationMs)))))),
    worst.length > 0 && h('details', { key: 'worst' }, h('summary.small', null, icon('chevron'), 'Files with the most lines missed'),
      h('ul.figures.small', null, worst.map((file, i) => h('li', { key: i }, h('span.cut', { title: file.path }, file.path), h('span.num', null, `${file.linesMissed} missed, ${percent(file.lineRate)}`))))),
  ];
}

function reportNode(report, run) {
  return h('li.report', { key: `${run.runId} ${report.group} ${report.kind}` },
    h('h3', null, h('span', { class: bad(report) ? 'tone-failed' : 'tone-good' }, icon(bad(report) ? 'failed' : 'good', bad(report) ? 'not passed' : 'passed')), ' ', report.group,
      h('span.quiet.small', { title: `${run.stage} / ${run.action}` }, ` ${run.action}`)),
    report.counts && testLine(report), report.coverage && coverageLine(report),
    report.problems > 0 && h('p.reason', null, 'Incomplete: ', report.problem, report.problems > 1 && `, and ${report.problems - 1} more files`),
    failures(report), details(report));
}

// Of each action its last run that tells of any; what did not pass comes first.
export function reportsCard(release) {
  const all = [];
  for (const stage of release.stages)
    for (const action of stage.actions) {
      const run = action.runs.findLast((r) => r.reports?.length);
      if (run && !all.some((a) => a.run.runId === run.runId)) all.push(...run.reports.map((report) => ({ report, run: { runId: run.runId, stage: stage.name, action: action.name } })));
    }
  if (!all.length) return null;
  all.sort((a, b) => bad(b.report) - bad(a.report));
  return h('section.card.reports', { key: 'reports', aria: { label: 'Reports' } }, h('h2', null, 'Reports'), h('ul.report-list', null, all.map(({ report, run }) => reportNode(report, run))));
}

// ---- over releases ----

const WIDTH = 8, GAP = 2, HEIGHT = 28;
const SVG = 'http://www.w3.org/2000/svg';

const svg = (name, attributes, ...children) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};

const rateOf = (point) => point.counts?.passRate ?? point.coverage?.lineRate;
const pointBad = (point) => point.problems > 0 || (point.counts && point.counts.failed + point.counts.errored > 0);

// The bars show the part of the scale where something happens: its floor is below the lowest, in steps of a tenth.
function floorOf(points) {
  const rates = points.map(rateOf).filter((rate) => rate !== undefined);
  return rates.length ? Math.max(0, Math.floor(Math.min(...rates) * 10 - 1) / 10) : 0;
}

function pointText(point) {
  if (point.counts) return `#${point.release}: ${point.counts.total ? countsText(point.counts) : 'no tests'}`;
  return `#${point.release}: ${point.coverage?.lineRate === undefined ? 'no lines' : `${percent(point.coverage.lineRate)} of lines${point.coverage.branchRate === undefined ? '' : `, ${percent(point.coverage.branchRate)} of branches`}`}`;
}

function bars(points, floor, label) {
  const width = points.length * (WIDTH + GAP) - GAP;
  const nodes = points.map((point, i) => {
    const rate = rateOf(point);
    const height = rate === undefined ? 2 : Math.max(2, ((rate - floor) / (1 - floor)) * HEIGHT);
    return svg('rect', { x: i * (WIDTH + GAP), y: HEIGHT - height, width: WIDTH, height, rx: 1, class: pointBad(point) ? 'bar-bad' : rate === undefined ? 'bar-none' : point.coverage ? 'bar-cover' : 'bar-good' },
      svg('title', {}, pointText(point) + (point.problems ? ' (incomplete)' : '')));
  });
  return svg('svg', { class: 'trend-bars', width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, role: 'img', 'aria-label': label }, ...nodes);
}

function change(points) {
  const [before, last] = points.slice(-2).map(rateOf);
  if (points.length < 2 || before === undefined || last === undefined) return null;
  const by = Math.round((last - before) * 1000) / 10;
  if (!by) return null;
  return h('span', { class: by > 0 ? 'tone-good' : 'tone-failed', title: 'against the release before' }, ` ${by > 0 ? '+' : '−'}${Math.abs(by).toFixed(1)}`);
}

function trendRow(pipeline, group) {
  const last = group.releases.at(-1), rate = rateOf(last), floor = floorOf(group.releases);
  const label = `${group.group}: ${group.releases.length === 1 ? 'one release' : `${group.releases.length} releases`}, the last ${pointText(last)}`;
  return h('li.trend', { key: `${group.stage} ${group.action} ${group.group} ${group.format}` },
    h('div.trend-name', null, h('strong.cut', { title: group.group }, group.group), h('span.quiet.small.cut', null, group.kind === 'coverage' ? 'lines covered' : 'tests passed', ` · ${group.action}`), floor > 0 && h('span.quiet.small', null, `bars from ${Math.round(floor * 100)} % up`)),
    bars(group.releases, floor, label),
    h('div.trend-last', null, h('p', null, h('span.num', { class: pointBad(last) ? 'tone-failed' : '' }, rate === undefined ? '–' : percent(rate)), change(group.releases)),
      h('p.quiet.small', null, parts.releaseLink(pipeline, last.release))));
}

export function trendSection(pipeline, groups) {
  const told = groups.filter((group) => group.releases.length);
  if (!told.length) return null;
  return h('section.trends', { key: 'trends', aria: { label: 'Tests and coverage' } }, h('h2', null, 'Tests and coverage'), h('ul.trend-list', null, told.map((group) => trendRow(pipeline, group))));
}
