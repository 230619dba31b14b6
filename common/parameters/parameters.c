#include "parameters/parameters.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "parameters/internal.h"
#include "secret/secret.h"

#define LINE_MIN 4

/* ---- values ---- */

void parameter_values_release(struct parameter_values *values)
{
    if (!values)
        return;
    for (size_t i = 0; i < values->count; i++) {
        mem_wipe(values->items[i].value, strlen(values->items[i].value));
        free(values->items[i].value);
        free(values->items[i].variable);
    }
    free(values->items);
    free(values);
}

void parameter_values_masks(const struct parameter_values *values,
                            void (*mask)(const char *text, size_t len, void *arg), void *arg)
{
    for (size_t i = 0; values && i < values->count; i++) {
        const char *text = values->items[i].value;
        if (*text)
            mask(text, strlen(text), arg);
        while (strchr(values->items[i].value, '\n') && *text) {
            size_t len = strcspn(text, "\n"), shown = len;
            if (shown > 0 && text[shown - 1] == '\r')
                shown--;
            if (shown >= LINE_MIN)
                mask(text, shown, arg);
            text += len + (text[len] == '\n');
        }
    }
}

/* ---- a call ---- */

static void call_free(struct parameters_call *call)
{
    if (call->parameters)
        LIST_REMOVE(call, link);
    loop_timer_free(call->start);
    aws_questions_free(call);
    for (size_t i = 0; i < call->count; i++) {
        free(call->wants[i].variable);
        secret_ref_release(&call->wants[i].ref);
        secret_release(&call->wants[i].value);
    }
    free(call->wants);
    free(call->pipeline);
    free(call);
}

static struct parameter_values *take_values(struct parameters_call *call)
{
    struct parameter_values *values = mem_alloc(sizeof(*values));

    values->items = mem_alloc((call->count + 1) * sizeof(*values->items));
    for (size_t i = 0; i < call->count; i++) {
        struct want *want = &call->wants[i];
        values->items[i].variable = want->variable;
        values->items[i].value = buf_detach(&want->value);
        want->variable = NULL;
    }
    values->count = call->count;
    return values;
}

/* A variable of a process ends at a NUL. */
static void refuse_binary(struct parameters_call *call)
{
    for (size_t i = 0; i < call->count && !call->err.code; i++) {
        const struct buf *value = &call->wants[i].value;
        if (value->len > 0 && memchr(value->data, '\0', value->len)) {
            call->at = i;
            err_set(&call->err, ERR_INVALID,
                    "the value has a zero byte, which no variable can hold");
        }
    }
}

void call_finish(struct parameters_call *call)
{
    struct parameter_values *values = NULL;

    if (!call->err.code)
        refuse_binary(call);
    if (!call->err.code)
        values = take_values(call);
    else if (call->at < call->count && call->wants[call->at].variable)
        err_wrap(&call->err, "env.%s.%s",
                 call->wants[call->at].secret ? "secrets-manager" : "parameter-store",
                 call->wants[call->at].variable);
    LIST_REMOVE(call, link);
    call->parameters = NULL; /* from here on it cannot be cancelled */
    call->done(values, &call->err, call->arg);
    call_free(call);
}

/* ---- the store ---- */

static int get_all(const struct secret_store *store, void *arg, struct err *err)
{
    struct parameters_call *call = arg;

    for (call->at = 0; call->at < call->count; call->at++) {
        struct want *want = &call->wants[call->at];
        secret_release(&want->value);
        if (secret_store_get(store, &want->ref, call->pipeline, call->grants, &want->value, err) <
            0)
            return -1;
    }
    return 0;
}

static void drop(void *arg)
{
    struct parameters_call *call = arg;

    call->in_vault = false;
    if (!call->parameters)
        call_free(call);
}

static void got_all(const struct err *err, void *arg)
{
    struct parameters_call *call = arg;

    call->in_vault = false;
    call->err = *err;
    if (call->parameters)
        call_finish(call);
    else
        call_free(call);
}

/* ---- grants, where AWS has the values ---- */

static bool is_granted(const struct parameters_call *call, const struct want *want)
{
    return secret_granted(call->grants, call->pipeline, want->ref.name) ||
           (want->ref.other && secret_granted(call->grants, call->pipeline, want->ref.other));
}

