// What builds left in the artifact store and what they took.
import { h, icon, announce } from './dom.js';
import * as api from './api.js';
import * as f from './format.js';

const path = (run, file) => `runs/${encodeURIComponent(run.runId)}/files/${encodeURIComponent(file.name)}`;

// The last part of its key is what the CLI calls it on disk, too.
const ownName = (file) => file.key.split('/').at(-1);

async function save(event, run, file) {
  if (!api.hasToken()) return; // the browser follows the link by itself
  event.preventDefault();
  try {
    await api.download(path(run, file), ownName(file));
  } catch (error) {
    announce(`${ownName(file)} cannot be had: ${error.message}`, 'failed');
  }
}

function fileRow(run, file) {
  return h('li', { key: file.name },
    h('a.cut', { href: `/api/v1/${path(run, file)}`, download: ownName(file), title: file.key, onClick: (event) => save(event, run, file) }, icon('download'), ' ', file.name),
    h('span.num.quiet', { title: `SHA-256 ${file.sha256}` }, file.entries ? `${file.entries} ${file.entries === 1 ? 'file' : 'files'}, ` : '', f.size(file.sizeBytes || 0)));
}

function usageText(usage) {
  return [`took ${f.duration(usage.buildMs)}`, usage.cpuMs && `${f.duration(usage.cpuMs)} of CPU`, usage.memoryPeakBytes && `${f.size(usage.memoryPeakBytes)} of memory at most`,
    usage.bytesIn && `${f.size(usage.bytesIn)} fetched`, usage.bytesOut && `${f.size(usage.bytesOut)} kept`].filter(Boolean).join(', ');
}

function runNode({ stage, action, run }) {
  const files = run.finished.files || [], usage = run.finished.usage;
  return h('li', { key: run.runId },
    h('h3', null, action, h('span.quiet.small', null, ` ${stage}`)),
    usage?.buildMs && h('p.quiet.small.num-wrap', null, usageText(usage)),
    files.length > 0 && h('ul.figures.small', null, files.map((file) => fileRow(run, file))));
}

// Of each action its last run that has ended and tells of either.
export function buildsCard(release) {
  const all = [];
  for (const stage of release.stages)
    for (const action of stage.actions) {
      const run = action.runs.findLast((r) => r.finished?.files?.length || r.finished?.usage?.buildMs);
      if (run && !all.some((a) => a.run.runId === run.runId)) all.push({ stage: stage.name, action: action.name, run });
    }
  if (!all.length) return null;
  return h('section.card', { key: 'builds', aria: { label: 'Builds' } }, h('h2', null, 'Builds'), h('ul.plain', null, all.map(runNode)));
}
