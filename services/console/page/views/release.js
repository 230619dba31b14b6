// One release: where it is in a sentence, its timeline, the log beside it, what was built and who voted.
import { h, icon } from '../dom.js';
import { state, onEvent, changed, may, loadPipeline, voteObstacle } from '../store.js';
import * as api from '../api.js';
import * as parts from '../parts.js';
import * as f from '../format.js';
import { askStop, askRetry, askRollback } from '../ask.js';
import { openReview } from '../review.js';
import { LogView } from '../log.js';
import { timeline } from '../timeline.js';
import { reportsCard } from '../reports.js';
import { buildsCard } from '../builds.js';
import * as gates from '../gates.js';

let release = null; // null: not loaded; undefined: there is none
let problem = null;
let log = null;
let chosen = null;  // run id
let timer = null;

async function load({ pipeline, release: number }) {
  try {
    release = await api.get(`pipelines/${encodeURIComponent(pipeline)}/releases/${encodeURIComponent(number)}`);
    problem = null;
  } catch (error) {
    if (error.status === 404) release = undefined;
    else problem = error;
  }
  changed();
}

// ---- the sentence ----

const lastStage = () => release.stages.findLast((s) => s.status === 'in-progress') || release.stages.findLast((s) => s.status === 'waiting') || release.stages.findLast((s) => s.status === 'failed') || release.stages.at(-1);

// Of a batch the build that failed it: what it said is of more use than what the action can say.
function failure() {
  const failed = (action) => action.runs.at(-1)?.status === 'failed';
  for (const stage of release.stages)
    for (const action of stage.actions.filter((a) => failed(a) && !a.name.includes('/'))) {
      const counts = new Set(action.runs.at(-1).batch?.builds.filter((b) => !b.ignoreFailure).map((b) => `${action.name}/${b.identifier}`));
      const shown = stage.actions.find((a) => counts.has(a.name) && failed(a)) || action;
      return { stage: stage.name, action: shown.name, run: shown.runs.at(-1) };
    }
  return null;
}

const openIn = (stage) => release.approvals.filter((a) => !a.outcome && a.stage === stage.name);

// "waiting for 1 more approval from qa to enter prod, until Thu 16:00, and for its soak"
function votesSentence([approval, ...further], others, purpose) {
  const left = approval.count - parts.approvedCount(approval);
  const rest = [...further.map((a) => `approval of ${f.whoMay(a.by)}`), ...others.map(gates.holdText)];
  const more = rest.length ? `, and for ${rest.length === 1 ? rest[0] : `${rest.length} ${others.length ? 'other gates' : 'more'}`}` : '';
  return `waiting for ${left === approval.count ? left : `${left} more`} ${left === 1 ? 'approval' : 'approvals'} from ${f.whoMay(approval.by)}${purpose}, until ${f.moment(approval.expiresMs)}${more}`;
}

function waitingSentence(stage) {
  const done = release.stages.filter((s) => s.status === 'succeeded').at(-1);
  const where = done ? ` is in ${done.name}` : ' has not entered a stage';
  const others = (stage.held || []).filter((hold) => hold.kind !== 'approval');
  if (!openIn(stage).length) return `${where}, waiting for ${gates.holdsText(others)} before ${stage.name}`;
  return `${where}, ${votesSentence(openIn(stage), others, ` to enter ${stage.name}`)}`;
}

function sentence() {
  const stage = lastStage();
  const ended = release.endedMs ? ` ${f.span(Date.now() - release.endedMs)} ago` : '';
  switch (release.status) {
    case 'succeeded': return ` succeeded${ended}, in ${f.duration(release.endedMs - release.startedMs)}`;
    case 'failed': return ` failed${failure() ? ` in ${failure().stage}` : stage?.number === 0 ? ` on the way into ${stage.name}` : ''}${ended}`;
    case 'stopped': return ` was stopped${release.stop?.by ? ` by ${release.stop.by}` : ''}${ended}`;
    case 'superseded': return ` was superseded${release.supersededBy ? ` by release ${release.supersededBy}` : ''}${ended}`;
    case 'waiting': return stage ? waitingSentence(stage) : ' is about to start';
    default: return stage && !release.stop && openIn(stage).length ? ` is in ${stage.name}, ${votesSentence(openIn(stage), [], '')}` : stage ? ` is going through ${stage.name}${release.stop ? ', and is being stopped' : ''}` : ' has started';
  }
}

