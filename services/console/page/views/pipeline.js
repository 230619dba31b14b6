// One pipeline: stages as columns joined by transitions; gates stand on the joints.
import { h, icon } from '../dom.js';
import { state, loadPipeline, may, voteObstacle, changed, onEvent } from '../store.js';
import * as api from '../api.js';
import * as parts from '../parts.js';
import * as f from '../format.js';
import { askStart, askStop, askRetry, askRollback } from '../ask.js';
import { openReview } from '../review.js';
import { steps, stepNodes } from '../actions.js';
import * as router from '../router.js';

const RECENT = 10;
let problem = null;
let recent = [];
let timer = null;

async function load(name) {
  try {
    await loadPipeline(name);
    problem = null;
  } catch (error) {
    problem = error;
    changed();
  }
}

async function loadRecent(name) {
  try {
    recent = (await api.get(`pipelines/${encodeURIComponent(name)}/releases?limit=${RECENT}`)).releases;
  } catch {
    recent = []; // the stages say what is wrong
  }
  changed();
}

// ---- the way into a stage ----

function waitingCard(pipeline, stage, waiting, isNewest) {
  const open = waiting.approvals.map((brief) => state.approvals?.find((a) => a.approvalId === brief.approvalId) || { ...brief, pipeline: pipeline.name, release: waiting.release, stage: stage.name });
  return h('li.waiting', { key: waiting.release, class: isNewest ? 'is-newest' : '' },
    h('p.waiting-head', null, icon('waiting', 'waiting'), parts.releaseLink(pipeline.name, waiting.release), h('span.push.quiet', null, parts.ago(waiting.sinceMs))),
    h('p.cut.small', { title: waiting.message }, parts.commit(waiting.commit), ' ', waiting.message),
    open.length === 0 && h('p.quiet.small', null, 'waits for ', f.heldBy(waiting.heldBy)),
    open.map((approval) => gateVotes(approval)));
}

function gateVotes(approval) {
  const votes = approval.votes || [];
  const approved = approval.approved ?? parts.approvedCount(approval);
  const obstacle = voteObstacle(approval);
  return h('div.gate-votes', { key: approval.approvalId },
    h('p.vote-count', null, h('strong.num', null, `${approved} of ${approval.count}`), h('span.quiet', null, ' votes · ends in ', parts.until(approval.expiresMs))),
    h('p.dots', { aria: { hidden: 'true' } }, Array.from({ length: Math.min(approval.count, 12) }, (_, i) => h('span.dot', { key: i, class: i < approved ? 'is-on' : '' }))),
    votes.map((v, i) => h('p.small', { key: i }, icon(v.verdict === 'approve' ? 'good' : 'failed', v.verdict), ' ', v.voter?.name, v.comment && h('span.quiet', null, ` “${v.comment}”`))),
    h('button.button', { type: 'button', class: obstacle ? '' : 'primary', onClick: () => openReview(approval) }, obstacle ? 'Look at it' : 'Review'),
    obstacle && state.me && !state.me.anonymous && h('p.quiet.small', null, obstacle));
}

function transition(pipeline, stage, first) {
  const gates = stage.gates.map((gate) => h('li.gate', { key: gate.name, title: gate.message || '' }, icon('lock'),
    h('span', null, h('strong.num', null, gate.count), gate.count === 1 ? ' vote of ' : ' votes of ', f.whoMay(gate.by),
      gate.not?.length > 0 && h('span.quiet', null, ` (not ${f.listed(gate.not)})`))));
  const { waiting } = stage;
  const bare = !gates.length && !waiting.length;
  return h('li.transition', { key: `to ${stage.name}`, class: [bare ? 'is-bare' : '', first ? 'is-first' : '', waiting.length ? 'is-held' : ''].join(' '), aria: { label: `Into ${stage.name}` } },
    h('div.line', { aria: { hidden: 'true' } }),
    !bare && h('div.transition-body', null,
      gates.length > 0 && h('ul.gates', null, gates),
      waiting.length > 0 && h('ul.stack', { aria: { label: 'Releases that wait here, newest first' } },
        waiting.toReversed().map((w, i) => waitingCard(pipeline, stage, w, i === 0)))));
}

// ---- a stage ----

function stageButtons(pipeline, stage) {
  const { current } = stage;
  const failed = current?.status === 'failed' || current?.status === 'stopped';
  const deploys = stage.steps.some((step) => step.some((action) => action.kind === 'deploy'));
  return h('div.stage-buttons', null,
    may('developer') && failed && h('button.button', { type: 'button', onClick: () => askRetry(pipeline.name, current.release, stage.name) }, icon('retry'), 'Retry'),
    may('developer') && current?.status === 'in-progress' && h('button.button', { type: 'button', onClick: () => askStop(pipeline.name, current.release) }, icon('stop'), 'Stop'),
    may('operator') && stage.good && deploys && h('button.button', { type: 'button', title: 'Put an earlier release’s image there', onClick: () => askRollback(pipeline.name, stage.name, current?.status === 'succeeded' ? current.release : null) }, icon('rollback'), 'Roll back'));
}

