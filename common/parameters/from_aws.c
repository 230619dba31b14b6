#include <stdlib.h>
#include <string.h>

#include "aws/secrets.h"
#include "base/mem.h"
#include "base/str.h"
#include "parameters/internal.h"
#include "secret/secret.h"

/* One call to AWS, and the wants that it answers: ten parameters, one with a version, or one
 * secret. */
struct question {
    struct parameters_call *call;
    struct aws_call *aws;
    size_t *wants;
    size_t want_count;
};

void aws_questions_free(struct parameters_call *call)
{
    for (size_t i = 0; i < call->question_count; i++) {
        aws_call_cancel(call->questions[i].aws);
        free(call->questions[i].wants);
    }
    free(call->questions);
    call->questions = NULL;
    call->question_count = 0;
}

static bool is_same_secret(const struct want *a, const struct want *b)
{
    return str_eq(a->ref.id, b->ref.id) && str_eq(a->ref.stage, b->ref.stage) &&
           str_eq(a->ref.version, b->ref.version);
}

static bool is_plain_parameter(const struct want *want)
{
    return !want->secret && !want->ref.stage && !want->ref.version;
}

static bool has_parameter(const struct question *question, const struct want *want)
{
    for (size_t i = 0; i < question->want_count; i++) {
        if (str_eq(question->call->wants[question->wants[i]].ref.id, want->ref.id))
            return true;
    }
    return false;
}

/* How many different parameters it asks for. */
static size_t name_count(const struct question *question)
{
    const struct want *wants = question->call->wants;
    size_t count = 0;

    for (size_t i = 0; i < question->want_count; i++) {
        size_t j = 0;
        while (!str_eq(wants[question->wants[j]].ref.id, wants[question->wants[i]].ref.id))
            j++;
        count += j == i;
    }
    return count;
}

static bool fits(const struct question *question, const struct want *want)
{
    const struct want *first = &question->call->wants[question->wants[0]];

    if (first->secret != want->secret)
        return false;
    if (want->secret)
        return is_same_secret(first, want);
    if (has_parameter(question, want))
        return true;
    return is_plain_parameter(first) && is_plain_parameter(want) &&
           name_count(question) < SSM_NAMES_MAX;
}

static void plan(struct parameters_call *call)
{
    call->questions = mem_alloc(call->count * sizeof(*call->questions));
    for (size_t i = 0; i < call->count; i++) {
        size_t at = 0;
        while (at < call->question_count && !fits(&call->questions[at], &call->wants[i]))
            at++;
        struct question *question = &call->questions[at];
        if (at == call->question_count) {
            call->question_count++;
            question->call = call;
            question->wants = mem_alloc(call->count * sizeof(*question->wants));
        }
        question->wants[question->want_count++] = i;
    }
}

static int take(struct want *want, const void *value, size_t len, struct err *err)
{
    int rc;

    secret_release(&want->value);
    if (want->ref.json_key)
        return secret_json_member(&want->value, value, len, want->ref.json_key, want->ref.name,
                                  err);
    buf_init(&want->value, len);
    rc = buf_add(&want->value, value, len);
    return rc < 0 ? err_set(err, ERR_LIMIT, "the value is too large") : 0;
}

/* The first error ends all of it. */
static void answered(struct question *question)
{
    struct parameters_call *call = question->call;

    question->aws = NULL;
    if (call->err.code || --call->question_left == 0)
        call_finish(call);
}

static void on_parameters(const struct ssm_parameter *parameters, size_t count,
                          const struct err *err, void *arg)
{
    struct question *question = arg;
    struct parameters_call *call = question->call;

    call->err = *err;
    call->at = question->wants[0];
    for (size_t i = 0; i < question->want_count && !call->err.code; i++) {
        struct want *want = &call->wants[question->wants[i]];
        const char *value = NULL;
        for (size_t j = 0; j < count; j++) {
            if (str_eq(parameters[j].name, want->ref.id))
                value = parameters[j].value;
        }
        call->at = question->wants[i];
        if (!value)
            err_set(&call->err, ERR_NOT_FOUND, "SSM has no parameter '%.300s' in this region",
                    want->ref.id);
        else
            take(want, value, strlen(value), &call->err);
    }
    answered(question);
}

static void on_secret(const struct secret_value *value, const struct err *err, void *arg)
{
    struct question *question = arg;
    struct parameters_call *call = question->call;

    call->err = *err;
    call->at = question->wants[0];
    for (size_t i = 0; i < question->want_count && !call->err.code; i++) {
        call->at = question->wants[i];
        take(&call->wants[question->wants[i]], value->data, value->len, &call->err);
    }
    answered(question);
}

static struct aws_call *ask_parameters(struct question *question)
{
    const char *names[SSM_NAMES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < question->want_count; i++) {
        const char *id = question->call->wants[question->wants[i]].ref.id;
        size_t j = 0;
        while (j < count && !str_eq(names[j], id))
            j++;
        if (j == count)
            names[count++] = id;
    }
    return ssm_get(question->call->parameters->conf.aws, names, count, on_parameters, question);
}

void aws_ask(struct parameters_call *call)
{
    plan(call);
    call->question_left = call->question_count;
    for (size_t i = 0; i < call->question_count; i++) {
        struct question *question = &call->questions[i];
        const struct want *first = &call->wants[question->wants[0]];
        question->aws = first->secret ? secrets_manager_get(call->parameters->conf.aws,
                                                            first->ref.id, first->ref.stage,
                                                            first->ref.version, on_secret, question)
                                      : ask_parameters(question);
    }
}
