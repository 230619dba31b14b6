/* What people do to the ways between stages: transitions, gates, pins. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "services/console/order.h"

#define GATE_MAX   64
#define DIGEST_MAX 71 /* sha256: and 64 digits */

void rest_transition(struct call *call)
{
    Gantry__V1__SetTransition set = GANTRY__V1__SET_TRANSITION__INIT;
    const char *stage, *reason;
    struct order order;
    json_t *body;

    if (!order_begin(call, &order, "transition") || !param_name(call, "stage", &stage) ||
        !order_body(call, "enabled,reason", &body))
        return;
    json_t *enabled = json_object_get(body, "enabled");
    order.command.what_case = GANTRY__V1__COMMAND__WHAT_TRANSITION;
    order.command.transition = &set;
    snprintf(order.wait.part, sizeof(order.wait.part), "%s", stage);
    set.stage = order.wait.part;
    set.enabled = json_is_true(enabled);
    if (!json_is_boolean(enabled)) {
        order_refuse(call, "enabled", "must be true or false");
    } else if (order_text(call, body, "reason", ORDER_REASON_MAX, &reason)) {
        set.reason = (char *)reason;
        if (!set.enabled && str_empty(reason))
            order_refuse(call, "reason", "is needed to disable: who waits there reads it");
        else
            order_send(call, &order);
    }
    json_decref(body);
}

void rest_promote(struct call *call)
{
    Gantry__V1__PromoteRelease promote = GANTRY__V1__PROMOTE_RELEASE__INIT;
    const char *stage;
    struct order order;
    json_t *body;

    if (!order_begin(call, &order, "promote") || !order_release(call, &order) ||
        !param_name(call, "stage", &stage) || !order_body(call, "", &body))
        return;
    order.command.what_case = GANTRY__V1__COMMAND__WHAT_PROMOTE;
    order.command.promote = &promote;
    promote.release = order.wait.release;
    promote.stage = (char *)stage;
    order_send(call, &order);
    json_decref(body);
}

void rest_override(struct call *call)
{
    Gantry__V1__OverrideGate override = GANTRY__V1__OVERRIDE_GATE__INIT;
    const char *stage, *gate, *reason;
    struct order order;
    json_t *body;

    if (!order_begin(call, &order, "override") || !order_release(call, &order) ||
        !param_name(call, "stage", &stage) || !param_name(call, "gate", &gate) ||
        !order_body(call, "reason", &body))
        return;
    order.command.what_case = GANTRY__V1__COMMAND__WHAT_OVERRIDE_GATE;
    order.command.override_gate = &override;
    override.release = order.wait.release;
    override.stage = (char *)stage;
    override.gate = (char *)gate;
    if (order_text(call, body, "reason", ORDER_REASON_MAX, &reason)) {
        override.reason = (char *)reason;
        if (str_empty(reason))
            order_refuse(call, "reason", "is needed: it is kept in the audit and sent to people");
        else
            order_send(call, &order);
    }
    json_decref(body);
}

static bool is_digest(const char *text)
{
    return str_starts(text, "sha256:") && strlen(text) == DIGEST_MAX &&
           strspn(text + strlen("sha256:"), "0123456789abcdef") == DIGEST_MAX - strlen("sha256:");
}

static void send_pin(struct call *call, struct order *order, json_t *body, bool pinned)
{
    Gantry__V1__PinEnvironment pin = GANTRY__V1__PIN_ENVIRONMENT__INIT;
    const char *digest, *reason;

    order->command.what_case = GANTRY__V1__COMMAND__WHAT_PIN;
    order->command.pin = &pin;
    pin.environment = order->wait.part;
    pin.pinned = pinned;
    if (!order_text(call, body, "digest", DIGEST_MAX, &digest) ||
        !order_text(call, body, "reason", ORDER_REASON_MAX, &reason))
        return;
    pin.digest = (char *)digest;
    pin.reason = (char *)reason;
    if (!str_empty(digest) && !is_digest(digest))
        order_refuse(call, "digest",
                     "must be sha256: and 64 hex digits; left out, it is what runs"
                     " there");
    else if (pinned && str_empty(reason))
        order_refuse(call, "reason", "is needed to pin: who waits there reads it");
    else
        order_send(call, order);
}

static void pin_or_unpin(struct call *call, bool pinned)
{
    const char *environment;
    struct order order;
    json_t *body;

    if (!order_begin(call, &order, "pin") || !param_name(call, "environment", &environment) ||
        !order_body(call, pinned ? "digest,reason" : "reason", &body))
        return;
    snprintf(order.wait.part, sizeof(order.wait.part), "%s", environment);
    send_pin(call, &order, body, pinned);
    json_decref(body);
}

void rest_pin(struct call *call)
{
    pin_or_unpin(call, true);
}

void rest_unpin(struct call *call)
{
    pin_or_unpin(call, false);
}
