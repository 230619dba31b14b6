#include "base/id.h"
#include "events/event.h"

void event_id_run(char out[ID_SIZE], uint64_t epoch, const char *pipeline, uint64_t release,
                  const char *stage, const char *action, uint32_t number)
{
    char e[21], r[21], n[21];
    id_make(out, "run", id_num(e, epoch), pipeline, id_num(r, release), stage, action,
            id_num(n, number), NULL);
}

void event_id_approval(char out[ID_SIZE], uint64_t epoch, const char *pipeline, uint64_t release,
                       const char *stage, const char *gate, uint32_t number)
{
    char e[21], r[21], n[21];
    id_make(out, "approval", id_num(e, epoch), pipeline, id_num(r, release), stage, gate,
            id_num(n, number), NULL);
}

void event_id_pub(char out[ID_SIZE], uint64_t epoch, const char *pipeline, uint64_t sequence,
                  uint32_t index)
{
    char e[21], s[21], i[21];
    id_make(out, "pub", id_num(e, epoch), pipeline, id_num(s, sequence), id_num(i, index), NULL);
}

void event_id_source(char out[ID_SIZE], const char *pipeline, const char *source, const char *ref,
                     const char *before, const char *after, const char *previous_id)
{
    id_make(out, "source", pipeline, source, ref, before, after, previous_id, NULL);
}

void event_id_command(char out[ID_SIZE], const char *caller, const char *key)
{
    id_make(out, "command", caller, key, NULL);
}

void event_id_vote(char out[ID_SIZE], const char *caller, const char *key)
{
    id_make(out, "vote", caller, key, NULL);
}

void event_id_result(char out[ID_SIZE], const char *run_id, uint32_t attempt, uint32_t number)
{
    char a[21], n[21];
    id_make(out, "result", run_id, id_num(a, attempt), id_num(n, number), NULL);
}

void event_id_notification(char out[ID_SIZE], const char *rule, const char *event_id)
{
    id_make(out, "notify", rule, event_id, NULL);
}
