/* A ledger made by a scenario, read again as the command line reads one. */
#ifndef TESTS_CLI_PAST_H
#define TESTS_CLI_PAST_H

#include "../engine/script.h"
#include "services/cli/policy.h"
#include "services/cli/replay.h"

/* A scenario of pipeline `shop` whose environments dev, staging and prod are there. */
struct scenario *past_play(const char *script);
/* All of its ledger (after replay_init()); the result of the last replay_fold(). */
int past_fold(const struct scenario *s, struct replay *replay);

#endif
