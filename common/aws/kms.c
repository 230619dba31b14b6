#include "aws/kms.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "aws/internal.h"
#include "base/hex.h"
#include "base/mem.h"

#define DATA_KEY_LEN 32

/* A member in base64; NULL: not there, or none. */
static uint8_t *bytes_of(const json_t *object, const char *key, size_t *len)
{
    const json_t *member = json_object_get(object, key);
    uint8_t *bytes = NULL;

    *len = 0;
    if (!json_is_string(member) ||
        base64_decode(json_string_value(member), json_string_length(member), &bytes, len) < 0)
        return NULL;
    return bytes;
}

static bool is_whole(const struct aws_call *call, const struct kms_answer *answer)
{
    if (str_eq(call->operation, "GenerateDataKey"))
        return answer->sealed && answer->plain && answer->plain_len == DATA_KEY_LEN;
    return str_eq(call->operation, "Decrypt") ? answer->plain != NULL : answer->sealed != NULL;
}

static void answered(struct aws_call *call, const struct http_response *response,
                     const struct err *err)
{
    kms_done_fn *done = (kms_done_fn *)call->done;
    struct kms_answer answer = {0};
    struct err own = *err;
    json_t *json = response ? json_loadb(response->body, response->len, 0, NULL) : NULL;
    uint8_t *plain = bytes_of(json, "Plaintext", &answer.plain_len);
    uint8_t *sealed = bytes_of(json, "CiphertextBlob", &answer.sealed_len);

    answer.plain = plain;
    answer.sealed = sealed;
    answer.key_id = json_string_value(json_object_get(json, "KeyId"));
    if (response && !is_whole(call, &answer))
        err_set(&own, ERR_INVALID, "KMS %s %s: the answer is not whole", call->operation,
                call->subject);
    done(&answer, &own, call->arg);
    if (plain)
        mem_wipe(plain, answer.plain_len);
    free(plain);
    free(sealed);
    aws_json_wipe(json);
}

static void set_bytes(json_t *body, const char *key, const void *data, size_t len)
{
    char *text = base64_encode(data, len);

    json_object_set_new(body, key, json_string(text));
    mem_wipe(text, strlen(text));
    free(text);
}

static struct aws_call *start(struct aws *aws, const char *target, const char *key, json_t *body,
                              const struct kms_context *context, kms_done_fn *done, void *arg)
{
    struct aws_call *call;
    json_t *pairs = json_object();

    for (; context && context->name; context++)
        json_object_set_new(pairs, context->name, json_string(context->value));
    json_object_set_new(body, "EncryptionContext", pairs);
    if (key)
        json_object_set_new(body, "KeyId", json_string(key));
    call = aws_json_call(aws, AWS_KMS, target, mem_strdup(key ? key : "by the key it names"), body,
                         answered);
    call->done = (void (*)(void))done;
    call->arg = arg;
    return call;
}

struct aws_call *kms_data_key(struct aws *aws, const char *key, const struct kms_context *context,
                              kms_done_fn *done, void *arg)
{
    return start(aws, "TrentService.GenerateDataKey", key, json_pack("{s:s}", "KeySpec", "AES_256"),
                 context, done, arg);
}

struct aws_call *kms_encrypt(struct aws *aws, const char *key, const void *plain, size_t len,
                             const struct kms_context *context, kms_done_fn *done, void *arg)
{
    json_t *body = json_object();

    set_bytes(body, "Plaintext", plain, len);
    return start(aws, "TrentService.Encrypt", key, body, context, done, arg);
}

struct aws_call *kms_decrypt(struct aws *aws, const char *key, const void *sealed, size_t len,
                             const struct kms_context *context, kms_done_fn *done, void *arg)
{
    json_t *body = json_object();

    set_bytes(body, "CiphertextBlob", sealed, len);
    return start(aws, "TrentService.Decrypt", key, body, context, done, arg);
}
