// One box over pipelines, releases, commits and digests.
import { h, icon } from './dom.js';
import * as api from './api.js';
import * as router from './router.js';
import * as store from './store.js';
import { releaseHref } from './parts.js';
import { shortCommit, shortDigest } from './format.js';

let found = null;      // null: nothing was asked
let selected = 0;
let asked = 0;
let timer = null;

const hrefOf = (entry) => (entry.what === 'pipeline' ? `/pipelines/${entry.pipeline}` : releaseHref(entry.pipeline, entry.release));

async function ask(text) {
  const turn = ++asked;
  try {
    const answer = text ? (await api.get(`search?q=${encodeURIComponent(text)}`)).found : null;
    if (turn !== asked) return;
    found = answer;
    selected = 0;
    store.changed();
  } catch {
    found = null;
  }
}

function leave(input) {
  found = null;
  asked++;
  input.value = '';
  input.blur();
  store.changed();
}

function entryNode(entry, i) {
  const text = entry.what === 'pipeline' ? 'pipeline' : entry.what === 'digest' ? shortDigest(entry.text) : `${shortCommit(entry.commit)} ${entry.text || ''}`;
  return h('li', { key: `${entry.what} ${entry.pipeline} ${entry.release} ${i}`, role: 'option', id: `found-${i}`, aria: { selected: i === selected } },
    h('a.found', { href: hrefOf(entry), tabindex: '-1', class: i === selected ? 'is-selected' : '', onMousedown: (e) => e.preventDefault(), onClick: () => leave(document.getElementById('search')) },
      h('strong', null, entry.pipeline, entry.what !== 'pipeline' && ` #${entry.release}`), h('span.quiet.cut', null, text)));
}

export function searchBox() {
  const open = found !== null;
  return h('div.search', { role: 'search' }, icon('search'),
    h('input', {
      id: 'search', type: 'search', autocomplete: 'off', spellcheck: 'false', placeholder: 'Pipelines, releases, commits, digests', role: 'combobox',
      aria: { label: 'Search', expanded: String(open), controls: 'found', autocomplete: 'list', activedescendant: open && found.length ? `found-${selected}` : null },
      onInput: (event) => {
        clearTimeout(timer);
        const text = event.target.value.trim().toLowerCase();
        timer = setTimeout(() => ask(text), 120);
      },
      onKeydown: (event) => {
        if (event.key === 'Escape') leave(event.target);
        if (!found?.length) return;
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (step) {
          event.preventDefault();
          selected = (selected + step + found.length) % found.length;
          store.changed();
        }
        if (event.key === 'Enter') {
          const href = hrefOf(found[selected]);
          leave(event.target);
          router.go(href);
        }
      },
      onBlur: () => { found = null; store.changed(); },
    }),
    h('kbd', { aria: { hidden: 'true' } }, '/'),
    open && h('ul.found-list', { id: 'found', role: 'listbox', aria: { label: 'Found' } },
      found.length ? found.map(entryNode) : h('li.quiet', null, 'Nothing begins so')));
}
