// Dialogs for what people do to the ways between stages: each says what will happen before it does.
import { h, icon } from './dom.js';
import * as api from './api.js';
import { ask } from './ask.js';

const base = (pipeline) => `pipelines/${encodeURIComponent(pipeline)}`;
const outcome = (answer, done) => (answer.status === 202 ? 'Stored; the promoter has not decided it yet' : done(answer.body));
const stillHeld = (release, stage) => (release.stages || []).some((s) => s.name === stage && s.status === 'waiting' && s.held?.length);

export function askDisable(pipeline, stage) {
  ask({
    title: `Disable the way into ${stage}`,
    body: h('p.quiet', null, `Releases of ${pipeline} wait before ${stage} until somebody enables it. What is in the stage goes on; a rollback still enters.`),
    fields: [{ name: 'reason', label: 'Reason', kind: 'textarea', required: true, hint: 'shown to everybody who waits there, kept in the audit' }],
    button: `Disable the way into ${stage}`,
    danger: true,
    async act(values, key) {
      return outcome(await api.post(`${base(pipeline)}/stages/${encodeURIComponent(stage)}/transition`, { enabled: false, reason: values.reason }, key), () => `No release enters ${stage} now`);
    },
  });
}

export function askEnable(pipeline, stage) {
  ask({
    title: `Enable the way into ${stage}`,
    body: h('p.quiet', null, `Releases of ${pipeline} enter ${stage} again as soon as its gates let them: one that waits may go at once.`),
    fields: [{ name: 'reason', label: 'Reason', kind: 'textarea', hint: 'kept in the audit' }],
    button: `Enable the way into ${stage}`,
    async act(values, key) {
      return outcome(await api.post(`${base(pipeline)}/stages/${encodeURIComponent(stage)}/transition`, { enabled: true, reason: values.reason }, key), () => `Releases enter ${stage} again`);
    },
  });
}

export function askPromote(pipeline, release, stage) {
  ask({
    title: `Promote ${pipeline} #${release} into ${stage}`,
    body: h('p.quiet', null, 'It passes the manual gate. Its other gates still count.'),
    button: `Promote release ${release}`,
    async act(_, key) {
      return outcome(await api.post(`${base(pipeline)}/releases/${release}/stages/${encodeURIComponent(stage)}/promote`, {}, key),
        (r) => (stillHeld(r, stage) ? `Release ${release} is promoted; other gates of ${stage} still hold it` : `Release ${release} goes on into ${stage}`));
    },
  });
}

export function askOverride(pipeline, release, stage, gate) {
  const what = { disabled: 'the disabled way in', freeze: 'the freeze' }[gate] || `the gate ${gate}`;
  ask({
    title: `Override ${what} for ${pipeline} #${release}`,
    body: h('p.warning', { role: 'note' }, icon('warn'), h('span', null, `Release ${release} goes towards ${stage} as if ${what} had let it pass. `,
      h('strong', null, 'Your name and reason are kept for ever and sent to those who watch overrides.'))),
    fields: [{ name: 'reason', label: 'Reason', kind: 'textarea', required: true, hint: 'what cannot wait, and who agreed' }],
    button: `Override ${gate}`,
    danger: true,
    async act(values, key) {
      return outcome(await api.post(`${base(pipeline)}/releases/${release}/stages/${encodeURIComponent(stage)}/gates/${encodeURIComponent(gate)}/override`, { reason: values.reason }, key),
        (r) => (stillHeld(r, stage) ? `Overridden; other gates of ${stage} still hold release ${release}` : `Overridden: release ${release} goes on into ${stage}`));
    },
  });
}

export function askPin(pipeline, environment) {
  ask({
    title: `Pin ${environment} for ${pipeline}`,
    body: h('p.quiet', null, `Only releases of that image are deployed to ${environment} until somebody unpins it. All others wait, rollbacks too.`),
    fields: [
      { name: 'digest', label: 'Digest', placeholder: 'sha256:…', hint: 'left empty: what runs there now' },
      { name: 'reason', label: 'Reason', kind: 'textarea', required: true, hint: 'shown to everybody who waits there, kept in the audit' },
    ],
    button: `Pin ${environment}`,
    danger: true,
    async act(values, key) {
      const body = values.digest ? values : { reason: values.reason };
      return outcome(await api.post(`${base(pipeline)}/environments/${encodeURIComponent(environment)}/pin`, body, key), () => `${environment} is pinned`);
    },
  });
}

export function askUnpin(pipeline, environment) {
  ask({
    title: `Unpin ${environment} for ${pipeline}`,
    body: h('p.quiet', null, `Releases are deployed to ${environment} again as soon as their gates let them: one that waits may go at once.`),
    fields: [{ name: 'reason', label: 'Reason', kind: 'textarea', hint: 'kept in the audit' }],
    button: `Unpin ${environment}`,
    async act(values, key) {
      return outcome(await api.post(`${base(pipeline)}/environments/${encodeURIComponent(environment)}/unpin`, values, key), () => `${environment} is not pinned any more`);
    },
  });
}
