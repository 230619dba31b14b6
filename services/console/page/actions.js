// A stage's actions: what the definition says and what ran, together.
import { h, icon } from './dom.js';
import * as parts from './parts.js';
import * as f from './format.js';
import { voteObstacle } from './store.js';

// The builds of an action's batch, in its order: what ran, and what was planned and not asked for. Taken out of `byName`.
function buildsOf(action, byName) {
  const before = `${action.name}/`, last = action.runs?.at(-1);
  const planned = (last?.batch?.builds || []).map((build) => before + build.identifier);
  const names = [...planned, ...[...byName.keys()].filter((name) => name.startsWith(before) && !planned.includes(name))];
  return names.map((name) => {
    const runs = byName.get(name)?.runs || [];
    byName.delete(name);
    return { name, kind: 'build', build: name.slice(before.length), runs, run: runs.at(-1) || { status: last?.endedMs ? 'skipped' : 'waiting' } };
  });
}

// [[action]] by steps: each {name, kind, environment, runs, run, approval}, builds of a batch ({build: its identifier})
// after their action. `ran` are a release's actions in the stage; without a definition (an old release's) their own
// steps count. `skipped`: names of those never asked for.
export function steps(definedSteps, ran, approvals, skipped) {
  const byName = new Map((ran || []).map((a) => [a.name, a]));
  const whole = (defined) => {
    const runs = byName.get(defined.name)?.runs || [];
    byName.delete(defined.name);
    const is = { ...defined, runs, run: runs.at(-1), approval: (approvals || []).findLast((a) => a.gate === defined.name) };
    return skipped?.includes(defined.name) ? { ...is, run: { status: 'skipped' }, approval: undefined } : is;
  };
  const out = (definedSteps || []).map((step) => step.map(whole));
  for (const action of byName.values()) if (!action.name.includes('/')) (out[action.step] ||= []).push({ ...action, run: action.runs.at(-1), environment: action.runs.at(-1)?.environment });
  return out.filter(Boolean).map((step) => step.flatMap((action) => [action, ...buildsOf(action, byName)]));
}

export function statusOf(action) {
  if (action.kind === 'approval' && action.approval) return { approved: 'succeeded', rejected: 'failed', expired: 'failed' }[action.approval.outcome] || (action.approval.outcome ? 'stopped' : 'waiting');
  return action.run?.status;
}

function what(action) {
  if (action.environment) return h('span.quiet.cut', null, '→ ', action.environment);
  return h('span.quiet.cut', null, action.kind === 'custom' ? `custom/${action.type || ''}` : action.kind);
}

// select(run): what a click does; null: nothing. `chosen`: the run that is shown. review(approval): opens it.
export function actionNode(action, { select, chosen, review } = {}) {
  const status = statusOf(action);
  const state = f.stateOf(status);
  const { run } = action;
  const line = [
    h('span.action-icon', { class: `tone-${state.tone}` }, icon(state.icon, state.text)),
    h('span.action-name.cut', { title: action.name }, action.build || action.name), what(action),
    h('span.push', null, run?.startedMs ? parts.took(run.startedMs, run.endedMs) : null,
      run && !run.startedMs && status === 'waiting' && run.runId && action.kind !== 'approval' && h('span.quiet.small', { title: 'asked for, not started by anybody yet' }, 'queued')),
  ];
  return h('li.action', { key: action.name, class: `tone-${state.tone}${action.build ? ' is-build' : ''}` },
    run?.runId && select && action.kind !== 'approval' ? h('button.action-line', { type: 'button', aria: { pressed: String(run.runId === chosen) }, title: 'Show its log', onClick: () => select(run, action) }, line)
      : h('div.action-line', null, line),
    status === 'in-progress' && run?.silent && h('p.silent.small', null, icon('warn'), ` not heard of for ${f.left(run.silent.forMs)}; it goes on`),
    status === 'failed' && run?.reason && h('p.reason', null, run.reason),
    review && action.approval && !action.approval.outcome && h('p.action-review', null,
      h('span.quiet', null, h('span.num', null, `${parts.approvedCount(action.approval)} of ${action.approval.count}`), ' votes of ', f.whoMay(action.approval.by)),
      h('button.button', { type: 'button', class: voteObstacle(action.approval) ? '' : 'primary', onClick: () => review(action.approval) }, voteObstacle(action.approval) ? 'Look at it' : 'Review')),
    action.runs?.length > 1 && h('p.quiet.small', null, `asked ${action.runs.length} times`));
}

export function stepNodes(list, options) {
  return h('ol.steps', null, list.map((step, i) => h('li.step', { key: i, class: step.length > 1 ? 'is-parallel' : '' },
    h('ul.step-actions', { aria: { label: step.length > 1 ? 'together' : null } }, step.map((action) => actionNode(action, options))))));
}
