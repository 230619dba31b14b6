/* docs/reference/pipeline.md: definitions and revisions; events.md: source rules. */
#include "script.h"

static const struct rule rules[] = {
    {"the head reported again starts nothing, whoever reports it", "define simple\n"
                                                                   "push 0001\n"
                                                                   "push 0001\n"
                                                                   "  nothing\n"
                                                                   "again\n"
                                                                   "  nothing\n"},
    {"a ref that goes back to an earlier commit is a new revision", "define simple\n"
                                                                    "push 0001\n"
                                                                    "push 0002\n"
                                                                    "push 0001\n"
                                                                    "  seen app@0001\n"
                                                                    "  started 3 app@0001\n"
                                                                    "  ...\n"},
    {"a copy of an older revision changes nothing", "define simple\n"
                                                    "push 0001\n"
                                                    "again\n"
                                                    "  nothing\n"},
    {"what the source-watcher notes of its first look is no revision", "define simple\n"
                                                                       "push 0001 look=1\n"
                                                                       "  nothing\n"},
    {"a revision of a branch that no glob matches starts nothing",
     "define simple\n"
     "push 0001 branch=topic\n"
     "  seen app@0001 starts nothing\n"
     "push 0002 branch=release/1\n"
     "  seen app@0002\n"
     "  started 1 app@0002\n"
     "  ...\n"},
    {"tags and heads of pull requests start a release where the source says so",
     "define refs\n"
     "push 0001 tag=v1\n"
     "  seen app@0001\n"
     "  started 1 app@0001\n"
     "  ...\n"
     "push 0002 tag=w1\n"
     "  seen app@0002 starts nothing\n"
     "push 0003 pull=7\n"
     "  seen app@0003\n"
     "  started 2 app@0003\n"
     "  ...\n"
     "define simple\n"
     "push 0004 tag=v1\n"
     "  seen app@0004 starts nothing\n"
     "push 0005 pull=7\n"
     "  seen app@0005 starts nothing\n"},
    {"a revision of a source that the definition does not have starts nothing",
     "define simple\n"
     "push 0001 source=lib\n"
     "  seen lib@0001 starts nothing\n"},
    {"a revision that was read before its definition starts a release with it",
     "push 0001\n"
     "  seen app@0001 starts nothing\n"
     "define simple\n"
     "  definition 1\n"
     "  started 1 app@0001\n"
     "  entered 1 build\n"
     "  request 1 build/image#1\n"},
    {"all sources' newest revisions are pinned at the start", "define two-sources\n"
                                                              "push 0001\n"
                                                              "  seen app@0001 starts nothing\n"
                                                              "push 0a01 source=conf\n"
                                                              "  seen conf@0a01\n"
                                                              "  started 1 app@0001 conf@0a01\n"
                                                              "  ...\n"
                                                              "push 0002\n"
                                                              "  seen app@0002\n"
                                                              "  started 2 app@0002 conf@0a01\n"
                                                              "  ...\n"
                                                              "push 0a02 source=conf branch=other\n"
                                                              "  seen conf@0a02\n"
                                                              "  started 3 app@0002 conf@0a02\n"
                                                              "  ...\n"},
    {"a definition that changes while releases run: they keep theirs",
     "define simple\n"
     "push 0001\n"
     "ok 1 build/image\n"
     "define longer\n"
     "  definition 2\n"
     "push 0002\n"
     "ok 1 dev/app\n"
     "  ...\n"
     "  entered 1 prod\n"
     "  request 1 prod/app#1\n"
     "ok 2 build/image\n"
     "ok 2 dev/app\n"
     "  ...\n"
     "  entered 2 staging\n"
     "  request 2 staging/app#1\n"},
    {"a definition that is the current one already changes nothing", "define simple\n"
                                                                     "define simple\n"
                                                                     "  nothing\n"
                                                                     "define longer\n"
                                                                     "  definition 2\n"
                                                                     "define simple\n"
                                                                     "  definition 3\n"},
    {"a definition that does not parse is ignored, the one before stays",
     "define simple\n"
     "define broken\n"
     "  nothing\n"
     "push 0001\n"
     "  ...\n"
     "  request 1 build/image#1\n"},
    {"a definition under another name than its record's is refused",
     "define other-name\n"
     "  refused definition: its name or SHA-256 is not that of its record\n"},
    {"a pipeline deleted begins no release, and those under way finish",
     "define simple\n"
     "push 0001\n"
     "delete\n"
     "  definition deleted\n"
     "delete\n"
     "  nothing\n"
     "push 0002\n"
     "  seen app@0002 starts nothing\n"
     "start\n"
     "  refused start: pipeline 'shop' was deleted: its releases finish, and no other begins\n"
     "ok 1 build/image\n"
     "  ...\n"
     "  entered 1 dev\n"
     "  request 1 dev/app#1\n"
     "stop 1 abandon\n"
     "  ...\n"
     "  ended 1 stopped**\n"},
    {"a pipeline applied again after it was deleted goes on with its numbers",
     "define simple\n"
     "push 0001\n"
     "delete\n"
     "push 0002\n"
     "define simple\n"
     "  definition 2\n"
     "  started 2 app@0002\n"
     "  waiting 2 build occupied:1\n"},
};

int main(void)
{
    return SCRIPT_RUN_RULES("sources", rules);
}
