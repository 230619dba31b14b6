#include "aws/secrets.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "aws/internal.h"
#include "base/hex.h"
#include "base/mem.h"

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

/* Sets *err where the answer is no JSON object. */
static json_t *parse(struct aws_call *call, const struct http_response *response, struct err *err)
{
    json_t *json;

    if (!response)
        return NULL;
    json = json_loadb(response->body, response->len, 0, NULL);
    if (!json_is_object(json))
        err_set(err, ERR_INVALID, "%s %s %s: the answer is no JSON",
                aws_service_title(call->service), call->operation, call->subject);
    return json;
}

/* ---- Parameter Store ---- */

struct ssm_names {
    struct strv names;
};

static void names_free(void *arg)
{
    struct ssm_names *asked = arg;

    strv_release(&asked->names);
    free(asked);
}

/* The answer has the name, what selected the version, and the ARN apart. */
static bool is_asked(const json_t *parameter, const char *asked)
{
    const char *selector = text(parameter, "Selector");
    const size_t len = strlen(asked), selector_len = strlen(selector);
    const char *const names[] = {text(parameter, "Name"), text(parameter, "ARN")};

    if (selector_len > len || !str_eq(asked + len - selector_len, selector))
        return false;
    for (size_t i = 0; i < 2; i++) {
        if (strlen(names[i]) == len - selector_len &&
            strncmp(asked, names[i], len - selector_len) == 0)
            return true;
    }
    return false;
}

/* `only`: nothing else was asked for. */
static const char *value_of(const json_t *parameters, const char *asked, bool only)
{
    const json_t *parameter;
    size_t i;

    json_array_foreach(parameters, i, parameter)
    {
        if (only || is_asked(parameter, asked))
            return json_string_value(json_object_get(parameter, "Value"));
    }
    return NULL;
}

static void ssm_answered(struct aws_call *call, const struct http_response *response,
                         const struct err *err)
{
    const struct ssm_names *asked = call->result;
    ssm_done_fn *done = (ssm_done_fn *)call->done;
    struct ssm_parameter found[SSM_NAMES_MAX];
    struct err own = *err;
    json_t *json = parse(call, response, &own);

    for (size_t i = 0; i < asked->names.count; i++)
        found[i] = (struct ssm_parameter){asked->names.items[i],
                                          value_of(json_object_get(json, "Parameters"),
                                                   asked->names.items[i], asked->names.count == 1)};
    done(own.code ? NULL : found, own.code ? 0 : asked->names.count, &own, call->arg);
    aws_json_wipe(json);
    names_free(call->result);
}

struct aws_call *ssm_get(struct aws *aws, const char *const *names, size_t count, ssm_done_fn *done,
                         void *arg)
{
    struct ssm_names *asked = mem_alloc(sizeof(*asked));
    json_t *list = json_array();
    struct aws_call *call;

    for (size_t i = 0; i < count && i < SSM_NAMES_MAX; i++) {
        strv_add(&asked->names, names[i]);
        json_array_append_new(list, json_string(names[i]));
    }
    call = aws_json_call(aws, AWS_SSM, "AmazonSSM.GetParameters",
                         mem_printf("%s%s", count ? names[0] : "", count > 1 ? " and others" : ""),
                         json_pack("{s:o, s:b}", "Names", list, "WithDecryption", 1), ssm_answered);
    call->result = asked;
    call->drop = names_free;
    call->done = (void (*)(void))done;
    call->arg = arg;
    if (count == 0 || count > SSM_NAMES_MAX)
        err_set(&call->failure, ERR_INVALID, "1 to %d names at once", SSM_NAMES_MAX);
    return call;
}

/* ---- Secrets Manager ---- */

static void secret_answered(struct aws_call *call, const struct http_response *response,
                            const struct err *err)
{
    secret_done_fn *done = (secret_done_fn *)call->done;
    struct secret_value value = {0};
    struct err own = *err;
    json_t *json = parse(call, response, &own);
    const json_t *string = json_object_get(json, "SecretString");
    const json_t *binary = json_object_get(json, "SecretBinary");
    uint8_t *decoded = NULL;
    size_t decoded_len = 0;

    value.version_id = text(json, "VersionId");
    if (json_is_string(string)) {
        value.data = json_string_value(string);
        value.len = json_string_length(string);
    } else if (json_is_string(binary) &&
               base64_decode(json_string_value(binary), json_string_length(binary), &decoded,
                             &decoded_len) == 0) {
        value.data = decoded = mem_realloc(decoded, decoded_len + 1, 1);
        decoded[decoded_len] = '\0';
        value.len = decoded_len;
    } else if (!own.code) {
        err_set(&own, ERR_INVALID, "Secrets Manager GetSecretValue %s: the answer has no value",
                call->subject);
    }
    done(&value, &own, call->arg);
    if (decoded)
        mem_wipe(decoded, decoded_len);
    free(decoded);
    aws_json_wipe(json);
}

struct aws_call *secrets_manager_get(struct aws *aws, const char *id, const char *stage,
                                     const char *version_id, secret_done_fn *done, void *arg)
{
    json_t *body = json_pack("{s:s}", "SecretId", id);
    struct aws_call *call;

    if (!str_empty(stage))
        json_object_set_new(body, "VersionStage", json_string(stage));
    if (!str_empty(version_id))
        json_object_set_new(body, "VersionId", json_string(version_id));
    call = aws_json_call(aws, AWS_SECRETS_MANAGER, "secretsmanager.GetSecretValue", mem_strdup(id),
                         body, secret_answered);
    call->done = (void (*)(void))done;
    call->arg = arg;
    return call;
}
