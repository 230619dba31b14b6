/* docs/reference/pipeline.md: steps, artifacts, variables, runs. */
#include "script.h"

static const struct rule rules[] = {
    {"steps run in order, members of parallel together", "define steps\n"
                                                         "push 0001\n"
                                                         "ok 1 build/image\n"
                                                         "  done 1 build/image succeeded\n"
                                                         "  artifact 1 image\n"
                                                         "  request 1 build/lint#1\n"
                                                         "  request 1 build/load#1\n"
                                                         "ok 1 build/load\n"
                                                         "  done 1 build/load succeeded\n"
                                                         "ok 1 build/lint\n"
                                                         "  done 1 build/lint succeeded\n"
                                                         "  request 1 build/report#1\n"
                                                         "ok 1 build/report\n"
                                                         "  done 1 build/report succeeded\n"
                                                         "  stage 1 build succeeded\n"
                                                         "  entered 1 dev\n"
                                                         "  request 1 dev/app#1\n"},
    {"when one of a parallel step fails, the others finish, and nothing more is requested",
     "define steps\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "fail 1 build/lint style\n"
     "  done 1 build/lint failed: style\n"
     "ok 1 build/load\n"
     "  done 1 build/load succeeded\n"
     "  stage 1 build failed: action 'lint' failed\n"
     "  ended 1 failed**\n"},
    {"a run's first end counts, and a copy of any record changes nothing",
     "define simple\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "again\n"
     "  nothing\n"
     "fail 1 build/image late\n"
     "  nothing\n"
     "started 1 build/image\n"
     "  nothing\n"},
    {"a run redelivered is told with its attempt, an older attempt is not",
     "define simple\n"
     "push 0001\n"
     "started 1 build/image attempt=1\n"
     "  running 1 build/image attempt 1\n"
     "started 1 build/image attempt=2\n"
     "  running 1 build/image attempt 2\n"
     "started 1 build/image attempt=1\n"
     "  nothing\n"},
    {"a build that declares an image and reports none has failed",
     "define simple\n"
     "push 0001\n"
     "ok 1 build/image no-image=1\n"
     "  done 1 build/image failed: it succeeded without an image**\n"
     "  stage 1 build failed**\n"
     "  ended 1 failed**\n"},
    {"a build that reports an image of another repository has failed",
     "define simple\n"
     "push 0001\n"
     "ok 1 build/image image=registry.example/evil\n"
     "  done 1 build/image failed: it reported an image of registry.example/evil**\n"
     "  ...\n"},
    {"variables are visible in inputs: the release's, the exported, number and revision",
     "define vars\n"
     "push 0001\n"
     "ok 1 build/image VERSION=1.2\n"
     "  done 1 build/image succeeded\n"
     "  artifact 1 image\n"
     "  request 1 build/say#1\n"},
    {"an action whose input has an unknown variable fails and says which",
     "define vars\n"
     "push 0001\n"
     "ok 1 build/image OTHER=1\n"
     "  done 1 build/image succeeded\n"
     "  artifact 1 image\n"
     "  done 1 build/say failed: 'text' uses {{actions.image.VERSION}}, which has no value**\n"
     "  stage 1 build failed: action 'say' failed\n"
     "  ended 1 failed**\n"},
    {"what a failed run exported is visible to nobody",
     "define vars\n"
     "push 0001\n"
     "fail 1 build/image exit VERSION=9\n"
     "retry 1 build\n"
     "ok 1 build/image\n"
     "  ...\n"
     "  done 1 build/say failed: 'text' uses {{actions.image.VERSION}}**\n"
     "  ...\n"},
    {"a deploy into an environment that is not defined fails and says so",
     "define simple\n"
     "push 0001\n"
     "environment dev gone\n"
     "ok 1 build/image\n"
     "  done 1 build/image succeeded\n"
     "  artifact 1 image\n"
     "  stage 1 build succeeded\n"
     "  entered 1 dev\n"
     "  done 1 dev/app failed: environment 'dev' is not defined**\n"
     "  stage 1 dev failed: action 'app' failed\n"
     "  ended 1 failed**\n"
     "environment dev command\n"
     "retry 1 dev\n"
     "  command retry\n"
     "  entered 1 dev again\n"
     "  request 1 dev/app#2\n"},
    {"a deploy with a key for another driver than the environment's is refused",
     "define kubernetes\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "  ...\n"
     "  done 1 dev/app failed: the action says 'kubernetes:', and environment 'dev' is of driver "
     "'command'\n"
     "  stage 1 dev failed**\n"
     "  ended 1 failed**\n"
     "environment dev kubernetes\n"
     "retry 1 dev\n"
     "  ...\n"
     "  request 1 dev/app#2\n"},
    {"a lost run of an action with retry-lost is asked again once, as a new run",
     "define lost\n"
     "push 0001\n"
     "lost 1 build/image it died\n"
     "  done 1 build/image abandoned: lost: it died; it is requested again\n"
     "  request 1 build/image#2\n"
     "lost 1 build/image it died again\n"
     "  done 1 build/image failed: lost: it died again\n"
     "  stage 1 build failed**\n"
     "  ended 1 failed**\n"},
    {"a lost run without retry-lost has failed",
     "define lost\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "lost 1 dev/app\n"
     "  done 1 dev/app abandoned: lost: its executor went away; it is requested again\n"
     "  request 1 dev/app#2\n"
     "ok 1 dev/app\n"
     "lost 1 dev/test\n"
     "  done 1 dev/test failed: lost: its executor went away\n"
     "  stage 1 dev failed**\n"
     "  ended 1 failed**\n"},
    {"a run that its executor stopped by itself has failed the stage",
     "define simple\n"
     "push 0001\n"
     "stopped 1 build/image operator\n"
     "  done 1 build/image stopped: operator\n"
     "  stage 1 build failed: action 'image' was stopped\n"
     "  ended 1 failed**\n"},
    {"an approval as an action holds the stage", "define inside\n"
                                                 "push 0001\n"
                                                 "ok 1 build/image\n"
                                                 "  ...\n"
                                                 "  entered 1 prod\n"
                                                 "  request 1 prod/look#1\n"
                                                 "  opened 1 prod/look#1\n"
                                                 "push 0002\n"
                                                 "ok 2 build/image\n"
                                                 "  ...\n"
                                                 "  waiting 2 prod occupied:1\n"
                                                 "approve 1 prod/look bob\n"
                                                 "  vote 1 prod/look#1 bob\n"
                                                 "  closed 1 prod/look#1 approved\n"
                                                 "  done 1 prod/look succeeded\n"
                                                 "  request 1 prod/app#1\n"},
    {"an approval as an action that is rejected fails the stage",
     "define inside\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "reject 1 prod/look bob no good\n"
     "  vote 1 prod/look#1 bob\n"
     "  closed 1 prod/look#1 rejected: rejected by bob: no good\n"
     "  done 1 prod/look failed: rejected by bob: no good\n"
     "  stage 1 prod failed: action 'look' failed\n"
     "  ended 1 failed**\n"
     "retry 1 prod\n"
     "  command retry\n"
     "  entered 1 prod again\n"
     "  request 1 prod/look#2\n"
     "  opened 1 prod/look#2\n"},
    {"a stage that cannot succeed any more waits for nobody's approval",
     "define beside\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "  ...\n"
     "  request 1 prod/look#1\n"
     "  opened 1 prod/look#1\n"
     "  request 1 prod/app#1\n"
     "fail 1 prod/app broken\n"
     "  done 1 prod/app failed: broken\n"
     "  closed 1 prod/look#1 stopped: another action failed\n"
     "  done 1 prod/look stopped: another action failed\n"
     "  stage 1 prod failed: action 'look' was stopped\n"
     "  ended 1 failed**\n"},
};

int main(void)
{
    return SCRIPT_RUN_RULES("actions", rules);
}
