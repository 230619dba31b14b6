// Dialogs that ask before something is done, and say what happened after.
import { h, icon, announce, uniqueId } from './dom.js';
import * as api from './api.js';

// fields: [{name, label, kind: text|textarea|select|check, options, hint, required}]
// act(values, key): does it; returns the sentence to say. Stays open with the reason where it fails.
export function ask({ title, body, fields = [], button, danger = false, act }) {
  const inputs = new Map(fields.map((field) => [field.name, fieldInput(field)]));
  const problem = h('p.field-problem', { role: 'alert' });
  const submit = h('button.button', { type: 'submit', class: danger ? 'danger' : 'primary' }, button);
  const key = api.newKey();
  const titleId = uniqueId('ask');
  const dialog = h('dialog.dialog', { aria: { labelledby: titleId } },
    h('form', {
      method: 'dialog',
      onSubmit: async (event) => {
        event.preventDefault();
        const values = {};
        for (const [name, input] of inputs) values[name] = input.type === 'checkbox' ? input.checked : input.value.trim();
        submit.disabled = true;
        problem.textContent = '';
        try {
          announce(await act(values, key), 'good');
          dialog.close();
        } catch (error) {
          problem.textContent = error.errors?.length ? error.errors.map((e) => `${e.path}: ${e.reason}`).join('. ') : error.message;
        }
        submit.disabled = false;
      },
    },
    h('h2', { id: titleId }, title), body,
    fields.map((field) => fieldNode(field, inputs.get(field.name))), problem,
    h('div.dialog-buttons', null, h('button.button', { type: 'button', onClick: () => dialog.close() }, 'Cancel'), submit)));
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function fieldInput(field) {
  const id = uniqueId(field.name);
  if (field.kind === 'textarea') return h('textarea', { id, rows: '3', maxlength: '2000', required: field.required });
  if (field.kind === 'select') return h('select', { id }, field.options.map(([value, text]) => h('option', { value }, text)));
  if (field.kind === 'check') return h('input', { id, type: 'checkbox' });
  return h('input', { id, type: 'text', autocomplete: 'off', spellcheck: 'false', placeholder: field.placeholder, required: field.required });
}

function fieldNode(field, input) {
  const label = h('label', { for: input.id }, field.label);
  if (field.kind === 'check') return h('p.check', null, input, label);
  return h('div.field', null, label, input, field.hint && h('p.quiet.small', null, field.hint));
}

// ---- what people ask of a pipeline ----

const base = (pipeline) => `pipelines/${encodeURIComponent(pipeline)}`;
const outcome = (answer, done) => (answer.status === 202 ? 'Stored; the promoter has not decided it yet' : done(answer.body));

// "A=1 B=two" lines -> object
function variablesOf(text) {
  const variables = {};
  for (const line of text.split('\n').map((l) => l.trim()).filter(Boolean)) {
    const at = line.indexOf('=');
    if (at < 1) throw new api.Problem(400, 'Not a variable', `"${line}" is no NAME=value`);
    variables[line.slice(0, at).trim()] = line.slice(at + 1);
  }
  return variables;
}

export function askStart(pipeline) {
  const sources = pipeline.sources || [];
  ask({
    title: `Start a release of ${pipeline.name}`,
    body: h('p.quiet', null, 'Left empty, it takes the newest known commit of every source.'),
    fields: [
      ...(sources.length > 1 ? [{ name: 'source', label: 'Source', kind: 'select', options: [['', 'newest of all'], ...sources.map((s) => [s.name, s.name])] }] : []),
      { name: 'revision', label: 'Commit', placeholder: pipeline.heads?.[0]?.commit?.slice(0, 12) || '', hint: 'the first 7 digits are enough for a commit that was seen' },
      { name: 'ref', label: 'or branch', placeholder: 'main' },
      { name: 'variables', label: 'Variables', kind: 'textarea', hint: 'one NAME=value a line' },
    ],
    button: 'Start the release',
    async act(values, key) {
      const body = { variables: variablesOf(values.variables) };
      for (const name of ['source', 'revision', 'ref']) if (values[name]) body[name] = values[name];
      return outcome(await api.post(`${base(pipeline.name)}/releases`, body, key), (r) => `Release ${r.number} has started`);
    },
  });
}

export function askStop(pipeline, release) {
  ask({
    title: `Stop ${pipeline} #${release}`,
    fields: [
      { name: 'mode', label: 'Running actions', kind: 'select', options: [['wait', 'finish first'], ['abandon', 'are cancelled now']] },
      { name: 'reason', label: 'Reason', kind: 'textarea', hint: 'kept in the audit' },
    ],
    button: `Stop release ${release}`,
    danger: true,
    async act(values, key) {
      return outcome(await api.post(`${base(pipeline)}/releases/${release}/stop`, values, key), () => `Release ${release} is being stopped`);
    },
  });
}

export function askRetry(pipeline, release, stage) {
  ask({
    title: `Retry ${stage} of ${pipeline} #${release}`,
    body: h('p.quiet', null, 'The same commit and the same image go into the stage again.'),
    fields: [{ name: 'allActions', label: 'every action, not only those that failed', kind: 'check' }],
    button: `Retry ${stage}`,
    async act(values, key) {
      return outcome(await api.post(`${base(pipeline)}/releases/${release}/stages/${encodeURIComponent(stage)}/retry`, values, key), () => `Release ${release} enters ${stage} again`);
    },
  });
}

// Releases that succeeded in the stage are offered; the promoter checks it again.
export async function askRollback(pipeline, stage, currentRelease) {
  const { releases } = await api.get(`${base(pipeline)}/releases?limit=50`);
  const good = releases.filter((r) => r.number !== currentRelease && r.stages.some((s) => s.name === stage && s.status === 'succeeded'));
  if (!good.length) {
    announce(`No other release has succeeded in ${stage} lately`);
    return;
  }
  ask({
    title: `Roll ${stage} of ${pipeline} back`,
    body: h('p.quiet', null, icon('rollback'), ' A new release puts the chosen one’s image there, built then and unchanged since.'),
    fields: [
      { name: 'toRelease', label: 'Back to', kind: 'select', options: good.map((r) => [String(r.number), `#${r.number} ${r.commit?.slice(0, 8) || ''} ${r.message || ''}`]) },
      { name: 'reason', label: 'Reason', kind: 'textarea', hint: 'kept in the audit', required: true },
    ],
    button: 'Roll back',
    danger: true,
    async act(values, key) {
      return outcome(await api.post(`${base(pipeline)}/stages/${encodeURIComponent(stage)}/rollback`, { toRelease: Number(values.toRelease), reason: values.reason }, key),
        (r) => `Release ${r.number} rolls ${stage} back to ${values.toRelease}`);
    },
  });
}
