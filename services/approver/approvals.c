#include <jansson.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/str.h"
#include "events/order.h"
#include "gantry/v1/request.pb-c.h"
#include "services/approver/approver.h"

/* Closed approvals that are still shown; older ones are the console's to tell of. */
#define CLOSED_MAX 300

struct approvals {
    struct map *by_id;        /* -> Gantry__V1__ApprovalRequest, owned */
    char *closed[CLOSED_MAX]; /* a ring of ids */
    size_t closed_next;
};

struct approvals *approvals_new(void)
{
    struct approvals *approvals = mem_alloc(sizeof *approvals);

    approvals->by_id = map_new(event_free);
    return approvals;
}

void approvals_free(struct approvals *approvals)
{
    if (!approvals)
        return;
    map_free(approvals->by_id);
    for (size_t i = 0; i < CLOSED_MAX; i++)
        free(approvals->closed[i]);
    free(approvals);
}

static struct event_order order_of(const Gantry__V1__ApprovalRequest *request)
{
    if (!request->order)
        return (struct event_order){0};
    return (struct event_order){request->order->epoch, request->order->sequence,
                                request->order->index};
}

static bool is_closed(const Gantry__V1__ApprovalRequest *request)
{
    return request->verb == GANTRY__V1__APPROVAL_VERB__APPROVAL_VERB_CLOSED;
}

static void remember_closed(struct approvals *approvals, const char *id)
{
    char **slot = &approvals->closed[approvals->closed_next++ % CLOSED_MAX];

    if (*slot)
        map_del(approvals->by_id, *slot);
    free(*slot);
    *slot = mem_strdup(id);
}

void approvals_apply(struct approvals *approvals, Gantry__V1__ApprovalRequest *request)
{
    const Gantry__V1__ApprovalRequest *known = map_get(approvals->by_id, request->approval_id);
    struct event_order order = order_of(request);

    if (known) {
        struct event_order last = order_of(known);

        if (is_closed(known) || !event_order_beyond(&order, &last)) {
            event_free(request);
            return;
        }
    }
    map_set(approvals->by_id, request->approval_id, request);
    if (is_closed(request))
        remember_closed(approvals, request->approval_id);
}

const Gantry__V1__ApprovalRequest *approvals_get(const struct approvals *approvals, const char *id)
{
    return map_get(approvals->by_id, id);
}

/* One Decision opens all gates of a stage: those are told apart by name, as people do. */
static int by_age(const void *a, const void *b)
{
    const Gantry__V1__ApprovalRequest *const *x = a, *const *y = b;
    int order;

    if ((*x)->opened_ms != (*y)->opened_ms)
        return (*x)->opened_ms < (*y)->opened_ms ? -1 : 1;
    order = strcmp((*x)->gate, (*y)->gate);
    return order ? order : strcmp((*x)->approval_id, (*y)->approval_id);
}

/* With whether whoever asks may vote on it, and if not, why. */
static json_t *shown(const Gantry__V1__ApprovalRequest *request, const struct auth_person *person)
{
    const char *obstacle = voter_obstacle(request, person);
    json_t *json = event_to_json(request);

    json_object_set_new(json, "mayVote", json_boolean(!obstacle));
    if (obstacle)
        json_object_set_new(json, "whyNot", json_string(obstacle));
    return json;
}

static void list(struct http_request *req, void *arg)
{
    struct approver *app = arg;
    const char *pipeline = http_req_query(req, "pipeline"), *all = http_req_query(req, "all");
    const Gantry__V1__ApprovalRequest **found;
    struct auth_person person;
    size_t count = 0;
    json_t *out;

    if (approver_person(app, req, AUTH_VIEWER, &person) < 0)
        return;
    found = mem_alloc(sizeof *found * (map_count(app->approvals->by_id) + 1));
    for (struct map_iter it = {0}; map_next(app->approvals->by_id, &it);) {
        const Gantry__V1__ApprovalRequest *request = it.value;

        if ((is_closed(request) && !str_eq(all, "true")) ||
            (pipeline && !str_eq(pipeline, request->pipeline)))
            continue;
        found[count++] = request;
    }
    qsort(found, count, sizeof *found, by_age);
    out = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(out, shown(found[i], &person));
    free(found);
    auth_person_release(&person);
    http_reply_json(req, 200, json_pack("{s:o}", "approvals", out));
}

static void get(struct http_request *req, void *arg)
{
    struct approver *app = arg;
    const Gantry__V1__ApprovalRequest *request =
        approvals_get(app->approvals, http_req_param(req, "id"));
    struct auth_person person;

    if (approver_person(app, req, AUTH_VIEWER, &person) < 0)
        return;
    if (request)
        http_reply_json(req, 200, shown(request, &person));
    else
        http_reply_problem(req, 404, NULL,
                           "no such approval; GET /api/v1/approvals lists those that are open");
    auth_person_release(&person);
}

void approvals_routes(struct approver *app)
{
    http_route(app->svc->http, "GET", "/api/v1/approvals", 0, list, app);
    http_route(app->svc->http, "GET", "/api/v1/approvals/{id}", 0, get, app);
}