function currentCard(pipeline, stage) {
  const { current } = stage;
  if (!current) return h('div.current', null, h('p.quiet', null, 'Nothing has come here yet.'), stepNodes(steps(stage.steps, [], [])));
  const approvals = (state.approvals || []).filter((a) => a.pipeline === pipeline.name && a.release === current.release && a.stage === stage.name);
  return h('div.current', null,
    h('p.current-head', null, parts.releaseLink(pipeline.name, current.release), current.type === 'rollback' && h('span.rolled', { title: 'rollback' }, icon('rollback', 'rollback')),
      parts.commit(current.commit), h('span.push', null, parts.ago(current.sinceMs))),
    h('p.message', { title: current.message }, current.message || (current.type === 'rollback' ? 'Rollback' : '')),
    current.status === 'failed' && current.reason && !(current.actions || []).some((a) => a.runs.at(-1)?.reason) && h('p.reason', null, current.reason),
    stepNodes(steps(stage.steps, current.actions, approvals), { review: openReview, select: (run) => router.go(`${parts.releaseHref(pipeline.name, current.release)}?run=${run.runId}`) }));
}

function stageColumn(pipeline, stage) {
  const { current, good } = stage;
  return h('li.stage', { key: stage.name, class: `tone-${f.stateOf(current?.status).tone}` },
    h('header.stage-head', null, h('h2.cut', { title: stage.name }, stage.name), parts.shortBadge(current?.status)),
    currentCard(pipeline, stage),
    h('footer.stage-foot', null,
      good && good.release !== current?.release && h('p.quiet.small', null, 'last good ', parts.releaseLink(pipeline.name, good.release), ' ', parts.ago(good.sinceMs), ' ago'),
      stageButtons(pipeline, stage)));
}

// ---- the page ----

function head(pipeline) {
  const { definition } = pipeline;
  const newest = pipeline.heads?.[0];
  return h('div.view-head', null,
    h('div', null, h('h1', null, pipeline.name),
      h('p.quiet', null, pipeline.mode, definition.number && [' · definition ', h('span.num', { title: `sha256 ${definition.sha256}\nby ${definition.author}` }, definition.number)],
        Object.entries(pipeline.labels || {}).map(([k, v]) => h('span.tag', { key: k, title: `${k}=${v}` }, v)),
        newest && ['· newest commit ', parts.commit(newest.commit), ' ', parts.ago(newest.timeMs), ' ago'])),
    h('div.view-buttons', null,
      may('developer') && !pipeline.deleted && h('button.button.primary', { type: 'button', onClick: () => askStart(pipeline) }, icon('play'), 'Start a release')));
}

function notices(pipeline) {
  const { definition } = pipeline;
  return [
    pipeline.deleted && h('p.notice', { key: 'deleted' }, 'This pipeline is deleted; its history stays.'),
    definition.status === 'pending' && h('p.notice', { key: 'pending' }, 'A newer definition is stored; the promoter has not taken it yet.'),
    definition.status === 'refused' && h('p.notice.tone-failed', { key: 'refused' }, `The newest definition was refused: ${definition.reason || 'no reason given'}. The one before is in force.`),
  ];
}

export default {
  title: ({ pipeline }) => pipeline,
  open({ pipeline }) {
    problem = null;
    recent = [];
    load(pipeline);
    loadRecent(pipeline);
    return onEvent((event) => {
      if (event && (event.pipeline !== pipeline || !/\.(release|stage)\./.test(event.type))) return;
      timer ||= setTimeout(() => { timer = null; loadRecent(pipeline); }, 200);
    });
  },
  render({ pipeline: name }) {
    const pipeline = state.details.get(name);
    if (problem) return parts.problemBox(problem, () => load(name));
    if (pipeline === null) return parts.empty(`There is no pipeline ${name}`, 'See the ', h('a', { href: '/' }, 'overview'), '.');
    if (!pipeline) return h('section', null, h('h1', null, name), parts.skeleton(3, 'column'));
    return h('section.pipeline', null, head(pipeline), notices(pipeline),
      h('div.flow-scroll', { tabindex: '0', role: 'region', aria: { label: 'Stages' } },
        h('ol.flow', null, pipeline.stages.map((stage, i) => [transition(pipeline, stage, i === 0), stageColumn(pipeline, stage)]))),
      recent.length > 0 && h('section.recent', null, h('h2', null, 'Recent releases'), parts.releaseTable(recent, false)));
  },
};
