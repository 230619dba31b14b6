// The ways between stages: what stands on them, what holds a release there, and what may be done about it.
import { h, icon } from './dom.js';
import { may } from './store.js';
import * as parts from './parts.js';
import * as f from './format.js';
import { askEnable, askDisable, askOverride, askPromote } from './steer.js';

const ICONS = {
  approval: 'lock', soak: 'soak', window: 'calendar', manual: 'hand', check: 'probe',
  disabled: 'pause', freeze: 'freeze', pinned: 'pin', occupied: 'running', behind: 'superseded',
};
export const iconOf = (kind) => ICONS[kind] || 'waiting';

const notWords = (not) => not.map((n) => (n.startsWith('approver-of:') ? `who approved ${n.slice(12)}` : n));

// ---- a gate as the definition has it ----

function gateWords(gate) {
  switch (gate.kind) {
    case 'approval': return [h('strong.num', null, gate.count), gate.count === 1 ? ' vote of ' : ' votes of ', f.whoMay(gate.by),
      gate.not?.length > 0 && h('span.quiet', null, ` (not ${f.listed(notWords(gate.not))})`),
      gate.rejects > 1 && h('span.quiet', null, `, ${gate.rejects} against reject`)];
    case 'soak': return ['soak ', h('strong.num', null, f.left(gate.soakMs))];
    case 'window': return [h('strong', null, gate.window)];
    case 'manual': return ['promoted by hand'];
    case 'check': return [h('strong', null, gate.type), ' says yes', h('span.quiet', null, `, asked every ${f.left(gate.everyMs)}`)];
    default: return [gate.name];
  }
}
export const gateTitle = (gate) => h('span', null, gateWords(gate)).textContent;
export const gateNode = (gate) => h('li.gate', { key: gate.name, title: gate.message || gate.name }, icon(iconOf(gate.kind), gate.kind), h('span', null, gateWords(gate)));

// ---- what holds a release ----

const reason = (hold) => hold.reason && h('span.why', null, `“${hold.reason}”`);
const person = (hold) => [hold.by && ` by ${hold.by}`, hold.sinceMs && [' ', parts.ago(hold.sinceMs), ' ago']];

function checkWords(check) {
  return ['check ', h('strong', null, check.type || check.gate || check.name),
    check.answer && [' says ', h('strong', { class: check.answer === 'yes' ? 'tone-good' : 'tone-failed' }, check.answer), ' (', parts.ago(check.answeredMs), ' ago)'],
    check.asking ? (check.answer ? ', is being asked again' : ' is being asked') : check.answer === 'no' && check.askAgainMs > 0 && [', asked again in ', parts.left(check.askAgainMs)],
    reason(check)];
}

function holdWords(pipeline, hold) {
  switch (hold.kind) {
    case 'occupied': return ['release ', parts.releaseLink(pipeline, hold.release), ' is in there'];
    case 'behind': return ['behind ', parts.releaseLink(pipeline, hold.release)];
    case 'disabled': return ['disabled', person(hold), reason(hold)];
    case 'pinned': return [h('strong', null, hold.environment), ' is pinned to ', parts.digest(hold.digest), person(hold), reason(hold)];
    case 'freeze': return ['frozen: ', h('strong', null, hold.environment), hold.untilMs && [' until ', f.moment(hold.untilMs), ', ', parts.left(hold.untilMs), ' left'], reason(hold)];
    case 'soak': return hold.untilMs ? ['soak: ', parts.left(hold.untilMs), ' left'] : ['soak of ', f.left(hold.soakMs || 0)];
    case 'window': return ['window ', hold.window, hold.untilMs && [', opens ', f.moment(hold.untilMs), ' (in ', parts.left(hold.untilMs), ')']];
    case 'approval': return ['approval of ', f.whoMay(hold.by)];
    case 'manual': return ['held until it is promoted by hand'];
    case 'check': return checkWords(hold);
    default: return [hold.name];
  }
}

// As plain text: for titles and sentences.
export function holdText(hold) {
  switch (hold.kind) {
    case 'occupied': return `release ${hold.release}, which is in there`;
    case 'behind': return `release ${hold.release} before it`;
    case 'disabled': return `the way in to be enabled${hold.reason ? ` (${hold.reason})` : ''}`;
    case 'pinned': return `${hold.environment} to be unpinned`;
    case 'freeze': return `the freeze of ${hold.environment} to end${hold.untilMs ? `, ${f.moment(hold.untilMs)}` : ''}`;
    case 'soak': return `its soak${hold.untilMs ? ` until ${f.moment(hold.untilMs)}` : ''}`;
    case 'window': return `its window${hold.untilMs ? `, which opens ${f.moment(hold.untilMs)}` : ''}`;
    case 'manual': return 'somebody to promote it';
    case 'check': return `a yes of ${hold.type || hold.name}`;
    case 'approval': return 'approval';
    default: return hold.name;
  }
}
export const holdsText = (held) => f.listed((held || []).map(holdText));

