/* What is kept of messages from outside, so that a Decision and a state stay within a record's
 * size (EVENT_VALUE_MAX). What is for people only is cut; what decides something is refused by the
 * callers, or counted as incomplete. */
#include <string.h>

#include "engine/message.h"
#include "engine/plan.h"

#define LINE_MAX_BYTES   500 /* a commit's first line, a name */
#define REASON_MAX_BYTES 4000
#define EMAIL_MAX_BYTES  254         /* RFC 5321, 4.5.3.1.3 */
#define FINISHED_MAX     (64 * 1024) /* beside reports, see EVENT_REPORTS_MAX */
#define PATHS_MAX        100         /* that a Decision keeps, for people */
#define PATH_MAX_BYTES   500

/* Cuts an arena's string, never inside a character. */
static void cut(char *text, size_t max)
{
    if (strlen(text) <= max)
        return;
    while (max > 0 && ((unsigned char)text[max] & 0xc0) == 0x80)
        max--;
    text[max] = '\0';
}

static void bound_paths(Gantry__V1__SourceChanged *m)
{
    if (m->n_paths > PATHS_MAX) {
        m->n_paths = PATHS_MAX;
        m->paths_complete = false;
    }
    for (size_t i = 0; i < m->n_paths; i++)
        cut(m->paths[i], PATH_MAX_BYTES);
}

Gantry__V1__SourceChanged *plan_bound_change(struct plan *plan,
                                             const Gantry__V1__SourceChanged *change)
{
    Gantry__V1__SourceChanged *m = message_copy(plan->arena, change);
    size_t bytes = 0, kept = 0;
    cut(m->message, LINE_MAX_BYTES);
    cut(m->pusher, LINE_MAX_BYTES);
    cut(m->git, REASON_MAX_BYTES);
    cut(m->reported_by, LINE_MAX_BYTES);
    for (size_t i = 0; i < m->n_people; i++) {
        size_t len = strlen(m->people[i]);
        if (len > EMAIL_MAX_BYTES || kept == PEOPLE_MAX || bytes + len > PEOPLE_ENTRY_BYTES) {
            m->people_complete = false;
            continue;
        }
        m->people[kept++] = m->people[i];
        bytes += len + 1;
    }
    m->n_people = kept;
    bound_paths(m);
    return m;
}

Gantry__V1__Finished *plan_bound_finished(struct plan *plan, const Gantry__V1__Finished *finished)
{
    Gantry__V1__Finished *m = message_copy(plan->arena, finished);
    cut(m->reason, REASON_MAX_BYTES);
    cut(m->phase, LINE_MAX_BYTES);
    cut(m->command, REASON_MAX_BYTES);
    /* Reports and a plan have bounds of their own. */
    size_t reports = m->n_reports;
    Gantry__V1__BatchPlan *batch = m->batch;
    m->n_reports = 0;
    m->batch = NULL;
    size_t rest = protobuf_c_message_get_packed_size(&m->base);
    m->n_reports = reports;
    m->batch = batch;
    if (rest <= FINISHED_MAX)
        return m;
    m->n_log_tail = 0; /* it stands in the run's log */
    m->n_phases = 0;
    if (m->outcome != GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED)
        m->n_exported = 0; /* of no use to anybody */
    return m;
}

void plan_bound_revision(Gantry__V1__Revision *revision)
{
    cut(revision->message, LINE_MAX_BYTES);
    cut(revision->pusher, LINE_MAX_BYTES);
}
