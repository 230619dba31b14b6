// One pipeline: stages as columns joined by transitions; gates stand on the joints.
import { h, icon } from '../dom.js';
import { state, loadPipeline, may, voteObstacle, changed, onEvent } from '../store.js';
import * as api from '../api.js';
import * as parts from '../parts.js';
import * as f from '../format.js';
import { askStart, askStop, askRetry, askRollback } from '../ask.js';
import { askPin, askUnpin } from '../steer.js';
import * as gates from '../gates.js';
import { openReview } from '../review.js';
import { steps, stepNodes } from '../actions.js';
import { trendSection } from '../reports.js';
import * as router from '../router.js';

const RECENT = 10;
let problem = null;
let recent = [];
let trends = [];
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
    const path = `pipelines/${encodeURIComponent(name)}`;
    const [releases, reports] = await Promise.all([api.get(`${path}/releases?limit=${RECENT}`), api.get(`${path}/reports`)]);
    recent = releases.releases;
    trends = reports.groups;
  } catch {
    recent = []; // the stages say what is wrong
    trends = [];
  }
  changed();
}

// ---- the way into a stage ----

function waitingCard(pipeline, stage, waiting, isNewest) {
  const open = waiting.approvals.map((brief) => state.approvals?.find((a) => a.approvalId === brief.approvalId) || { ...brief, pipeline: pipeline.name, release: waiting.release, stage: stage.name });
  return h('li.waiting', { key: waiting.release, class: isNewest ? 'is-newest' : '' },
    h('p.waiting-head', null, icon('waiting', 'waiting'), parts.releaseLink(pipeline.name, waiting.release), h('span.push.quiet', null, parts.ago(waiting.sinceMs))),
    h('p.cut.small', { title: waiting.message }, parts.commit(waiting.commit), ' ', waiting.message),
    gates.holdList(pipeline.name, waiting.release, stage.name, waiting.held, open.length ? ['approval'] : []),
    open.map((approval) => gateVotes(approval, waiting.held, open.length > 1)));
}

function gateVotes(approval, held, among) {
  const votes = approval.votes || [];
  const approved = approval.approved ?? parts.approvedCount(approval);
  const obstacle = voteObstacle(approval);
  return h('div.gate-votes', { key: approval.approvalId, role: 'group', aria: { label: approval.gate } },
    among && h('p.small', null, h('strong', null, approval.gate), h('span.quiet', null, ' of ', f.whoMay(approval.by))),
    h('p.vote-count', null, h('strong.num', null, `${approved} of ${approval.count}`), h('span.quiet', null, ' votes', approval.rejects > 1 && ` · ${parts.rejectedCount(approval)} of ${approval.rejects} against`, ' · ends in ', parts.until(approval.expiresMs))),
    h('p.dots', { aria: { hidden: 'true' } }, Array.from({ length: Math.min(approval.count, 12) }, (_, i) => h('span.dot', { key: i, class: i < approved ? 'is-on' : '' }))),
    votes.map((v, i) => h('p.small', { key: i }, icon(v.verdict === 'approve' ? 'good' : 'failed', v.verdict), ' ', v.voter?.name, v.comment && h('span.quiet', null, ` “${v.comment}”`))),
    h('button.button', { type: 'button', class: obstacle ? '' : 'primary', onClick: () => openReview(approval) }, obstacle ? 'Look at it' : 'Review'),
    (held || []).filter((hold) => hold.name === approval.gate).map((hold) => gates.overrideButton(approval.pipeline, approval.release, approval.stage, hold)),
    obstacle && state.me && !state.me.anonymous && h('p.quiet.small', null, obstacle));
}

function transition(pipeline, stage, first) {
  const { waiting } = stage;
  const bare = !stage.gates.length && !waiting.length && !stage.disabled;
  const button = gates.transitionButton(pipeline, stage);
  return h('li.transition', { key: `to ${stage.name}`, class: [bare && !(first && button) ? 'is-bare' : '', first ? 'is-first' : '', waiting.length ? 'is-held' : '', stage.disabled ? 'is-shut' : ''].join(' '), aria: { label: `Into ${stage.name}` } },
    h('div.line', { aria: { hidden: 'true' } }), button,
    !bare && h('div.transition-body', null,
      gates.transitionState(pipeline, stage),
      stage.gates.length > 0 && h('ul.gates', null, stage.gates.map(gates.gateNode)),
      waiting.length > 0 && h('ul.stack', { aria: { label: 'Releases that wait here, newest first' } },
        waiting.toReversed().map((w, i) => waitingCard(pipeline, stage, w, i === 0)))));
}

