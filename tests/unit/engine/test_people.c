/* docs/reference/pipeline.md, "What people can do" and "Time". */
#include "script.h"

#define ONE_IN_PROD "push 0001\nok 1 build/image\nok 1 dev/app\nok 1 prod/app\n"

static const struct rule rules[] = {
    {"start takes each source's newest revision and the definition's variables",
     "define vars\n"
     "push 0001\n"
     "ok 1 build/image VERSION=1\n"
     "ok 1 build/say\n"
     "start\n"
     "  command start\n"
     "  started 2 app@0001 LEVEL=info SIZE=small\n"
     "  entered 2 build\n"
     "  request 2 build/image#1\n"},
    {"start takes a revision and variables", "define vars\n"
                                             "push 0001\n"
                                             "start commit=abcd LEVEL=debug\n"
                                             "  command start\n"
                                             "  started 2 app@abcd LEVEL=debug SIZE=small\n"
                                             "  waiting 2 build occupied:1\n"},
    {"start takes the beginning of a commit that is known",
     "define simple\n"
     "push 0001\n"
     "start commit=00010000\n"
     "  command start\n"
     "  started 2 app@0001\n"
     "  ...\n"
     "start commit=abcdabcd\n"
     "  refused start: 'abcdabcd' is not the beginning of one commit known of source 'app': give "
     "it in full\n"},
    {"start of a branch takes its newest revision",
     "define simple\n"
     "push 0001\n"
     "push 0002 branch=release/1\n"
     "start ref=refs/heads/main\n"
     "  command start\n"
     "  started 3 app@0001\n"
     "  ...\n"
     "start ref=refs/heads/other\n"
     "  refused start: no commit of refs/heads/other of source 'app' is known yet\n"},
    {"start refuses what the definition does not have",
     "start\n"
     "  refused start: there is no pipeline 'shop'\n"
     "define vars\n"
     "start\n"
     "  refused start: no revision of source 'app' is known yet: name one\n"
     "push 0001\n"
     "start COLOUR=red\n"
     "  refused start: pipeline 'shop' has no variable 'COLOUR'\n"
     "start commit=abcd source=lib\n"
     "  refused start: pipeline 'shop' has no source 'lib'\n"},
    {"a command whose definition was never taken is refused with the promoter's reason",
     "define simple\n"
     "push 0001\n"
     "unknown-definition\n"
     "  refused start: its definition was never taken\n"
     "again\n"
     "  nothing\n"},
    {"a command is taken once", "define simple\n"
                                "push 0001\n"
                                "start\n"
                                "again\n"
                                "  nothing\n"},
    {"stop of a release that waits ends it, and closes its approvals",
     "define gate\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "ok 1 dev/app\n"
     "stop 1 wait\n"
     "  command stop\n"
     "  stopping 1\n"
     "  closed 1 prod/approval#1 stopped: it was stopped\n"
     "  ended 1 stopped: it was stopped\n"},
    {"stop wait finishes what runs and requests nothing more",
     "define steps\n"
     "push 0001\n"
     "stop 1 wait\n"
     "  command stop\n"
     "  stopping 1\n"
     "ok 1 build/image\n"
     "  done 1 build/image succeeded\n"
     "  artifact 1 image\n"
     "  stage 1 build stopped: the release was stopped, skipped: lint load report\n"
     "  ended 1 stopped: it was stopped\n"},
    {"stop wait during a stage's last action: the stage succeeded, the release goes no further",
     "define simple\n"
     "push 0001\n"
     "stop 1 wait\n"
     "ok 1 build/image\n"
     "  done 1 build/image succeeded\n"
     "  artifact 1 image\n"
     "  stage 1 build succeeded\n"
     "  ended 1 stopped: it was stopped\n"},
    {"stop wait during the last stage's last action comes too late to stop anything",
     "define simple\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "ok 1 dev/app\n"
     "stop 1 wait\n"
     "ok 1 prod/app\n"
     "  ...\n"
     "  ended 1 succeeded\n"},
    {"stop abandon tells the executors and waits for none",
     "define simple\n"
     "push 0001\n"
     "push 0002\n"
     "stop 1 abandon\n"
     "  command stop\n"
     "  stopping 1\n"
     "  done 1 build/image abandoned cancel: it was stopped\n"
     "  stage 1 build abandoned: action 'image' was abandoned\n"
     "  ended 1 stopped: it was stopped\n"
     "  entered 2 build\n"
     "  request 2 build/image#1\n"
     "ok 1 build/image\n"
     "  nothing\n"},
    {"stop wait can become abandon, and nothing else is stopped twice",
     "define simple\n"
     "push 0001\n"
     "stop 1 wait\n"
     "stop 1 wait\n"
     "  refused stop: release 1 is being stopped already\n"
     "stop 1 abandon\n"
     "  command stop\n"
     "  ...\n"
     "  ended 1 stopped**\n"
     "stop 1 abandon\n"
     "  refused stop: release 1 has ended\n"
     "stop 7 wait\n"
     "  refused stop: there is no release 7\n"},
    {"a stop waits for no approval",
     "define inside\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "stop 1 wait\n"
     "  command stop\n"
     "  stopping 1\n"
     "  closed 1 prod/look#1 stopped: the release was stopped\n"
     "  done 1 prod/look stopped: the release was stopped\n"
     "  stage 1 prod stopped: action 'look' was stopped, skipped: app\n"
     "  ended 1 stopped: it was stopped\n"},
    {"a lost run of a release that is being stopped is not asked again",
     "define simple\n"
     "push 0001\n"
     "stop 1 wait\n"
     "lost 1 build/image\n"
     "  done 1 build/image failed: lost: its executor went away\n"
     "  stage 1 build failed: action 'image' failed\n"
     "  ended 1 stopped: it was stopped\n"},
    {"retry requests what failed again, as new runs", "define steps\n"
                                                      "push 0001\n"
                                                      "ok 1 build/image\n"
                                                      "fail 1 build/lint style\n"
                                                      "ok 1 build/load\n"
                                                      "retry 1 build\n"
                                                      "  command retry\n"
                                                      "  entered 1 build again\n"
                                                      "  request 1 build/lint#2\n"
                                                      "ok 1 build/lint\n"
                                                      "  done 1 build/lint succeeded\n"
                                                      "  request 1 build/report#1\n"},
    {"retry of all actions requests all again, but never builds the image again",
     "define steps\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "ok 1 build/lint\n"
     "ok 1 build/load\n"
     "fail 1 build/report\n"
     "retry 1 build all\n"
     "  command retry\n"
     "  entered 1 build again\n"
     "  request 1 build/lint#2\n"
     "  request 1 build/load#2\n"},
    {"retry is refused for what has not failed there",
     "define simple\n"
     "push 0001\n"
     "retry 1 build\n"
     "  refused retry: release 1 is under way\n"
     "retry 2 build\n"
     "  refused retry: there is no release 2\n"
     "fail 1 build/image\n"
     "retry 1 dev\n"
     "  refused retry: release 1 failed at stage 'build', not at 'dev'\n"
     "retry 1 build\n"
     "stop 1 abandon\n"
     "retry 1 build\n"
     "  refused retry: release 1 has not failed**\n"},
    {"rollback is a new release with the target's revisions and artifacts, of that stage only",
     "define simple\n" ONE_IN_PROD "push 0002\nok 2 build/image\nok 2 dev/app\nok 2 prod/app\n"
     "rollback prod 1\n"
     "  command rollback\n"
     "  started 3 rollback of prod to 1 app@0001\n"
     "  entered 3 prod\n"
     "  request 3 prod/app#1\n"
     "ok 3 prod/app\n"
     "  done 3 prod/app succeeded\n"
     "  stage 3 prod succeeded\n"
     "  ended 3 succeeded\n"},
    {"rollback to a release that did not succeed there is refused",
     "define simple\n" ONE_IN_PROD "push 0002\nok 2 build/image\nok 2 dev/app\nfail 2 prod/app\n"
     "rollback prod 2\n"
     "  refused rollback: release 2 is not among the last 10 that succeeded there (1)\n"
     "rollback staging 1\n"
     "  refused rollback: pipeline 'shop' has no stage 'staging'\n"
     "rollback build 1\n"
     "  refused rollback: stage 'build' builds the image: a rollback never rebuilds\n"},
    {"rollback queues like any other, and no push takes its place",
     "define simple\n" ONE_IN_PROD "push 0002\nok 2 build/image\nok 2 dev/app\n"
     "push 0003\nok 3 build/image\nok 3 dev/app\n"
     "  ...\n"
     "  waiting 3 prod occupied:2\n"
     "rollback prod 1\n"
     "  command rollback\n"
     "  started 4 rollback of prod to 1 app@0001\n"
     "  waiting 4 prod occupied:2\n"
     "  waiting 3 prod occupied:2 behind:4\n"
     "push 0005\nok 5 build/image\nok 5 dev/app\n"
     "  ...\n"
     "  ended 3 superseded by 5\n"
     "  waiting 5 prod occupied:2 behind:4\n"
     "fail 2 prod/app\n"
     "  ...\n"
     "  entered 4 prod\n"
     "  request 4 prod/app#1\n"
     "  waiting 5 prod occupied:4\n"
     "ok 4 prod/app\n"
     "  ...\n"
     "  entered 5 prod\n"
     "  request 5 prod/app#1\n"},
    {"a rollback that waits goes before an older release that waits",
     "define simple\n" ONE_IN_PROD "push 0002\nok 2 build/image\nok 2 dev/app\n"
     "push 0003\nok 3 build/image\nok 3 dev/app\n"
     "rollback prod 1\n"
     "fail 2 prod/app\n"
     "  ...\n"
     "  entered 4 prod\n"
     "  request 4 prod/app#1\n"
     "  waiting 3 prod occupied:4\n"},
    {"a newer rollback takes the place of one that waits",
     "define simple\n" ONE_IN_PROD "push 0002\nok 2 build/image\nok 2 dev/app\n"
     "rollback prod 1\n"
     "rollback prod 1\n"
     "  command rollback\n"
     "  started 4**\n"
     "  ended 3 superseded by 4\n"
     "  waiting 4 prod occupied:2\n"},
    {"rollback passes no approval unless rollback-approval says so", "define careful\n"
                                                                     "push 0001\n"
                                                                     "ok 1 build/image\n"
                                                                     "approve 1 prod/approval bob\n"
                                                                     "ok 1 prod/app\n"
                                                                     "rollback prod 1\n"
                                                                     "  command rollback\n"
                                                                     "  started 2**\n"
                                                                     "  waiting 2 prod approval\n"
                                                                     "  opened 2 prod/approval#1\n"
                                                                     "approve 2 prod/approval bob\n"
                                                                     "  ...\n"
                                                                     "  entered 2 prod\n"
                                                                     "  request 2 prod/app#1\n"},
    {"one can go back to a rollback",
     "define simple\n" ONE_IN_PROD "rollback prod 1\nok 2 prod/app\nrollback prod 2\n"
     "  command rollback\n"
     "  started 3 rollback of prod to 2 app@0001\n"
     "  ...\n"},
    {"a rollback sees what its target's actions exported, not the newest's",
     "define target\n"
     "environment dev kubernetes\n"
     "push 0001\nok 1 build/image NAME=web\nok 1 dev/app\n"
     "push 0002\nok 2 build/image\n"
     "  ...\n"
     "  done 2 dev/app failed: 'container' uses {{actions.image.NAME}}**\n"
     "  ...\n"
     "rollback dev 1\n"
     "  command rollback\n"
     "  started 3 rollback of dev to 1 app@0001 NS=a\n"
     "  entered 3 dev\n"
     "  request 3 dev/app#1\n"},
    {"an action that runs out of time fails, and its executor is told to stop",
     "define simple\n"
     "push 0001\n"
     "started 1 build/image\n"
     "pass 59m\n"
     "  nothing\n"
     "pass 2m\n"
     "  done 1 build/image failed cancel: timed out after 1 h\n"
     "  stage 1 build failed: action 'image' failed\n"
     "  ended 1 failed**\n"},
    {"an approval as an action expires",
     "define inside\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "pass 1h\n"
     "  closed 1 prod/look#1 expired: approval 'look' expired after 1 h\n"
     "  done 1 prod/look failed: approval 'look' expired after 1 h\n"
     "  stage 1 prod failed**\n"
     "  ended 1 failed**\n"},
    {"a result that was there before the clock counts, however late",
     "define simple\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "  done 1 build/image succeeded\n"
     "  ...\n"
     "pass 10m\n"
     "  nothing\n"},
};

int main(void)
{
    return SCRIPT_RUN_RULES("people", rules);
}
