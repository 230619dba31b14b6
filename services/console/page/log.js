// A run's log, live: colours of ANSI, phases that fold, search, follow and wrap, a link to each line.
import { h, icon, announce } from './dom.js';
import * as api from './api.js';

const LINES_MAX = 5000; // shown; what is before stays in the text that can be opened
const COLOURS = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'];

// ---- ANSI: SGR colours and bold are shown, every other sequence is left out ----

function sgr(style, codes) {
  for (const code of codes.split(';').map(Number)) {
    if (code === 0) Object.assign(style, { colour: null, bold: false });
    else if (code === 1) style.bold = true;
    else if (code === 22) style.bold = false;
    else if (code >= 30 && code <= 37) style.colour = COLOURS[code - 30];
    else if (code >= 90 && code <= 97) style.colour = COLOURS[code - 90];
    else if (code === 39) style.colour = null;
  }
}

function spans(text, style) {
  const nodes = [];
  let at = 0;
  const add = (part) => {
    if (!part) return;
    const classes = [style.colour && `ansi-${style.colour}`, style.bold && 'ansi-bold'].filter(Boolean).join(' ');
    nodes.push(classes ? h('span', { class: classes }, part) : document.createTextNode(part));
  };
  // eslint-disable-next-line no-control-regex
  for (const found of text.matchAll(/\x1b(?:\[([0-9;?]*)([A-Za-z])|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)/g)) {
    add(text.slice(at, found.index));
    if (found[2] === 'm') sgr(style, found[1] || '0');
    at = found.index + found[0].length;
  }
  add(text.slice(at));
  return nodes;
}

// ---- the viewer ----

export class LogView {
  constructor() {
    this.follow = true;
    this.wrap = localStorage.getItem('log-wrap') !== 'no';
    this.body = h('div.log-body', { tabindex: '0', role: 'log', aria: { live: 'off', label: 'Log' } });
    this.status = h('span.quiet.small');
    this.search = h('input.log-search', { type: 'search', placeholder: 'Find in the log', aria: { label: 'Find in the log' }, onInput: () => this.find(), onKeydown: (e) => { if (e.key === 'Enter') this.nextFound(e.shiftKey ? -1 : 1); } });
    this.foundCount = h('span.quiet.small.num.log-found', { role: 'status' });
    this.stepButtons = [['up', 'Previous in the log', -1], ['down', 'Next in the log', 1]].map(([name, label, step]) =>
      h('button.button', { type: 'button', disabled: true, title: label, aria: { label }, onClick: () => this.nextFound(step) }, icon(name)));
    this.followButton = this.toggle('down', 'Follow', () => this.setFollow(!this.follow));
    this.wrapButton = this.toggle('wrap', 'Wrap', () => this.setWrap(!this.wrap));
    this.title = h('strong.cut');
    this.node = h('div.log', null, h('div.log-bar', null, this.title, this.status, h('span.push'), this.search, this.foundCount, this.stepButtons, this.followButton, this.wrapButton), this.body);
    this.body.addEventListener('scroll', () => {
      const atEnd = this.body.scrollHeight - this.body.scrollTop - this.body.clientHeight < 24;
      if (this.follow !== atEnd) this.setFollow(atEnd, false);
    });
    this.setWrap(this.wrap);
    this.setFollow(true);
  }

  toggle(name, text, act) {
    return h('button.button.toggle', { type: 'button', onClick: act }, icon(name), text);
  }

  setFollow(follow, scroll = true) {
    this.follow = follow;
    this.followButton.setAttribute('aria-pressed', String(follow));
    if (follow && scroll) this.body.scrollTop = this.body.scrollHeight;
  }

  setWrap(wrap) {
    this.wrap = wrap;
    this.wrapButton.setAttribute('aria-pressed', String(wrap));
    this.body.classList.toggle('is-wrapped', wrap);
    localStorage.setItem('log-wrap', wrap ? 'yes' : 'no');
  }

  // Shows a run; the same run again changes nothing.
  open(runId, title, attempt) {
    this.title.textContent = title;
    if (this.runId === runId && this.attempt === attempt) return;
    this.close();
    Object.assign(this, { runId, attempt, count: 0, gone: 0, partial: '', line: null, section: null, found: [], here: null, style: { colour: null, bold: false }, lastId: undefined });
    this.body.replaceChildren();
    this.section = this.body;
    this.stopper = new AbortController();
    this.run(this.stopper.signal);
  }

  close() {
    this.stopper?.abort();
    this.runId = null;
  }

  async run(signal) {
    const query = `follow=true${this.attempt > 1 ? `&attempt=${this.attempt}` : ''}`;
    let ended = false;
    while (!ended && !signal.aborted) {
      this.status.textContent = 'live';
      try {
        await api.stream(`runs/${this.runId}/log?${query}`, {
          lastId: this.lastId,
          signal,
          on: (name, data, id) => {
            if (id) this.lastId = id;
            if (name === 'log') this.add(data);
            if (name === 'end') ended = true;
          },
        });
      } catch (error) {
        if (signal.aborted) return;
        if (error.status === 404 || error.status === 401 || error.status === 403) {
          this.status.textContent = error.status === 404 ? 'its log is no longer kept' : error.message;
          return;
        }
      }
      if (!ended && !signal.aborted) {
        this.status.textContent = 'reconnecting …';
        await new Promise((resolve) => setTimeout(resolve, 1500));
      }
    }
    if (signal.aborted) return;
    this.status.textContent = this.count ? `${this.count.toLocaleString()} ${this.count === 1 ? 'line' : 'lines'}` : 'no output';
    this.showLinked();
  }

  add(chunk) {
    if (chunk.leftOut) this.addNote(`… ${chunk.leftOut.toLocaleString()} bytes are left out …`);
    if (chunk.stream === 'mark') this.addMark(chunk.text.trimEnd());
    else this.addText(chunk.text);
    if (this.search.value) this.mark();
    if (this.follow) this.body.scrollTop = this.body.scrollHeight;
    this.showLinked();
  }

  addMark(text) {
    this.line = null;
    this.partial = '';
    const lines = h('div.phase-lines');
    this.section = lines;
    this.body.append(h('details.phase', { open: true }, h('summary', null, icon('chevron'), text.replace(/^=+\s*/, '')), lines));
  }

  addNote(text) {
    this.section.append(h('p.log-note', null, text));
  }

  addText(text) {
    const parts = (this.partial + text).split('\n');
    this.partial = parts.pop();
    this.line?.remove();
    this.line = null;
    for (const part of parts) this.section.append(this.lineNode(part, this.style));
    // A line that has not ended yet is shown and made again with what follows.
    if (this.partial) {
      this.count--;
      this.line = this.lineNode(this.partial, { ...this.style });
      this.section.append(this.line);
    }
    for (; this.count - this.gone > LINES_MAX; this.gone++) this.body.querySelector('.log-line').remove();
  }

  lineNode(text, style) {
    const number = ++this.count;
    // A carriage return writes over what is there: the last text counts.
    const shown = text.slice(text.trimEnd().lastIndexOf('\r') + 1);
    return h('div.log-line', { id: `L${number}` },
      h('a.log-number.num', { href: `#L${number}`, title: 'Link to this line', aria: { hidden: 'true' }, tabindex: '-1', onClick: (e) => { e.preventDefault(); this.link(number); } }, String(number)),
      h('span.log-text', null, spans(shown, style)));
  }

  link(number) {
    history.replaceState(null, '', `${location.pathname}?run=${this.runId}#L${number}`);
    this.linked = null;
    this.showLinked();
    announce(`The address now names line ${number}`);
  }

  showLinked() {
    if (!/^#L\d+$/.test(location.hash) || this.linked === location.hash) return;
    const line = this.body.querySelector(`[id="${location.hash.slice(1)}"]`);
    if (!line) return;
    for (const other of this.body.querySelectorAll('.is-linked')) other.classList.remove('is-linked');
    line.classList.add('is-linked');
    this.linked = location.hash;
    this.setFollow(false);
    line.scrollIntoView({ block: 'center' });
  }

  // What is typed: from the first place on.
  find() {
    this.here?.classList.remove('is-here');
    this.here = null;
    this.mark();
    if (this.found.length) this.nextFound(1);
  }

  // The lines that have it, as the log is by now.
  mark() {
    const wanted = this.search.value.toLowerCase();
    this.found = [];
    for (const line of this.body.querySelectorAll('.log-line')) {
      const has = wanted !== '' && line.lastChild.textContent.toLowerCase().includes(wanted);
      line.classList.toggle('is-found', has);
      if (has) this.found.push(line);
    }
    if (!this.found.includes(this.here)) this.here = null;
    this.showCount();
  }

  showCount() {
    const count = this.found.length.toLocaleString();
    if (!this.search.value) this.foundCount.textContent = '';
    else if (!this.found.length) this.foundCount.textContent = 'not found';
    else this.foundCount.textContent = this.here ? `${(this.found.indexOf(this.here) + 1).toLocaleString()} of ${count}` : `${count} found`;
    for (const button of this.stepButtons) button.disabled = !this.found.length;
  }

  nextFound(step) {
    const count = this.found?.length;
    if (!count) return;
    const at = this.here ? this.found.indexOf(this.here) + step : step > 0 ? 0 : -1;
    this.here?.classList.remove('is-here');
    this.here = this.found[(at + count) % count];
    this.setFollow(false);
    this.here.classList.add('is-here');
    this.here.closest('details')?.setAttribute('open', '');
    this.here.scrollIntoView({ block: 'nearest' });
    this.showCount();
  }
}