// ---- a stage ----

const environmentsOf = (stage) => [...new Set(stage.steps.flat().map((action) => action.environment).filter(Boolean))];

function pinButton(pipeline, environment) {
  if (!may('operator') || pipeline.deleted) return null;
  return gates.pinOf(pipeline, environment)
    ? h('button.button', { type: 'button', key: `unpin ${environment}`, onClick: () => askUnpin(pipeline.name, environment) }, icon('pin'), `Unpin ${environment}`)
    : h('button.button.quiet-button', { type: 'button', key: `pin ${environment}`, aria: { label: `Pin ${environment}` }, title: `Keep ${environment} on an image`, onClick: () => askPin(pipeline.name, environment) }, icon('pin'));
}

function stageButtons(pipeline, stage) {
  const { current } = stage;
  const failed = current?.status === 'failed' || current?.status === 'stopped';
  const deploys = stage.steps.some((step) => step.some((action) => action.kind === 'deploy'));
  return h('div.stage-buttons', null,
    may('developer') && failed && h('button.button', { type: 'button', onClick: () => askRetry(pipeline.name, current.release, stage.name) }, icon('retry'), 'Retry'),
    may('developer') && current?.status === 'in-progress' && h('button.button', { type: 'button', onClick: () => askStop(pipeline.name, current.release) }, icon('stop'), 'Stop'),
    may('operator') && stage.good && deploys && h('button.button', { type: 'button', title: 'Put an earlier release’s image there', onClick: () => askRollback(pipeline.name, stage.name, current?.status === 'succeeded' ? current.release : null) }, icon('rollback'), 'Roll back'),
    stage.good && environmentsOf(stage).map((environment) => pinButton(pipeline, environment)));
}

const goneNote = () => h('p.quiet', { key: 'gone' }, 'The definition no longer has this stage; releases that began before still go through it.');

function currentCard(pipeline, stage) {
  const { current } = stage;
  if (stage.removed && !current) return h('div.current', null, goneNote());
  if (!current) return h('div.current', null, h('p.quiet', null, 'Nothing has come here yet.'), stepNodes(steps(stage.steps, [], [])));
  const approvals = (state.approvals || []).filter((a) => a.pipeline === pipeline.name && a.release === current.release && a.stage === stage.name);
  return h('div.current', null, stage.removed && goneNote(),
    h('p.current-head', null, parts.releaseLink(pipeline.name, current.release), current.type === 'rollback' && h('span.rolled', { title: 'rollback' }, icon('rollback', 'rollback')),
      current.number > 1 && h('span.quiet.small', { title: 'how often it entered the stage' }, `${current.number}. try`),
      parts.commit(current.commit), h('span.push', null, parts.ago(current.sinceMs))),
    h('p.message', { title: current.message }, current.message || (current.type === 'rollback' ? 'Rollback' : '')),
    current.status === 'failed' && current.reason && !(current.actions || []).some((a) => a.runs.at(-1)?.reason) && h('p.reason', null, current.reason),
    stepNodes(steps(stage.steps, current.actions, approvals, current.skipped), { review: openReview, select: (run) => router.go(`${parts.releaseHref(pipeline.name, current.release)}?run=${run.runId}`) }));
}

function stageColumn(pipeline, stage) {
  const { current, good } = stage;
  return h('li.stage', { key: stage.name, class: `tone-${f.stateOf(current?.status).tone}` },
    h('header.stage-head', null, h('h2.cut', { title: stage.name }, stage.name), parts.shortBadge(current?.status)),
    currentCard(pipeline, stage),
    h('footer.stage-foot', null,
      environmentsOf(stage).map((environment) => gates.pinOf(pipeline, environment)).filter(Boolean).map(gates.pinNode),
      stage.onFailure && h('p.quiet.small', { key: 'on-failure' }, 'on failure: ', stage.onFailure === 'rollback' ? 'rolls back by itself' : `tries again, ${stage.onFailure.split(' ')[1]} times at most`),
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
        newest && [' · newest commit ', parts.commit(newest.commit), ' ', parts.ago(newest.timeMs), ' ago'])),
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
    trends = [];
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
      trendSection(name, trends),
      recent.length > 0 && h('section.recent', null, h('h2', null, 'Recent releases'), parts.releaseTable(recent, false)));
  },
};
