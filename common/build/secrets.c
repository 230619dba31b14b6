/* What env.parameter-store and env.secrets-manager name, and that no log shows it. */
#include <stdio.h>

#include "base/buf.h"
#include "base/hex.h"
#include "base/mem.h"
#include "build/internal.h"
#include "mask/mask.h"
#include "parameters/parameters.h"

/* An execve() takes no more than 2 MiB of arguments and variables. */
#define BYTES_MAX (1024 * 1024)
#define SHOW_MS   100
#define EXPANDS   3 /* a byte can become MASK_TEXT */

struct build_secrets {
    struct parameters_call *call;    /* under way */
    struct parameter_values *values; /* until the commands have them */
    void (*next)(struct build *build);
    struct mask *mask;
    struct mask_stream *output;
    struct loop_timer *show;
    struct report_mask in_reports;
    struct err err; /* of filling the mask */
};

/* ---- what is hidden ---- */

static void hide(const char *text, size_t len, void *arg)
{
    struct build_secrets *secrets = arg;
    if (secrets->err.code == ERR_NONE)
        mask_add(secrets->mask, text, len, &secrets->err);
}

/* As it is, and as git shows it in a trace of what it sends (RFC 7617). */
static void hide_login(const struct git_login *login, struct build_secrets *secrets)
{
    char *pair = mem_printf("%s:%s", login->user, login->password);
    char *basic = base64_encode(pair, strlen(pair));
    if (*login->password)
        hide(login->password, strlen(login->password), secrets);
    hide(basic, strlen(basic), secrets);
    mem_wipe(pair, strlen(pair));
    mem_wipe(basic, strlen(basic));
    free(pair);
    free(basic);
}

char *build_masked(const struct build *build, const char *text)
{
    struct buf out;
    if (!text || !build->secrets || !build->secrets->output)
        return mem_strdup(text);
    const size_t len = strlen(text);
    buf_init(&out, EXPANDS * len + 1);
    mask_text(build->secrets->mask, text, len, &out);
    return buf_detach(&out);
}

static void hide_in_report(const char *text, size_t len, bool cut, struct buf *out, const void *arg)
{
    const struct build_secrets *secrets = arg;
    if (!cut) {
        mask_text(secrets->mask, text, len, out);
        return;
    }
    struct mask_stream *stream = mask_stream_new(secrets->mask);
    mask_stream_add(stream, text, len, out);
    mask_stream_free(stream);
}

const struct report_mask *build_report_mask(const struct build *build)
{
    return build->secrets ? &build->secrets->in_reports : NULL;
}

static bool give(struct build *build, struct buf *out)
{
    bool more = out->len == 0 || build_put(build, out->data, out->len);
    buf_release(out);
    return more;
}

bool build_log(struct build *build, const char *data, size_t len)
{
    struct build_secrets *secrets = build->secrets;
    struct buf out;
    if (!secrets || !secrets->output)
        return build_put(build, data, len);
    buf_init(&out, EXPANDS * (len + mask_stream_held(secrets->output)));
    mask_stream_add(secrets->output, data, len, &out);
    if (!mask_stream_held(secrets->output))
        loop_timer_cancel(secrets->show);
    else
        loop_timer_arm(secrets->show, SHOW_MS);
    return give(build, &out);
}

void build_flush(struct build *build)
{
    struct build_secrets *secrets = build->secrets;
    struct buf out;
    if (!secrets || !secrets->output)
        return;
    loop_timer_cancel(secrets->show);
    buf_init(&out, EXPANDS * mask_stream_held(secrets->output));
    mask_stream_flush(secrets->output, &out);
    give(build, &out);
}

static void on_show(void *arg)
{
    struct build *build = arg;
    struct buf out;
    buf_init(&out, EXPANDS * MASK_SHORT);
    mask_stream_show(build->secrets->output, &out);
    give(build, &out);
}

/* ---- what is asked for ---- */

/* The value that the release or the action gives the variable: it wins over the buildspec's. */
static const char *given(const struct build *build, const char *name)
{
    const Gantry__V1__ActionRequest *req = build->request;
    const char *value = NULL;
    for (size_t i = 0; i < req->build->n_env; i++) {
        if (str_eq(req->build->env[i]->key, name))
            value = req->build->env[i]->value;
    }
    for (size_t i = 0; i < req->n_variables; i++) {
        if (str_eq(req->variables[i]->key, name))
            value = req->variables[i]->value;
    }
    return value;
}

struct wants {
    struct parameter_want *items; /* references are their own */
    size_t count;
    struct parameter_value *given; /* of the request */
    size_t given_count;
};

/* `reference` is taken over. */
static void want(const struct build *build, struct wants *wants, char *name, char *reference,
                 bool secret)
{
    const char *value = given(build, name);
    if (value) {
        wants->given[wants->given_count++] =
            (struct parameter_value){.variable = name, .value = (char *)value};
        free(reference);
    } else {
        wants->items[wants->count++] =
            (struct parameter_want){.variable = name, .reference = reference, .secret = secret};
    }
}

