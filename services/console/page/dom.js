// Elements by hand: h() makes them, patch() brings a tree that is shown to what a view rendered anew,
// keeping focus, scroll and what did not change. No innerHTML anywhere: Trusted Types forbid it.

const SVG = 'http://www.w3.org/2000/svg';

// h('div.row', {class, key, style: {}, data: {}, aria: {}, onClick, ...attributes}, ...children)
// Children: nodes, text, numbers, nested arrays; null, undefined and false are left out.
export function h(tag, props, ...children) {
  const [name, ...classes] = tag.split('.');
  const node = document.createElement(name || 'div');
  if (classes.length) node.className = classes.join(' ');
  for (const [key, value] of Object.entries(props || {})) setProp(node, key, value);
  append(node, children);
  return node;
}

function setProp(node, key, value) {
  if (value === null || value === undefined || value === false) return;
  if (key === 'class') node.className = [node.className, value].filter(Boolean).join(' ');
  else if (key === 'key') node.key = String(value);
  else if (key === 'style') for (const [k, v] of Object.entries(value)) node.style.setProperty(k, v);
  else if (key === 'data') for (const [k, v] of Object.entries(value)) node.dataset[k] = v;
  else if (key === 'aria') for (const [k, v] of Object.entries(value)) { if (v !== null && v !== undefined) node.setAttribute(`aria-${k}`, v); }
  else if (key.startsWith('on')) listen(node, key.slice(2).toLowerCase(), value);
  else if (key === 'mount') { // a node that lives on by itself: patch() leaves it where it is
    node.mount = value;
    if (!value.isConnected) node.append(value);
  }
  else node.setAttribute(key, value === true ? '' : value);
}

function listen(node, type, fn) {
  node[`on${type}`] = fn;
  (node.handlers ||= new Set()).add(type);
}

function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false || child === '') continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

// An element that is made anew only when one of `deps` is another: for long lists. `build` makes it, with the
// same tag.
export function memo(tag, key, deps, build) {
  const node = document.createElement(tag);
  return Object.assign(node, { key: String(key), deps, build });
}

const sameDeps = (a, b) => a?.length === b.length && a.every((dep, i) => dep === b[i]);

function built(node) {
  const made = node.build();
  return Object.assign(made, { key: node.key, deps: node.deps });
}

// A new part of the page: what memo() put off is made now.
function realize(node) {
  for (const child of node.querySelectorAll?.('*') || []) if (child.build) child.replaceWith(built(child));
  return node;
}

// Makes `shown` like `wanted`; returns the node that is in the document after.
export function patch(shown, wanted) {
  if (shown.nodeType !== wanted.nodeType || shown.nodeName !== wanted.nodeName || shown.key !== wanted.key) {
    shown.replaceWith(realize(wanted));
    return wanted;
  }
  if (shown.nodeType === Node.TEXT_NODE) {
    if (shown.data !== wanted.data) shown.data = wanted.data;
    return shown;
  }
  patchAttributes(shown, wanted);
  if (!wanted.mount) patchChildren(shown, wanted);
  else if (shown.firstChild !== wanted.mount) shown.replaceChildren(wanted.mount);
  return shown;
}

function patchAttributes(shown, wanted) {
  for (const { name } of [...shown.attributes])
    if (name !== 'style' && !wanted.hasAttribute(name) && !(name === 'open' && shown.nodeName === 'DETAILS')) shown.removeAttribute(name);
  for (const { name, value } of wanted.attributes)
    if (name !== 'style' && shown.getAttribute(name) !== value) shown.setAttribute(name, value);
  // Through the style object: the policy forbids the attribute.
  if (shown.style && shown.style.cssText !== wanted.style.cssText) shown.style.cssText = wanted.style.cssText;
  for (const type of shown.handlers || []) if (!wanted.handlers?.has(type)) shown[`on${type}`] = null;
  for (const type of wanted.handlers || []) listen(shown, type, wanted[`on${type}`]);
}

