/* Which open approval is meant by `gantry approve PIPELINE/NUMBER STAGE [GATE]`. */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "services/cli/cli.h"

static bool is_asked_for(const json_t *approval, const struct vote_wanted *wanted)
{
    return strcmp(jstr(approval, "pipeline"), wanted->pipeline) == 0 &&
           jnum(approval, "release") == (json_int_t)wanted->release &&
           strcmp(jstr(approval, "stage"), wanted->stage) == 0;
}

/* The release does not wait there at all, but another may. */
static void say_none(const json_t *approvals, const struct vote_wanted *wanted)
{
    const json_t *approval, *other = NULL;
    size_t i;

    json_array_foreach(approvals, i, approval)
    {
        if (strcmp(jstr(approval, "pipeline"), wanted->pipeline) == 0 &&
            strcmp(jstr(approval, "stage"), wanted->stage) == 0)
            other = approval;
    }
    if (other)
        cli_fail(0, "%s/%llu does not wait for a vote on %s; %s/%lld does", wanted->pipeline,
                 (unsigned long long)wanted->release, wanted->stage, wanted->pipeline,
                 (long long)jnum(other, "release"));
    else
        cli_fail(0, "%s/%llu does not wait for a vote on %s; `gantry approvals` lists what does",
                 wanted->pipeline, (unsigned long long)wanted->release, wanted->stage);
}

/* One line a gate, as it is to be typed. */
static void say_commands(const json_t *approvals, const struct vote_wanted *wanted)
{
    const json_t *approval, *by;
    size_t i, j;

    json_array_foreach(approvals, i, approval)
    {
        if (!is_asked_for(approval, wanted))
            continue;
        fprintf(stderr, "  gantry %s %s/%llu %s %s   %zu of %lld", wanted->verdict,
                wanted->pipeline, (unsigned long long)wanted->release, wanted->stage,
                jstr(approval, "gate"), count_votes(approval, "approve"),
                (long long)jnum(approval, "count"));
        json_array_foreach(jget(approval, "by"), j, by)
            fprintf(stderr, "%s%s", j ? ", " : " by ", json_string_value(by));
        if (*jstr(approval, "whyNot"))
            fprintf(stderr, "; %s", jstr(approval, "whyNot"));
        fputc('\n', stderr);
    }
}

const json_t *vote_choose(const json_t *approvals, const struct vote_wanted *wanted, int *rc)
{
    const json_t *approval, *any = NULL, *mine = NULL;
    size_t i, open = 0, for_me = 0;

    json_array_foreach(approvals, i, approval)
    {
        if (!is_asked_for(approval, wanted))
            continue;
        if (wanted->gate && strcmp(jstr(approval, "gate"), wanted->gate) == 0)
            return approval;
        open++;
        any = approval;
        if (jbool(approval, "mayVote")) {
            for_me++;
            mine = approval;
        }
    }
    *rc = EXIT_NOT_FOUND;
    if (open == 0) {
        say_none(approvals, wanted);
        return NULL;
    }
    if (wanted->gate) {
        cli_fail(0, "no approval '%s' of %s/%llu on %s is open; this is:", wanted->gate,
                 wanted->pipeline, (unsigned long long)wanted->release, wanted->stage);
        say_commands(approvals, wanted);
        return NULL;
    }
    if (open == 1 || for_me == 1)
        return open == 1 ? any : mine;
    *rc = EXIT_USAGE;
    cli_fail(0, "%zu approvals of %s/%llu on %s are open; say which:", open, wanted->pipeline,
             (unsigned long long)wanted->release, wanted->stage);
    say_commands(approvals, wanted);
    return NULL;
}
