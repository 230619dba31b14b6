// Addresses and the views that they show. Every view has an address; back works.

const ROUTES = [
  ['/', 'overview'],
  ['/approvals', 'approvals'],
  ['/environments', 'environments'],
  ['/history', 'history'],
  ['/pipelines/:pipeline', 'pipeline'],
  ['/pipelines/:pipeline/:release', 'release'],
];

export function match(pathname) {
  const given = pathname.replace(/\/+$/, '').split('/');
  for (const [pattern, view] of ROUTES) {
    const wanted = pattern.replace(/\/+$/, '').split('/');
    if (wanted.length !== given.length) continue;
    const params = {};
    const fits = wanted.every((part, i) => {
      if (!part.startsWith(':')) return part === given[i];
      params[part.slice(1)] = decodeURIComponent(given[i]);
      return given[i] !== '';
    });
    if (fits) return { view, params };
  }
  return { view: 'missing', params: {} };
}

let onChange = () => {};

export function go(href, { replace = false } = {}) {
  history[replace ? 'replaceState' : 'pushState'](null, '', href);
  onChange();
}

// Query parameters of the address, changed in place: they are part of a view's state.
export function setQuery(changes) {
  const query = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(changes)) {
    if (value) query.set(key, value);
    else query.delete(key);
  }
  const text = query.toString();
  history.replaceState(null, '', location.pathname + (text ? `?${text}` : '') + location.hash);
}

export function start(fn) {
  onChange = fn;
  addEventListener('popstate', fn);
  document.addEventListener('click', (event) => {
    const link = event.target.closest?.('a[href]');
    if (!link || event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    if (link.origin !== location.origin || link.target || link.pathname.startsWith('/api/') || link.getAttribute('href').startsWith('#')) return;
    event.preventDefault();
    if (link.href !== location.href) go(link.href);
  });
}