function head() {
  const tone = f.stateOf(release.status);
  const failed = release.stages.findLast((s) => s.status === 'failed' || s.status === 'stopped');
  const running = release.status === 'in-progress' || release.status === 'waiting';
  const open = release.approvals.filter((a) => !a.outcome);
  return h('div.view-head', null,
    h('div', null,
      h('p.crumb', null, h('a', { href: `/pipelines/${release.pipeline}` }, release.pipeline)),
      h('h1.headline', null, h('span', { class: `tone-${tone.tone}` }, icon(tone.icon, tone.text)), ' Release ', h('span.num', null, release.number), sentence(), '.'),
      h('p.quiet', null,
        release.type === 'rollback' ? ['Rollback of ', release.rollbackStage, ' to ', parts.releaseLink(release.pipeline, release.rollbackTo),
          release.failedRelease ? [', by itself because ', parts.releaseLink(release.pipeline, release.failedRelease), ' failed'] : release.startReason && `: ${release.startReason}`] : release.message,
        ' ', parts.commit(release.commit), release.starter?.name && ` · started by ${release.starter.name}`, ' · ', parts.ago(release.startedMs), ' ago · definition ', h('span.num', null, release.definitionNumber))),
    h('div.view-buttons', null,
      open.map((a) => h('button.button', { key: a.approvalId, type: 'button', class: voteObstacle(a) ? '' : 'primary', onClick: () => openReview(a) }, ['Review', parts.gateAmong(a, open), 'for', a.stage].filter(Boolean).join(' '))),
      may('developer') && failed && !running && h('button.button', { type: 'button', onClick: () => askRetry(release.pipeline, release.number, failed.name) }, icon('retry'), `Retry ${failed.name}`),
      may('operator') && release.status === 'failed' && failed && h('button.button', { type: 'button', onClick: () => askRollback(release.pipeline, failed.name, release.number) }, icon('rollback'), 'Roll back'),
      may('developer') && running && h('button.button.danger', { type: 'button', onClick: () => askStop(release.pipeline, release.number) }, icon('stop'), 'Stop')));
}

function rolledBackBox() {
  if (!release.rolledBackBy) return null;
  return h('p.notice', { key: 'rolled', role: 'note' }, icon('rollback'), ' It was rolled back by itself: see ', parts.releaseLink(release.pipeline, release.rolledBackBy), '.');
}

function failureBox() {
  const failed = release.status === 'failed' && failure();
  if (!failed) return release.status === 'failed' && release.reason ? h('div.failure', { key: 'failure' }, h('p', null, release.reason)) : null;
  const { finished } = failed.run;
  return h('div.failure', { key: 'failure', role: 'note' },
    h('p', null, h('strong', null, failed.action, ' in ', failed.stage, ': '), failed.run.reason || finished?.reason),
    finished?.command && h('p.small', null, h('code', null, finished.command), finished.phase && ` in phase ${finished.phase}`, finished.exitCode ? `, exit code ${finished.exitCode}` : ''),
    finished?.logTail?.length > 0 && h('pre.tail', null, finished.logTail.join('\n')));
}

// ---- runs and their log ----

const allRuns = () => release.stages.flatMap((s) => s.actions.filter((a) => a.kind !== 'approval').flatMap((a) => a.runs.map((run) => ({ ...run, stage: s.name, action: a.name }))));

function choose(runId) {
  chosen = runId;
  history.replaceState(null, '', `${location.pathname}?run=${runId}`);
  changed();
}

// Unless somebody chose: what failed, what runs, else the last.
function runToShow() {
  const runs = allRuns();
  return runs.find((r) => r.runId === chosen) || runs.findLast((r) => r.status === 'failed') || runs.findLast((r) => r.status === 'in-progress') || runs.at(-1);
}

function logPart() {
  const run = runToShow();
  if (!run) return h('div.log-none', { key: 'none' }, parts.empty('Nothing has run yet', 'The log of each action stands here.'));
  log.open(run.runId, `${run.stage} / ${run.action}${run.number > 1 ? ` (${run.number}.)` : ''}`, run.attempt);
  return h('div.log-place', { key: 'log', mount: log.node });
}

