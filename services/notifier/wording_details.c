/* What stands below a headline: labels and values. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "gantry/v1/event.pb-c.h"
#include "services/notifier/notifier.h"

#define LOG_LINES  10
#define FACT(name) GANTRY__V1__RELEASE_EVENT__FACT_##name

/* What builds and people wrote may hold anything: neither colours of a terminal nor bytes that are
 * no UTF-8 go into a mail. */
static void clean(char *text)
{
    bool utf8 = str_is_utf8(text, strlen(text));
    char *to = text;

    for (const char *c = text; *c; c++) {
        if (c[0] == '\x1b' && c[1] == '[') {
            c += 2;
            c += strspn(c, "0123456789;?");
            if (!*c)
                break;
            continue;
        }
        if (*c == '\r')
            continue;
        if ((unsigned char)*c < ' ' && *c != '\n')
            *to++ = ' ';
        else
            *to++ = *c == 0x7f || (!utf8 && (*c & 0x80)) ? '?' : *c;
    }
    *to = '\0';
}

static void add(struct wording_details *out, const char *label, char *value)
{
    if (value)
        clean(value);
    if (str_empty(value) || out->count == sizeof out->items / sizeof out->items[0]) {
        free(value);
        return;
    }
    out->items[out->count].label = label;
    out->items[out->count].value = value;
    out->count++;
}

static char *short_digest(const char *digest)
{
    return str_starts(digest, "sha256:") ? mem_strndup(digest, strlen("sha256:") + 12)
                                         : mem_strdup(digest);
}

static char *for_people(int64_t ms)
{
    time_t seconds = (time_t)(ms / 1000);
    char text[64];
    struct tm utc;

    gmtime_r(&seconds, &utc);
    strftime(text, sizeof text, "%e %b %Y, %H:%M UTC", &utc);
    return mem_strdup(text + strspn(text, " "));
}

/* The first so many, and how many more there are. */
static char *first_of(char *const *items, size_t count, const char *between, size_t max)
{
    struct buf out;

    buf_init(&out, 8 * 1024);
    for (size_t i = 0; i < count && i < max; i++)
        if (buf_addf(&out, "%s%s", i ? between : "", items[i]) < 0)
            break;
    if (count > max)
        buf_addf(&out, "%sand %zu more", between, count - max);
    return buf_detach(&out);
}

static void add_revisions(struct wording_details *out, Gantry__V1__Revision *const *revisions,
                          size_t count)
{
    for (size_t i = 0; i < count && i < 4; i++)
        add(out, "Commit", mem_printf("%.8s %s", revisions[i]->commit, revisions[i]->message));
}

static void add_votes(struct wording_details *out, const Gantry__V1__ApprovalRequest *approval)
{
    add(out, "Approvals",
        mem_printf("%zu of %u", wording_votes(approval, GANTRY__V1__VERDICT__VERDICT_APPROVE),
                   approval->count));
    if (approval->rejects > 1)
        add(out, "Rejections",
            mem_printf("%zu of %u", wording_votes(approval, GANTRY__V1__VERDICT__VERDICT_REJECT),
                       approval->rejects));
    for (size_t i = 0; i < approval->n_votes && i < 4; i++) {
        const Gantry__V1__Vote *vote = approval->votes[i];

        add(out, vote->verdict == GANTRY__V1__VERDICT__VERDICT_REJECT ? "Rejected" : "Approved",
            mem_printf("%s%s%s", vote->voter ? vote->voter->name : "", *vote->comment ? ": " : "",
                       vote->comment));
    }
}

static void add_approval(struct wording_details *out, const Gantry__V1__ApprovalRequest *approval)
{
    bool open = approval->verb == GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_OPEN;

    add(out, "Message", mem_strdup(approval->message));
    if (!open)
        add(out, "Reason", mem_strdup(approval->reason));
    add_revisions(out, approval->revisions, approval->n_revisions);
    add(out, "Image", short_digest(approval->digest));
    add(out, "Runs there", short_digest(approval->previous_digest));
    add(out, "Authors", first_of(approval->authors, approval->n_authors, ", ", 10));
    if (open)
        add(out, "Asked", first_of(approval->by, approval->n_by, ", ", 10));
    add_votes(out, approval);
    if (open && approval->expires_ms)
        add(out, "Until", for_people(approval->expires_ms));
}

static void add_finished(struct wording_details *out, const Gantry__V1__Finished *finished)
{
    if (!finished)
        return;
    add(out, "Reason", mem_strdup(finished->reason));
    add(out, "Phase", mem_strdup(finished->phase));
    add(out, "Command", mem_strdup(finished->command));
    if (finished->exit_code)
        add(out, "Exit code", mem_printf("%d", finished->exit_code));
    if (finished->n_log_tail) {
        size_t skip = finished->n_log_tail > LOG_LINES ? finished->n_log_tail - LOG_LINES : 0;

        add(out, WORDING_LOG,
            first_of(finished->log_tail + skip, finished->n_log_tail - skip, "\n", LOG_LINES));
    }
}

static void add_started(struct wording_details *out, const Gantry__V1__ReleaseStarted *started)
{
    add_revisions(out, started->revisions, started->n_revisions);
    if (started->failed_release)
        add(out, "Failed", mem_printf("release %llu", (unsigned long long)started->failed_release));
    if (started->rollback_to)
        add(out, "Back to", mem_printf("release %llu", (unsigned long long)started->rollback_to));
    if (started->starter)
        add(out, "Started by", mem_strdup(started->starter->name));
    add(out, "Reason", mem_strdup(started->reason));
}

