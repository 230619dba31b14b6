// Times, digests and states for people.

const MINUTE = 60_000, HOUR = 60 * MINUTE, DAY = 24 * HOUR;

// "now", "4 min", "3 h", "6 d": how long ago, or until.
export function span(ms) {
  const t = Math.abs(ms);
  if (t < 45_000) return `${Math.max(1, Math.round(t / 1000))} s`;
  if (t < 90 * MINUTE) return `${Math.round(t / MINUTE)} min`;
  if (t < 36 * HOUR) return `${Math.round(t / HOUR)} h`;
  if (t < 400 * DAY) return `${Math.round(t / DAY)} d`;
  return `${Math.round(t / (365 * DAY))} y`;
}

// "0.8 s", "42 s", "3:07 min", "26 min", "1:02 h": how long it took.
export function duration(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 100) return `${Math.round(s)} s`;
  const two = (n) => String(Math.floor(n)).padStart(2, '0');
  if (s < 600) return `${Math.floor(s / 60)}:${two(s % 60)} min`;
  if (s < 3600) return `${Math.round(s / 60)} min`;
  return `${Math.floor(s / 3600)}:${two((s % 3600) / 60)} h`;
}

// "2 d 3 h", "1 h 12 min", "4:03 min", "12 s": time that is left, or that something lasts.
export function left(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  const two = (n) => String(Math.floor(n)).padStart(2, '0');
  if (s < 3600) return s % 60 ? `${Math.floor(s / 60)}:${two(s % 60)} min` : `${s / 60} min`;
  const minutes = Math.floor(s / 60), hours = Math.floor(minutes / 60), days = Math.floor(hours / 24);
  if (hours < 24) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  if (days >= 400) return `${Math.round(days / 365)} y`;
  return hours % 24 ? `${days} d ${hours % 24} h` : `${days} d`;
}

const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const NEAR = new Intl.DateTimeFormat(undefined, { weekday: 'short', hour: '2-digit', minute: '2-digit' });
const FAR = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
const NEXT_YEARS = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
export const exact = (ms) => EXACT.format(ms);
// "Thu 16:00" within a week, else with the date, else with the year.
export const moment = (ms) => (Math.abs(ms - Date.now()) < 6 * DAY ? NEAR : Math.abs(ms - Date.now()) < 300 * DAY ? FAR : NEXT_YEARS).format(ms);

// "340 KiB", "12.4 MiB", "3.1 GiB"
export function size(bytes) {
  if (bytes < 1048576) return `${Math.ceil(bytes / 1024)} KiB`;
  return bytes < 1073741824 ? `${(bytes / 1048576).toFixed(1)} MiB` : `${(bytes / 1073741824).toFixed(1)} GiB`;
}

export const shortCommit = (commit) => (commit || '').slice(0, 8);
// A release without an image is approved by its revisions' id.
export const shortDigest = (digest) => (digest || '').replace(/^(sha256|revisions):([0-9a-f]{12}).*$/, '$1:$2');

export const STATES = {
  'in-progress': { tone: 'running', icon: 'running', text: 'in progress' },
  waiting: { tone: 'waiting', icon: 'waiting', text: 'waiting' },
  succeeded: { tone: 'good', icon: 'good', text: 'succeeded' },
  failed: { tone: 'failed', icon: 'failed', text: 'failed' },
  stopped: { tone: 'stopped', icon: 'stopped', text: 'stopped' },
  superseded: { tone: 'superseded', icon: 'superseded', text: 'superseded' },
  skipped: { tone: 'stopped', icon: 'skipped', text: 'skipped' },
  abandoned: { tone: 'stopped', icon: 'stopped', text: 'abandoned' },
};
const NONE = { tone: 'none', icon: 'none', text: 'nothing yet' };
export const stateOf = (status) => STATES[status] || NONE;

// group:qa -> "qa", user:ada@x -> "ada@x"
export const whoMay = (by) => (by?.length ? by.map((b) => b.replace(/^(group|user):/, '')).join(', ') : 'anybody with the role');

// ["a", "b", "c"] -> "a, b and c"
export const listed = (parts) => (parts.length < 2 ? parts.join('') : `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`);

// What holds a release, for a title: the kinds alone.
export const heldTitle = (held) => (held?.length ? `waits: ${listed(held.map((hold) => hold.kind))}` : null);
