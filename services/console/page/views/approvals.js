// What waits for whom.
import { h } from '../dom.js';
import { state, waitsForMe, voteObstacle } from '../store.js';
import * as parts from '../parts.js';
import * as f from '../format.js';
import { openReview } from '../review.js';

function card(approval) {
  const gate = parts.gateAmong(approval, state.approvals.filter((a) => a.pipeline === approval.pipeline && a.release === approval.release));
  const obstacle = voteObstacle(approval);
  const revision = approval.revisions?.[0];
  const approved = parts.approvedCount(approval);
  return h('li.card.approval', { key: approval.approvalId, class: obstacle ? '' : 'is-mine' },
    h('div.approval-what', null,
      h('h3', null, parts.releaseLink(approval.pipeline, approval.release, `${approval.pipeline} #${approval.release}`), ` ${parts.isGate(approval) ? 'into' : 'in'} `, h('strong', null, approval.stage), (gate || !parts.isGate(approval)) && h('span.quiet', null, ` ${approval.gate}`)),
      h('p.cut', { title: revision?.message }, revision?.message || 'no message', ' ', parts.commit(revision?.commit)),
      approval.message && h('p.asked', null, approval.message),
      h('p.quiet', null, 'by ', f.whoMay(approval.by), ' · asked ', parts.ago(approval.openedMs), ' ago · ends in ', parts.until(approval.expiresMs))),
    h('div.approval-do', null,
      h('span.votes', { title: (approval.votes || []).map((v) => `${v.voter?.name}: ${v.verdict}`).join('\n') || 'no votes yet' },
        h('strong.num', null, `${approved} of ${approval.count}`), ' votes', approval.rejects > 1 && h('span.quiet.small', null, `, ${parts.rejectedCount(approval)} of ${approval.rejects} against`)),
      h('button.button', { type: 'button', class: obstacle ? '' : 'primary', onClick: () => openReview(approval) }, obstacle ? 'Look at it' : 'Review'),
      obstacle && h('span.quiet.small', null, obstacle)));
}

export default {
  title: () => 'Approvals',
  render() {
    if (!state.approvals) return parts.skeleton(3, 'card');
    const mine = state.approvals.filter(waitsForMe), others = state.approvals.filter((a) => !waitsForMe(a));
    if (!state.approvals.length) return h('section', null, h('h1', null, 'Approvals'), parts.empty('Nothing waits for anybody', 'When a release comes to a gate, it stands here.'));
    return h('section.narrow', null, h('h1', null, 'Approvals'),
      h('h2', null, 'For you', h('span.quiet.num', null, ` ${mine.length}`)),
      mine.length ? h('ul.cards', { key: 'mine' }, mine.map(card)) : h('p.quiet', { key: 'none' }, 'Nothing waits for you.'),
      others.length > 0 && h('h2', { key: 'h-others' }, 'For others', h('span.quiet.num', null, ` ${others.length}`)),
      others.length > 0 && h('ul.cards', { key: 'others' }, others.map(card)));
  },
};
