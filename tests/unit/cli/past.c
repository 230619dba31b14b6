#include "past.h"

struct scenario *past_play(const char *script)
{
    struct scenario *s = scenario_new("shop");

    scenario_environment(s, "dev", "command");
    scenario_environment(s, "staging", "command");
    scenario_environment(s, "prod", "command");
    script_play(s, script);
    return s;
}

int past_fold(const struct scenario *s, struct replay *replay)
{
    int rc = 0;

    for (size_t i = 0; i < s->ledger_count && rc == 0; i++)
        rc = replay_fold((int64_t)i, s->ledger[i].value.data, s->ledger[i].value.len, replay);
    return rc;
}