function patchChildren(shown, wanted) {
  const keyed = new Map();
  for (const child of shown.childNodes) if (child.key !== undefined) keyed.set(child.key, child);
  let at = shown.firstChild;
  for (const child of [...wanted.childNodes]) {
    let match = child.key !== undefined ? keyed.get(child.key) : at;
    if (child.key === undefined && match && match.key !== undefined) match = null;
    if (!match) {
      shown.insertBefore(child.build ? built(child) : realize(child), at);
      continue;
    }
    if (match === at) at = at.nextSibling;
    else shown.insertBefore(match, at);
    if (!child.build) patch(match, child);
    else if (!sameDeps(match.deps, child.deps)) Object.assign(patch(match, built(child)), { deps: child.deps });
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

// One stroke width, 16 x 16, currentColor.
const PATHS = {
  running: ['M8 2.5a5.5 5.5 0 1 1-5.5 5.5', 'M8 5v3l2 1.5'],
  waiting: ['M5 2.5h6M5 13.5h6M5.5 2.5v2.2L8 8l2.5-3.3V2.5M5.5 13.5v-2.2L8 8l2.5 3.3v2.2'],
  good: ['M3 8.5l3.2 3.2L13 4.8'],
  failed: ['M4 4l8 8M12 4l-8 8'],
  stopped: ['M4.5 4.5h7v7h-7z'],
  superseded: ['M3.5 4.5L7 8l-3.5 3.5M8.5 4.5L12 8l-3.5 3.5'],
  skipped: ['M3 8h10'],
  none: ['M8 8h.01'],
  lock: ['M4 7.5h8v6H4z', 'M5.5 7.5V5.2a2.5 2.5 0 0 1 5 0v2.3'],
  overview: ['M2.5 4h11M2.5 8h11M2.5 12h11', 'M6 2.5v11'],
  approvals: ['M3 3.5h10v9H3z', 'M5.5 8l2 2 3-4'],
  environments: ['M2.5 3.5h11v3.5h-11zM2.5 9h11v3.5h-11z', 'M5 5.2h.01M5 10.8h.01'],
  history: ['M3 8a5 5 0 1 0 1.6-3.7L3 5.8M3 3v2.8h2.8', 'M8 5.5V8l1.8 1'],
  search: ['M7 2.8a4.2 4.2 0 1 1 0 8.4 4.2 4.2 0 0 1 0-8.4z', 'M10.2 10.2l3.3 3.3'],
  person: ['M8 8.2a2.6 2.6 0 1 0 0-5.2 2.6 2.6 0 0 0 0 5.2z', 'M3 13.5c.5-2.4 2.4-3.6 5-3.6s4.5 1.2 5 3.6'],
  play: ['M5 3.5v9l7-4.5z'],
  stop: ['M4.5 4.5h7v7h-7z'],
  retry: ['M12.5 8A4.5 4.5 0 1 1 11 4.7l1.5 1.3M12.5 3v3H9.5'],
  rollback: ['M3.5 6.5h6a3 3 0 0 1 0 6H6', 'M6 4L3.5 6.5 6 9'],
  copy: ['M5.5 5.5h7v7h-7z', 'M10.5 5.5v-2h-7v7h2'],
  sun: ['M8 5.3a2.7 2.7 0 1 1 0 5.4 2.7 2.7 0 0 1 0-5.4z', 'M8 1.8v1.4M8 12.8v1.4M1.8 8h1.4M12.8 8h1.4M3.6 3.6l1 1M11.4 11.4l1 1M3.6 12.4l1-1M11.4 4.6l1-1'],
  moon: ['M12.8 9.8A5.3 5.3 0 0 1 6.2 3.2a5.3 5.3 0 1 0 6.6 6.6z'],
  close: ['M4 4l8 8M12 4l-8 8'],
  download: ['M8 2.5v7.5M5 7l3 3 3-3M3 13h10'],
  chevron: ['M6 4l4 4-4 4'],
  branch: ['M4.5 3v10M4.5 10.5c0-3 7-1.5 7-5', 'M11.5 5.5a1.3 1.3 0 1 0 0-2.6 1.3 1.3 0 0 0 0 2.6z'],
  wrap: ['M2.5 4h11M2.5 8h8.5a2 2 0 0 1 0 4H8M9.5 10.5L8 12l1.5 1.5', 'M2.5 12h3'],
  pause: ['M5.5 3.5v9M10.5 3.5v9'],
  soak: ['M8 2.5c2 2.6 3.7 4.4 3.7 6.8a3.7 3.7 0 0 1-7.4 0C4.3 6.9 6 5.1 8 2.5z'],
  calendar: ['M2.8 4h10.4v9.2H2.8zM2.8 7h10.4', 'M5.5 2.5V5M10.5 2.5V5'],
  hand: ['M5.2 8.5V4.4a.9.9 0 0 1 1.8 0V3.3a.9.9 0 0 1 1.8 0v1a.9.9 0 0 1 1.8 0v1.2a.9.9 0 0 1 1.7.3v3.4c0 2.6-1.6 4.3-4 4.3-2 0-2.9-1-3.8-2.6L3.2 8.6c-.5-1 .7-1.8 1.4-.9z'],
  probe: ['M1.8 8h2.7l1.7-4.2 3.1 8.4L11.4 8h2.8'],
  freeze: ['M8 2v12M2.8 5l10.4 6M13.2 5L2.8 11', 'M6.3 3.2L8 4.7l1.7-1.5M6.3 12.8L8 11.3l1.7 1.5'],
  pin: ['M6 2.5h4M6.7 2.5v4.2L4.8 9.2h6.4L9.3 6.7V2.5M8 9.2v4.3'],
  warn: ['M8 2.8l5.7 10.2H2.3z', 'M8 6.6v3M8 11.3h.01'],
  down: ['M8 3v9M4.5 8.5L8 12l3.5-3.5'],
  up: ['M8 13V4M4.5 7.5L8 4l3.5 3.5'],
};

// Decoration unless a label is given.
export function icon(name, label) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('class', `icon icon-${name}`);
  if (label) {
    svg.setAttribute('role', 'img');
    svg.setAttribute('aria-label', label);
  } else {
    svg.setAttribute('aria-hidden', 'true');
  }
  for (const d of PATHS[name] || PATHS.none) {
    const path = document.createElementNS(SVG, 'path');
    path.setAttribute('d', d);
    svg.append(path);
  }
  return svg;
}

// Says it to a screen reader, and shows it for some seconds.
export function announce(text, tone = 'quiet') {
  const region = document.getElementById('toasts');
  const toast = h('div.toast', { class: `tone-${tone}` }, text);
  region.append(toast);
  setTimeout(() => toast.remove(), 6000);
}

let nextId = 0;
export const uniqueId = (prefix) => `${prefix}-${++nextId}`;