// A pin is taken out, and a release inside goes on: neither can be overridden.
const OVERRIDABLE = ['approval', 'soak', 'window', 'check', 'manual', 'disabled', 'freeze'];
const gateOf = (hold) => hold.name.split(':')[0];

export function overrideButton(pipeline, release, stage, hold) {
  if (!may('operator') || !OVERRIDABLE.includes(hold.kind)) return null;
  return h('button.link-button', { type: 'button', aria: { label: `Override ${gateOf(hold)} for release ${release}` }, title: 'Let this release pass without it', onClick: () => askOverride(pipeline, release, stage, gateOf(hold)) }, 'Override');
}

// `but`: kinds that are shown elsewhere.
export function holdList(pipeline, release, stage, held, but = []) {
  const shown = (held || []).filter((hold) => !but.includes(hold.kind));
  if (!shown.length) return null;
  return h('ul.holds', { key: 'holds', aria: { label: `What holds release ${release}` } }, shown.map((hold) => h('li.hold', { key: hold.name, class: `is-${hold.kind}` },
    icon(iconOf(hold.kind), hold.kind),
    h('span.hold-words', null, holdWords(pipeline, hold), ' ',
      hold.kind === 'manual' && may('operator') ? h('button.button.primary', { type: 'button', onClick: () => askPromote(pipeline, release, stage) }, 'Promote')
        : overrideButton(pipeline, release, stage, hold)))));
}

// ---- transitions ----

export function transitionState(pipeline, stage) {
  const { disabled } = stage;
  if (!disabled) return null;
  return h('div.shut', { key: 'shut', role: 'note' },
    h('p', null, icon('pause'), ' ', h('strong', null, 'Disabled'), h('span.quiet', null, person(disabled))),
    disabled.reason && h('p.why', null, `“${disabled.reason}”`),
    may('operator') && h('button.button', { type: 'button', onClick: () => askEnable(pipeline.name, stage.name) }, icon('play'), 'Enable'));
}

// On the line itself, for who may.
export function transitionButton(pipeline, stage) {
  if (stage.disabled || stage.removed || pipeline.deleted || !may('operator')) return null;
  return h('button.line-button', { type: 'button', key: 'disable', title: `Let no release enter ${stage.name}`, aria: { label: `Disable the way into ${stage.name}` }, onClick: () => askDisable(pipeline.name, stage.name) }, icon('pause'));
}

// ---- what a release passed, and what checks said of it ----

const passWords = (p) => [h('strong', null, p.how === 'overridden' ? 'overridden: ' : 'promoted past '), { disabled: 'the disabled way', freeze: 'the freeze' }[p.gate] || p.gate, ` into ${p.stage}`];

export function passList(release) {
  const { passes = [], checks = [] } = release;
  const waiting = release.stages.filter((s) => s.held?.length);
  if (!passes.length && !checks.length && !waiting.length) return null;
  return h('section.card', { key: 'gates' }, h('h2', null, 'Gates'),
    waiting.map((stage) => h('div.gate-stage', { key: `waits ${stage.name}` }, h('h3', null, 'Into ', stage.name), holdList(release.pipeline, release.number, stage.name, stage.held))),
    h('ul.plain', { key: 'done' },
      checks.filter((c) => !waiting.some((s) => s.name === c.stage)).map((c) => h('li.hold', { key: `check ${c.stage} ${c.gate}` }, icon('probe', 'check'), h('span.hold-words', null, h('strong', null, c.stage), ' ', checkWords(c)))),
      passes.map((p) => h('li.hold', { key: `pass ${p.stage} ${p.gate} ${p.timeMs}`, class: p.how === 'overridden' ? 'tone-waiting' : '' },
        icon(p.how === 'overridden' ? 'warn' : 'hand', p.how),
        h('span.hold-words', null, passWords(p), p.by && ` by ${p.by}`, ' ', h('span.quiet', { title: f.exact(p.timeMs) }, f.moment(p.timeMs)), reason(p))))));
}

// ---- pins ----

export const pinOf = (pipeline, environment) => (pipeline.pins || []).find((pin) => pin.environment === environment);
export function pinNode(pin) {
  return h('p.pin', { key: `pin ${pin.environment}`, role: 'note' }, icon('pin', 'pinned'),
    h('span.hold-words', null, h('strong', null, pin.environment), ' pinned to ', parts.digest(pin.digest), h('span.quiet', null, person(pin)), reason(pin)));
}

