// The frame around the views: rail, search, who I am; which view is shown; keys; time going on.
import { h, icon, patch } from './dom.js';
import * as router from './router.js';
import * as store from './store.js';
import * as parts from './parts.js';
import { openSignIn } from './signin.js';
import { searchBox } from './search.js';
import overview from './views/overview.js';
import pipeline from './views/pipeline.js';
import release from './views/release.js';
import approvals from './views/approvals.js';
import environments from './views/environments.js';
import historyView from './views/history.js';

const VIEWS = { overview, pipeline, release, approvals, environments, history: historyView, missing: { title: () => 'Not found', render: missing } };
const RAIL = [
  ['/', 'overview', 'Overview', ['overview', 'pipeline', 'release']],
  ['/approvals', 'approvals', 'Approvals', ['approvals']],
  ['/environments', 'environments', 'Environments', ['environments']],
  ['/history', 'history', 'History', ['history']],
];

function missing() {
  return parts.empty('There is no such page', 'Go to the ', h('a', { href: '/' }, 'overview'), '.');
}

// ---- theme: the system's, unless chosen ----

const themes = { light: 'dark', dark: 'light' };
const systemTheme = () => (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
const currentTheme = () => document.documentElement.dataset.theme || systemTheme();
function applyTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}
function switchTheme() {
  const theme = themes[currentTheme()];
  applyTheme(theme);
  localStorage.setItem('theme', theme);
  render();
}

// ---- the frame ----

let current = { view: 'overview', params: {} };
let opened = null; // which view asks for its own things, and for whom: {key, close}

const keyOf = () => `${current.view} ${Object.values(current.params).join(' ')}`;

// A view is opened once there is somebody to ask for, and anew for somebody else.
function openView() {
  const key = store.state.me && `${keyOf()} ${store.state.me.subject}`;
  if (opened?.key === key) return;
  opened?.close?.();
  opened = key ? { key } : null;
  if (opened) opened.close = VIEWS[current.view].open?.(current.params);
}

function rail() {
  const waiting = store.state.approvals?.length || 0;
  const mine = store.state.approvals?.filter(store.waitsForMe).length || 0;
  return h('nav.rail', { aria: { label: 'Main' } },
    h('a.brand', { href: '/', aria: { label: 'Gantry, overview' } }, h('span.brand-mark', null, icon('branch')), h('span.rail-text', null, 'Gantry')),
    RAIL.map(([href, name, text, views]) => h('a.rail-link', {
      href, key: name, aria: { current: views.includes(current.view) ? 'page' : null },
    }, icon(name), h('span.rail-text', null, text),
    name === 'approvals' && waiting > 0 && h('span.count', {
      class: mine ? 'count-mine' : '', title: mine ? `${mine} wait for you` : `${waiting} open`, aria: { label: `${waiting} open, ${mine} wait for you` },
    }, mine || waiting))));
}

function whoAmI() {
  const { me } = store.state;
  if (!me || me.anonymous) return h('button.button.primary', { type: 'button', key: 'in', onClick: () => openSignIn() }, 'Sign in');
  return h('details.menu.who', { key: 'who' },
    h('summary', { title: me.email || me.subject }, icon('person'), h('span.who-name', null, me.name || me.subject)),
    h('div.menu-body', null,
      h('div.quiet', null, me.email || me.subject), h('div.quiet', null, me.roles.join(', ') || 'no roles'),
      h('button.button', { type: 'button', onClick: () => store.signOut() }, 'Sign out')));
}

function top() {
  const dark = currentTheme() === 'dark';
  return h('header.top', null, searchBox(),
    h('div.top-right', null,
      h('button.icon-button', { type: 'button', title: dark ? 'Light' : 'Dark', aria: { label: dark ? 'Switch to light' : 'Switch to dark' }, onClick: switchTheme }, icon(dark ? 'sun' : 'moon')),
      whoAmI()));
}

function connectionBar() {
  if (store.state.connection !== 'lost') return null;
  return h('div.connection', { key: 'lost', role: 'status' }, 'The connection is lost; what you see may be old. Trying again …');
}

function content() {
  if (!store.state.me && !store.state.needsToken) return parts.skeleton(4);
  if (!store.state.me)
    return h('div.gate-page', { key: 'gate' }, parts.empty('Sign in to see your pipelines', 'This console answers those who bring a token; an admin makes one with ', h('code', null, 'gantry token create'), '.'),
      h('button.button.primary', { type: 'button', onClick: () => openSignIn() }, 'Sign in'));
  return VIEWS[current.view].render(current.params);
}

function render() {
  const view = VIEWS[current.view];
  openView();
  document.title = `${view.title(current.params)} · Gantry`;
  patch(document.getElementById('app'), h('div.app', { id: 'app' },
    rail(), h('div.page', null, connectionBar(), top(),
      h('main', { id: 'main', tabindex: '-1', key: keyOf() }, content()))));
}

function show() {
  const before = keyOf();
  current = router.match(location.pathname);
  render();
  if (keyOf() === before) return;
  scrollTo(0, 0);
  document.getElementById('main')?.focus({ preventScroll: true });
}

// ---- keys ----

addEventListener('keydown', (event) => {
  const typing = event.target.closest?.('input, textarea, select, dialog');
  if (event.key === '/' && !typing) {
    event.preventDefault();
    document.getElementById('search')?.focus();
  }
  if (event.key === 'Escape') for (const menu of document.querySelectorAll('details.menu[open]')) menu.open = false;
});
document.addEventListener('click', (event) => {
  for (const menu of document.querySelectorAll('details.menu[open]')) if (!menu.contains(event.target)) menu.open = false;
});

// ---- beginning ----

applyTheme(localStorage.getItem('theme'));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', render);
document.body.append(h('div.toasts', { id: 'toasts', role: 'status', aria: { live: 'polite' } }));
store.subscribe(render);
router.start(show);
current = router.match(location.pathname);
render();
store.begin();
let beats = 0;
setInterval(() => { if (!document.hidden) parts.tick(beats++ % 10 === 0); }, 1000);