/* "release 41 is in there, soak". */
static void add_held(struct wording_details *out, const Gantry__V1__StageWaiting *waiting)
{
    struct buf text;

    buf_init(&text, 8 * 1024);
    for (size_t i = 0; i < waiting->n_held_by; i++) {
        const char *held = waiting->held_by[i], *colon = strchr(held, ':');

        buf_adds(&text, i ? ", " : "");
        if (str_starts(held, "occupied:"))
            buf_addf(&text, "release %s is in there", colon + 1);
        else if (str_starts(held, "behind:"))
            buf_addf(&text, "behind release %s", colon + 1);
        else if (str_starts(held, "freeze:"))
            buf_addf(&text, "%s is frozen", colon + 1);
        else if (str_starts(held, "pinned:"))
            buf_addf(&text, "%s is pinned", colon + 1);
        else
            buf_adds(&text, held);
    }
    add(out, "Held by", buf_detach(&text));
    if (waiting->look_again_ms)
        add(out, "Until", for_people(waiting->look_again_ms));
}

static void add_person(struct wording_details *out, const Gantry__V1__ReleaseEvent *event,
                       const Gantry__V1__Actor *by, const char *reason)
{
    add(out, "By", mem_strdup(wording_actor(event, by)));
    add(out, "Reason", mem_strdup(reason));
}

/* Between the stages: what people did, what checks said. False: it is none of these. */
static bool add_steering(struct wording_details *out, const Gantry__V1__ReleaseEvent *event)
{
    char human[32];

    switch (event->fact_case) {
    case FACT(TRANSITION_SET):
        add_person(out, event, event->transition_set->by, event->transition_set->reason);
        return true;
    case FACT(RELEASE_PROMOTED):
        add(out, "Gates",
            first_of(event->release_promoted->gates, event->release_promoted->n_gates, ", ", 10));
        add_person(out, event, NULL, "");
        return true;
    case FACT(GATE_OVERRIDDEN):
        add(out, "Gate", mem_strdup(event->gate_overridden->gate));
        add_person(out, event, event->gate_overridden->by, event->gate_overridden->reason);
        return true;
    case FACT(CHECK_ANSWERED):
        add(out, "Reason", mem_strdup(event->check_answered->reason));
        if (event->check_answered->ask_again_ms && !event->check_answered->yes)
            add(out, "Asked again", for_people(event->check_answered->ask_again_ms));
        return true;
    case FACT(ENVIRONMENT_PINNED):
        add(out, "Environment", mem_strdup(event->environment_pinned->environment));
        add(out, "Image", short_digest(event->environment_pinned->digest));
        add_person(out, event, event->environment_pinned->by, event->environment_pinned->reason);
        return true;
    case FACT(ACTION_SILENT):
        clock_human(event->action_silent->silent_ms, human);
        add(out, "Action", mem_strdup(event->action_silent->action));
        add(out, "Silent for", mem_strdup(human));
        add(out, "Note",
            mem_strdup("It goes on; it counts as lost once it is silent for as long as"
                       " its lost-after says."));
        return true;
    default:
        return false;
    }
}

static void add_builds(struct wording_details *out, const Gantry__V1__BatchPlan *plan)
{
    struct buf names;

    buf_init(&names, 64 * 1024);
    for (size_t i = 0; plan && i < plan->n_builds; i++)
        buf_addf(&names, "%s%s", i ? ", " : "", plan->builds[i]->identifier);
    add(out, "Builds", buf_detach(&names));
}

void wording_details(const Gantry__V1__ReleaseEvent *event, struct wording_details *out)
{
    memset(out, 0, sizeof *out);
    if (add_steering(out, event)) {
        add(out, "When", for_people(event->time_ms));
        return;
    }
    switch (event->fact_case) {
    case FACT(RELEASE_STARTED):
        add_started(out, event->release_started);
        break;
    case FACT(STAGE_WAITING):
        add_held(out, event->stage_waiting);
        break;
    case FACT(STAGE_ENTERED):
        add(out, "Reason", mem_strdup(event->stage_entered->reason));
        break;
    case FACT(RELEASE_ENDED):
        add(out, "Reason", mem_strdup(event->release_ended->reason));
        if (event->release_ended->superseded_by)
            add(out, "Superseded",
                mem_printf("by %s/%llu", event->pipeline,
                           (unsigned long long)event->release_ended->superseded_by));
        break;
    case FACT(STAGE_ENDED):
        add(out, "Reason", mem_strdup(event->stage_ended->reason));
        break;
    case FACT(BATCH_PLANNED):
        add_builds(out, event->batch_planned->finished->batch);
        break;
    case FACT(ACTION_ENDED):
        add_finished(out, event->action_ended->finished);
        if (!event->action_ended->finished)
            add(out, "Reason", mem_strdup(event->action_ended->reason));
        break;
    case FACT(APPROVAL_OPENED):
        add_approval(out, event->approval_opened->approval);
        break;
    case FACT(VOTE_COUNTED):
        add_approval(out, event->vote_counted->approval);
        break;
    case FACT(APPROVAL_CLOSED):
        add_approval(out, event->approval_closed->approval);
        break;
    default:
        break;
    }
    add(out, "When", for_people(event->time_ms));
}

void wording_details_release(struct wording_details *details)
{
    for (size_t i = 0; i < details->count; i++)
        free(details->items[i].value);
    details->count = 0;
}
