/* docs/reference/pipeline.md, "Gates", and approval requests. */
#include "script.h"

#define TO_PROD "push 0001\nok 1 build/image\n"

static const struct rule rules[] = {
    {"a stage with an approval gate is entered when enough people approved",
     "define two-votes\n" TO_PROD "  ...\n"
     "  waiting 1 prod approval\n"
     "  opened 1 prod/approval#1\n"
     "approve 1 prod/approval bob\n"
     "  vote 1 prod/approval#1 bob\n"
     "approve 1 prod/approval eve\n"
     "  vote 1 prod/approval#1 eve\n"
     "  closed 1 prod/approval#1 approved\n"
     "  entered 1 prod\n"
     "  request 1 prod/app#1\n"},
    {"a person votes once", "define two-votes\n" TO_PROD "approve 1 prod/approval bob\n"
                            "approve 1 prod/approval bob\n"
                            "  refused vote of bob: you have voted already\n"
                            "again\n"
                            "  nothing\n"
                            "reject 1 prod/approval bob changed my mind\n"
                            "  refused vote of bob: you have voted already\n"},
    {"all gates must pass, in any order",
     "define two-gates\n" TO_PROD "  ...\n"
     "  waiting 1 prod approval approval-2\n"
     "  opened 1 prod/approval#1\n"
     "  opened 1 prod/approval-2#1\n"
     "approve 1 prod/approval-2 release-bob\n"
     "  vote 1 prod/approval-2#1 release-bob\n"
     "  closed 1 prod/approval-2#1 approved\n"
     "approve 1 prod/approval release-bob\n"
     "  refused vote of release-bob: you are not among those who may decide here\n"
     "approve 1 prod/approval qa-eve\n"
     "  vote 1 prod/approval#1 qa-eve\n"
     "  closed 1 prod/approval#1 approved\n"
     "  entered 1 prod\n"
     "  ...\n"},
    {"by: names groups and people",
     "define gate\n" TO_PROD "ok 1 dev/app\n"
     "approve 1 prod/approval guest\n"
     "  refused vote of guest: you are not among those who may decide here\n"
     "approve 1 prod/approval zoe\n"
     "  vote 1 prod/approval#1 zoe\n"
     "  closed 1 prod/approval#1 approved\n"
     "  ...\n"},
    {"one reject rejects: the release has failed, its other approvals close",
     "define two-gates\n" TO_PROD "reject 1 prod/approval qa-eve not today\n"
     "  vote 1 prod/approval#1 qa-eve\n"
     "  closed 1 prod/approval#1 rejected: rejected by qa-eve: not today\n"
     "  closed 1 prod/approval-2#1 stopped: rejected by qa-eve: not today\n"
     "  ended 1 failed: rejected by qa-eve: not today\n"},
    {"a vote names the digest it saw and is void for any other",
     "define gate\n" TO_PROD "ok 1 dev/app\n"
     "approve 1 prod/approval bob digest=sha256:00\n"
     "  refused vote of bob: the vote is for sha256:00, and the approval for sha256:**\n"},
    {"expiry is a rejection",
     "define gate\n" TO_PROD "ok 1 dev/app\n"
     "pass 59m\n"
     "  nothing\n"
     "pass 2m\n"
     "  closed 1 prod/approval#1 expired: approval 'approval' expired after 1 h\n"
     "  ended 1 failed: approval 'approval' expired after 1 h\n"},
    {"a gate that refused can be tried again with a retry: it is opened anew",
     "define gate\n" TO_PROD "ok 1 dev/app\n"
     "reject 1 prod/approval bob\n"
     "retry 1 prod\n"
     "  command retry\n"
     "  waiting 1 prod**\n"
     "  opened 1 prod/approval#2\n"
     "approve 1 prod/approval bob\n"
     "  vote 1 prod/approval#2 bob\n"
     "  closed 1 prod/approval#2 approved\n"
     "  entered 1 prod\n"
     "  request 1 prod/app#1\n"},
    {"a gate that refused is not tried again where a newer release waits now",
     "define gate\n" TO_PROD "ok 1 dev/app\n"
     "reject 1 prod/approval bob\n"
     "push 0002\n"
     "ok 2 build/image\n"
     "ok 2 dev/app\n"
     "retry 1 prod\n"
     "  refused retry: release 2, a newer one, waits there now\n"},
    {"not author: everybody who brought a revision is refused, without case",
     "define author\n"
     "push 0001 people=ann@x,bob@x\n"
     "ok 1 build/image\n"
     "approve 1 prod/approval bob\n"
     "  refused vote of bob: authors of the release may not vote, and bob@X brought a revision of "
     "it\n"
     "approve 1 prod/approval eve\n"
     "  vote 1 prod/approval#1 eve\n"
     "  ...\n"},
    {"not author: people of releases that never got there count too",
     "define author\n"
     "push 0001 people=ann@x\n"
     "ok 1 build/image\n"
     "approve 1 prod/approval eve\n"
     "ok 1 prod/app\n"
     "push 0002 people=bob@x\n"
     "fail 2 build/image\n"
     "push 0003 people=carl@x\n"
     "ok 3 build/image\n"
     "approve 3 prod/approval bob\n"
     "  refused vote of bob: **brought a revision of it\n"
     "approve 3 prod/approval ann\n"
     "  vote 3 prod/approval#1 ann\n"
     "  ...\n"},
    {"not author: a voter without a verified e-mail is refused",
     "define author\n" TO_PROD "approve 1 prod/approval no-mail\n"
     "  refused vote of no-mail: authors of the release may not vote, and your token carries no "
     "verified e-mail**\n"},
    {"not author: where not everybody is known, nobody can say that he is none",
     "define author\n"
     "push 0001 people=unknown\n"
     "ok 1 build/image\n"
     "approve 1 prod/approval eve\n"
     "  refused vote of eve: **not everybody who brought its revisions is known\n"},
    {"not author: a revision that was never reported is of nobody known",
     "define author\n" TO_PROD "approve 1 prod/approval eve\n"
     "ok 1 prod/app\n"
     "start commit=000f\n"
     "ok 2 build/image\n"
     "approve 2 prod/approval eve\n"
     "  refused vote of eve: **not everybody who brought its revisions is known\n"},
    {"not author: after a rollback the range begins at what runs there again",
     "define author\n"
     "push 0001 people=ann@x\n"
     "ok 1 build/image\n"
     "approve 1 prod/approval eve\n"
     "ok 1 prod/app\n"
     "push 0002 people=bob@x\n"
     "ok 2 build/image\n"
     "approve 2 prod/approval eve\n"
     "ok 2 prod/app\n"
     "rollback prod 1\n"
     "ok 3 prod/app\n"
     "push 0004 people=carl@x\n"
     "ok 4 build/image\n"
     "approve 4 prod/approval bob\n"
     "  refused vote of bob: **brought a revision of it\n"
     "approve 4 prod/approval ann\n"
     "  vote 4 prod/approval#1 ann\n"
     "  ...\n"},
    {"not author: each branch is compared with what came from it last",
     "define author\n"
     "push 0001 people=ann@x\n"
     "ok 1 build/image\n"
     "approve 1 prod/approval eve\n"
     "ok 1 prod/app\n"
     "push 0002 people=bob@x\n"
     "fail 2 build/image\n"
     "push 0a03 people=carl@x branch=release/1\n"
     "ok 3 build/image\n"
     "approve 3 prod/approval eve\n"
     "ok 3 prod/app\n"
     "push 0004 people=dora@x\n"
     "ok 4 build/image\n"
     "approve 4 prod/approval bob\n"
     "  refused vote of bob: **brought a revision of it\n"},
    {"not starter: who started it by hand is refused",
     "define starter\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "approve 1 prod/approval ann\n"
     "ok 1 prod/app\n"
     "start by=bob\n"
     "ok 2 build/image\n"
     "approve 2 prod/approval bob\n"
     "  refused vote of bob: who started the release may not vote\n"
     "approve 2 prod/approval ann\n"
     "  vote 2 prod/approval#1 ann\n"
     "  ...\n"},
    {"not starter: of a push, who pushed by name is refused",
     "define starter\n"
     "push 0001 pusher=bob\n"
     "ok 1 build/image\n"
     "approve 1 prod/approval bob\n"
     "  refused vote of bob: who started the release may not vote\n"
     "approve 1 prod/approval no-mail\n"
     "  vote 1 prod/approval#1 no-mail\n"
     "  ...\n"},
    {"an approval outlives neither its stage's rollback nor what was said before it",
     "define gate\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "ok 1 dev/app\n"
     "approve 1 prod/approval bob\n"
     "ok 1 prod/app\n"
     "push 0002\n"
     "ok 2 build/image\n"
     "ok 2 dev/app\n"
     "rollback prod 1\n"
     "  command rollback\n"
     "  started 3 rollback of prod to 1 app@0001\n"
     "  entered 3 prod\n"
     "  request 3 prod/app#1\n"
     "  waiting 2 prod occupied:3 approval\n"
     "approve 2 prod/approval bob\n"
     "  vote 2 prod/approval#1 bob\n"
     "  closed 2 prod/approval#1 approved\n"
     "ok 3 prod/app\n"
     "  done 3 prod/app succeeded\n"
     "  stage 3 prod succeeded\n"
     "  ended 3 succeeded\n"
     "  opened 2 prod/approval#2\n"
     "  waiting 2 prod approval\n"
     "approve 2 prod/approval bob\n"
     "  vote 2 prod/approval#2 bob\n"
     "  closed 2 prod/approval#2 approved\n"
     "  entered 2 prod\n"
     "  request 2 prod/app#1\n"},
};

int main(void)
{
    return SCRIPT_RUN_RULES("gates", rules);
}