static int check_all(const struct secret_store *store, void *arg, struct err *err)
{
    struct parameters_call *call = arg;

    call->looked = true;
    for (call->at = 0; call->at < call->count; call->at++) {
        const struct want *want = &call->wants[call->at];
        if (secret_store_check(store, &want->ref, call->pipeline, call->grants, err) < 0)
            return -1;
    }
    return 0;
}

static void checked_all(const struct err *err, void *arg)
{
    struct parameters_call *call = arg;

    call->in_vault = false;
    if (!call->parameters) {
        call_free(call);
    } else if (err->code) {
        call->err = *err;
        if (!call->looked)
            err_wrap(&call->err,
                     "the pipeline '%s' may not read '%.300s' by builder.grants, and other grants "
                     "cannot be read",
                     call->pipeline, call->wants[call->at].ref.name);
        call_finish(call);
    } else {
        aws_ask(call);
    }
}

static void begin_aws(struct parameters_call *call)
{
    struct vault *vault = call->parameters->conf.vault;

    for (call->at = 0; call->at < call->count; call->at++) {
        if (!is_granted(call, &call->wants[call->at]))
            break;
    }
    if (call->at == call->count) {
        aws_ask(call);
    } else if (vault) {
        call->in_vault = true;
        vault_run(vault, check_all, checked_all, drop, call);
    } else {
        secret_grant_refuse(call->pipeline, call->wants[call->at].ref.name, &call->err);
        call_finish(call);
    }
}

static void begin(void *arg)
{
    struct parameters_call *call = arg;
    const struct parameters_conf *conf = &call->parameters->conf;

    if (call->err.code || call->count == 0) {
        call_finish(call);
    } else if (conf->from_aws) {
        begin_aws(call);
    } else if (conf->vault) {
        call->in_vault = true;
        vault_run(conf->vault, get_all, got_all, drop, call);
    } else {
        err_set(&call->err, ERR_DENIED, "this builder has no secret store: %s",
                call->parameters->why_no_vault);
        call_finish(call);
    }
}

struct parameters_call *parameters_resolve(struct parameters *parameters, const char *pipeline,
                                           const struct parameter_want *wants, size_t count,
                                           parameters_done_fn *done, void *arg)
{
    struct parameters_call *call = mem_alloc(sizeof(*call));

    call->parameters = parameters;
    call->grants = parameters->conf.grants;
    call->pipeline = mem_strdup(pipeline);
    call->done = done;
    call->arg = arg;
    call->wants = mem_alloc((count + 1) * sizeof(*call->wants));
    call->start = loop_timer_new(parameters->conf.loop, begin, call);
    if (count > PARAMETERS_MAX)
        err_set(&call->err, ERR_LIMIT, "a build may ask for %d parameters and secrets at most",
                PARAMETERS_MAX);
    for (size_t i = 0; i < count && !call->err.code; i++) {
        struct want *want = &call->wants[i];
        call->at = call->count++;
        want->variable = mem_strdup(wants[i].variable);
        want->secret = wants[i].secret;
        buf_init(&want->value, SECRET_VALUE_MAX);
        if (wants[i].secret)
            secret_ref_secret(&want->ref, wants[i].reference, &call->err);
        else
            secret_ref_parameter(&want->ref, wants[i].reference, &call->err);
    }
    LIST_INSERT_HEAD(&parameters->calls, call, link);
    loop_timer_arm(call->start, 0);
    return call;
}

void parameters_cancel(struct parameters_call *call)
{
    if (!call || !call->parameters)
        return;
    aws_questions_free(call);
    if (!call->in_vault) {
        call_free(call);
        return;
    }
    LIST_REMOVE(call, link);
    call->parameters = NULL;
}

/* ---- all of it ---- */

struct parameters *parameters_new(const struct parameters_conf *conf)
{
    struct parameters *parameters = mem_alloc(sizeof(*parameters));

    parameters->conf = *conf;
    parameters->why_no_vault = mem_strdup(conf->why_no_vault ? conf->why_no_vault : "none is set");
    LIST_INIT(&parameters->calls);
    return parameters;
}

void parameters_free(struct parameters *parameters)
{
    if (!parameters)
        return;
    while (!LIST_EMPTY(&parameters->calls))
        parameters_cancel(LIST_FIRST(&parameters->calls));
    free(parameters->why_no_vault);
    free(parameters);
}