// ---- what belongs to it ----

function artifacts() {
  if (!release.artifacts.length) return null;
  return h('section.card', { key: 'artifacts' }, h('h2', null, 'Images'), h('ul.plain', null, release.artifacts.map((a) => h('li', { key: a.name },
    h('p', null, h('strong', null, a.name), ' ', parts.digest(a.digest)), h('p.quiet.small.cut', { title: a.repository }, a.repository, a.tag && `:${a.tag}`, a.sizeBytes && ` · ${f.size(a.sizeBytes)}`, a.signature && ' · signed')))));
}

function votes() {
  if (!release.approvals.length) return null;
  const outcome = (a) => (a.outcome ? h('span', { class: `tone-${a.outcome === 'approved' ? 'good' : a.outcome === 'overridden' ? 'waiting' : a.outcome === 'rejected' || a.outcome === 'expired' ? 'failed' : 'stopped'}` }, a.outcome) : h('span.tone-waiting', null, 'open'));
  return h('section.card', { key: 'votes' }, h('h2', null, 'Approvals'), h('ul.plain', null, release.approvals.map((a) => h('li', { key: a.approvalId },
    h('p', null, h('strong', null, a.stage), a.gate !== 'approval' && ` ${a.gate}`, h('span.num', null, ` ${parts.approvedCount(a)} of ${a.count} `), outcome(a), a.reason && h('span.quiet', null, ` ${a.reason}`)),
    (a.votes || []).map((v, i) => h('p.small', { key: i }, h('span', { class: v.verdict === 'approve' ? 'tone-good' : 'tone-failed' }, icon(v.verdict === 'approve' ? 'good' : 'failed', v.verdict)), ' ', v.voter?.name || v.voter?.subject, ' ', h('span.quiet', { title: f.exact(v.castMs) }, f.moment(v.castMs)), v.comment && h('span.comment', null, v.comment))))),
  release.refusedVotes.map((r, i) => h('li.small.quiet', { key: `refused ${i}` }, `Refused: ${r.vote?.voter?.name || ''}, ${r.reason}`))));
}

function changes() {
  return h('section.card', { key: 'changes' }, h('h2', null, 'Revisions'), h('ul.plain', null, release.revisions.map((r) => h('li', { key: r.source },
    h('p', null, parts.commit(r.commit), ' ', r.message), h('p.quiet.small.cut', { title: r.git }, r.source, r.ref && ` · ${r.ref.replace('refs/heads/', '')}`, ' · ', r.git)))),
  release.people.length > 0 && h('p.quiet.small', null, 'by ', release.people.join(', ')),
  release.variables.length > 0 && h('dl.facts', null, release.variables.map((v) => [h('dt', { key: `k ${v.key}` }, v.key), h('dd', { key: `v ${v.key}` }, v.value)])));
}

export default {
  title: ({ pipeline, release: number }) => `${pipeline} #${number}`,
  open(params) {
    release = null;
    problem = null;
    log = new LogView();
    chosen = new URLSearchParams(location.search).get('run');
    load(params);
    if (!state.details.has(params.pipeline)) loadPipeline(params.pipeline).catch(() => {});
    const stop = onEvent((event) => {
      if (event && event.pipeline !== params.pipeline) return;
      timer ||= setTimeout(() => { timer = null; load(params); }, 60);
    });
    return () => { stop(); log.close(); };
  },
  render(params) {
    if (problem && !release) return parts.problemBox(problem, () => load(params));
    if (release === undefined) return parts.empty(`There is no release ${params.release} of ${params.pipeline}`, 'See ', h('a', { href: `/pipelines/${params.pipeline}` }, 'its pipeline'), '.');
    if (!release) return parts.skeleton(4);
    const stages = state.details.get(params.pipeline)?.stages || [];
    return h('section.release', null, head(), rolledBackBox(), failureBox(),
      h('div.release-body', null,
        h('div.release-left', null, timeline(release, stages, runToShow()?.runId, choose), h('div.release-cards', null, reportsCard(release), gates.passList(release), changes(), artifacts(), buildsCard(release), votes())),
        logPart()));
  },
};
