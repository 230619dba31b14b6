// Review: what a vote would let in, and the two buttons. A vote names the digest that was seen here.
import { h, icon, announce } from './dom.js';
import * as api from './api.js';
import * as parts from './parts.js';
import * as f from './format.js';
import { state, voteObstacle, loadApprovals } from './store.js';

// Commits that this console knows of between what last succeeded in the stage and this release.
async function commitsBetween(approval) {
  const { releases } = await api.get(`pipelines/${encodeURIComponent(approval.pipeline)}/releases?limit=50`);
  const before = releases.find((r) => r.number < approval.release && r.stages.some((s) => s.name === approval.stage && s.status === 'succeeded'));
  const seen = new Set();
  const commits = releases.filter((r) => r.number <= approval.release && r.number > (before?.number ?? 0) && r.type !== 'rollback')
    .flatMap((r) => (r.revisions || []).map((revision) => ({ ...revision, release: r.number, people: r.people })))
    .filter((c) => !seen.has(c.commit) && seen.add(c.commit));
  return { before, commits };
}

function votesList(approval) {
  const votes = approval.votes || [];
  if (!votes.length) return h('p.quiet', null, 'Nobody has voted yet.');
  return h('ul.vote-list', null, votes.map((vote, i) => h('li', { key: i },
    h('span', { class: `tone-${vote.verdict === 'approve' ? 'good' : 'failed'}` }, icon(vote.verdict === 'approve' ? 'good' : 'failed', vote.verdict)),
    h('strong', null, vote.voter?.name || vote.voter?.subject), h('span.quiet', null, ' ', parts.ago(vote.castMs), ' ago'),
    vote.comment && h('p.comment', null, vote.comment))));
}

function facts(approval) {
  const rows = [
    [parts.isGate(approval) ? 'Gate' : 'Action', approval.gate],
    [approval.digest?.startsWith('revisions:') ? 'Revisions' : 'Image', h('span.from-to', null, approval.previousDigest ? parts.digest(approval.previousDigest) : h('span.quiet', null, 'nothing'),
      h('span.arrow', { aria: { label: 'to' } }, '→'), parts.digest(approval.digest))],
    ['Asked of', `${f.whoMay(approval.by)}, ${approval.count} ${approval.count === 1 ? 'vote' : 'votes'}${approval.not?.length ? `; not ${f.listed(approval.not.map((n) => n.replace('approver-of:', 'who approved ')))}` : ''}${approval.rejects > 1 ? `; ${approval.rejects} against reject it` : ''}`],
    ['Authors', (approval.authors || []).join(', ') || 'not known'],
    ['Until', h('span', null, f.moment(approval.expiresMs), h('span.quiet', null, ' (in ', parts.until(approval.expiresMs), ')'))],
  ];
  return h('dl.facts', null, rows.map(([term, value]) => [h('dt', null, term), h('dd', null, value)]));
}

function commitsNode(approval) {
  const node = h('div.commits', null, parts.skeleton(2));
  commitsBetween(approval).then(({ before, commits }) => {
    node.replaceChildren(
      h('p.quiet.small', null, before ? `Since release ${before.number}, which runs in ${approval.stage}` : `Nothing has run in ${approval.stage} yet`),
      h('ul.commit-list', null, commits.map((c) => h('li', null, parts.commit(c.commit), h('span.cut', { title: c.message }, c.message || '(no message)'), h('span.quiet.num', null, `#${c.release}`)))));
  }, (error) => node.replaceChildren(parts.problemBox(error)));
  return node;
}

// Whether it still waits once this approval is given, as far as the page knows.
function waitsOn(approval) {
  const here = (a) => a.pipeline === approval.pipeline && a.release === approval.release && a.stage === approval.stage;
  const stage = state.details.get(approval.pipeline)?.stages.find((s) => s.name === approval.stage);
  const held = stage?.waiting.find((w) => w.release === approval.release)?.held || [];
  return (state.approvals || []).some((a) => here(a) && a.approvalId !== approval.approvalId) || held.some((hold) => hold.name !== approval.gate);
}

export function openReview(approval) {
  const obstacle = api.hasApprover() ? voteObstacle(approval) : 'The console does not know the approver’s address (common.approver-url)';
  const comment = h('textarea', { id: 'comment', rows: '3', maxlength: '2000', placeholder: 'Kept for ever, shown to everybody who may see the release' });
  const result = h('div.review-result', { role: 'status' });
  const buttons = h('div.dialog-buttons');
  const key = api.newKey();
  // An approval on a transition lets in; one inside a stage lets go on.
  const where = `${parts.isGate(approval) ? 'into' : 'in'} ${approval.stage}`;
  const what = `release ${approval.release}`;

  async function cast(verdict) {
    for (const button of buttons.querySelectorAll('button')) button.disabled = true;
    result.replaceChildren();
    try {
      const { status, body } = await api.vote(approval.approvalId, { verdict, digest: approval.digest, comment: comment.value.trim() }, `${key}-${verdict}`);
      finish(verdict, status === 202 ? null : body.approval);
    } catch (error) {
      result.replaceChildren(parts.problemBox(error));
      for (const button of buttons.querySelectorAll('button')) button.disabled = false;
    }
  }

  function finish(verdict, now) {
    const votes = now ? parts.approvedCount(now) : 0;
    const against = now ? parts.rejectedCount(now) : 0;
    const rejected = against >= (now?.rejects || 1);
    const sentence = !now ? 'Your vote is stored; the promoter has not counted it yet.'
      : verdict === 'reject' && !rejected ? `Your vote against counts: ${against} of ${now.rejects} that reject it.`
      : verdict === 'reject' ? `Rejected: ${what} does not go on ${where}.`
        : votes >= now.count && waitsOn(approval) ? `That was the last vote; ${parts.isGate(approval) ? `other gates of ${approval.stage} still hold ${what}` : `${what} waits for another in ${approval.stage}`}.`
        : votes >= now.count ? `That was the last vote: ${what} goes on ${where}.`
          : `Your vote counts: ${votes} of ${now.count}. ${now.count - votes} more to go.`;
    result.replaceChildren(h('p.done', { class: verdict === 'reject' ? 'tone-failed' : 'tone-good' }, icon(verdict === 'reject' ? 'failed' : 'good'), sentence));
    buttons.replaceChildren(h('button.button.primary', { type: 'button', onClick: () => dialog.close() }, 'Close'));
    announce(sentence, verdict === 'reject' ? 'failed' : 'good');
    loadApprovals().catch(() => {});
  }

  buttons.append(
    h('button.button', { type: 'button', onClick: () => dialog.close() }, 'Cancel'),
    h('span.push'),
    h('button.button.danger', { type: 'button', disabled: Boolean(obstacle), onClick: () => cast('reject') }, `Reject release ${approval.release}`),
    h('button.button.primary', { type: 'button', disabled: Boolean(obstacle), onClick: () => cast('approve') }, `Approve ${where}`));
  const dialog = h('dialog.dialog.review', { aria: { labelledby: 'review-title' } },
    h('h2', { id: 'review-title' }, h('span.quiet', null, `${approval.pipeline} #${approval.release}`), ` ${where}`),
    approval.message && h('p.asked', null, approval.message),
    facts(approval), h('h3', null, 'Commits'), commitsNode(approval), h('h3', null, 'Votes'), votesList(approval),
    obstacle ? h('p.obstacle', null, obstacle, '.') : h('div.field', null, h('label', { for: 'comment' }, 'Comment'), comment),
    result, buttons);
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