static void collect(const struct build *build, struct wants *wants)
{
    const struct buildspec *spec = build->spec;
    const size_t count = spec->parameter_count + spec->secret_count;
    *wants = (struct wants){.items = mem_alloc(count * sizeof(*wants->items)),
                            .given = mem_alloc(count * sizeof(*wants->given))};
    for (size_t i = 0; i < spec->parameter_count; i++)
        want(build, wants, spec->parameters[i].key, mem_strdup(spec->parameters[i].value), false);
    for (size_t i = 0; i < spec->secret_count; i++) {
        const struct buildspec_secret *s = &spec->secrets[i];
        want(build, wants, s->name,
             mem_printf("%s:%s:%s:%s", s->id, s->json_key ? s->json_key : "",
                        s->version_stage ? s->version_stage : "",
                        s->version_id ? s->version_id : ""),
             true);
    }
}

static void release(struct wants *wants)
{
    for (size_t i = 0; i < wants->count; i++)
        free((char *)wants->items[i].reference);
    free(wants->items);
    free(wants->given);
}

/* ---- what is answered ---- */

static void fail(struct build *build, const struct err *err)
{
    build_mark(build, "%s", err->msg);
    build_fail(build, PHASE_DOWNLOAD_SOURCE, err->msg, NULL, 0);
}

static int check_size(const struct parameter_values *values, struct err *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < values->count; i++)
        bytes += strlen(values->items[i].value);
    return bytes <= BYTES_MAX
               ? 0
               : err_set(err, ERR_LIMIT,
                         "the build's parameters and secrets are longer than %d KiB together, "
                         "which is more than commands can have in their environment",
                         BYTES_MAX >> 10);
}

static void go_on(struct build *build)
{
    struct build_secrets *secrets = build->secrets;
    if (secrets->err.code != ERR_NONE) {
        fail(build, &secrets->err);
        return;
    }
    secrets->output = mask_stream_new(secrets->mask);
    secrets->next(build);
}

static void on_values(struct parameter_values *values, const struct err *err, void *arg)
{
    struct build *build = arg;
    struct build_secrets *secrets = build->secrets;
    secrets->call = NULL;
    secrets->values = values;
    if (build->stopping || build->decided)
        return; /* only the whole log is waited for */
    if (!values) {
        fail(build, err);
        return;
    }
    if (check_size(values, &secrets->err) == 0)
        parameter_values_masks(values, hide, secrets);
    go_on(build);
}

/* As `gantry build --local`: somebody has to give the values. */
static void refuse(struct build *build, const struct parameter_want *want)
{
    const struct buildspec_lines *lines = &build->spec->lines;
    struct err err = {0};
    err_set(&err, ERR_NOT_FOUND,
            "%s:%d: env.%s.%s: there is no store of parameters and secrets here; give the value "
            "with --env %s (the one it has here) or --env %s=VALUE",
            build->request->build->buildspec, want->secret ? lines->secrets : lines->parameters,
            want->secret ? "secrets-manager" : "parameter-store", want->variable, want->variable,
            want->variable);
    fail(build, &err);
}

void build_secrets_get(struct build *build, void (*next)(struct build *build))
{
    struct parameters *parameters = build->env->parameters;
    struct wants wants;
    if (!build->spec->parameter_count && !build->spec->secret_count && !build->login.server) {
        next(build);
        return;
    }
    struct build_secrets *secrets = mem_alloc(sizeof(*secrets));
    secrets->next = next;
    secrets->mask = mask_new();
    secrets->in_reports = (struct report_mask){.hide = hide_in_report, .arg = secrets};
    secrets->show = loop_timer_new(build->env->loop, on_show, build);
    build->secrets = secrets;
    collect(build, &wants);
    parameter_values_masks(
        &(struct parameter_values){.items = wants.given, .count = wants.given_count}, hide,
        secrets);
    if (build->login.server)
        hide_login(&build->login, secrets);
    if (!wants.count)
        go_on(build);
    else if (!parameters)
        refuse(build, &wants.items[0]);
    else
        secrets->call = parameters_resolve(parameters, build->request->pipeline, wants.items,
                                           wants.count, on_values, build);
    release(&wants);
}

/* ---- the commands' environment ---- */

const struct parameter_values *build_secrets_values(const struct build *build)
{
    return build->secrets ? build->secrets->values : NULL;
}

void build_secrets_forget(struct build *build, struct strv *env)
{
    if (build->secrets) {
        parameter_values_release(build->secrets->values);
        build->secrets->values = NULL;
    }
    git_login_release(&build->login);
    for (size_t i = 0; i < env->count; i++)
        mem_wipe(env->items[i], strlen(env->items[i]));
    strv_release(env);
}

void build_secrets_cancel(struct build *build)
{
    if (!build->secrets)
        return;
    parameters_cancel(build->secrets->call);
    build->secrets->call = NULL;
    loop_timer_cancel(build->secrets->show);
}

void build_secrets_free(struct build *build)
{
    struct build_secrets *secrets = build->secrets;
    if (!secrets)
        return;
    parameters_cancel(secrets->call);
    parameter_values_release(secrets->values);
    loop_timer_free(secrets->show);
    mask_stream_free(secrets->output);
    mask_free(secrets->mask);
    free(secrets);
}
