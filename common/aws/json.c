#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "aws/internal.h"
#include "base/mem.h"
#include "secret/ref.h"

#define TIMEOUT_MS 15000

void aws_json_wipe(json_t *json)
{
    secret_json_wipe(json);
    json_decref(json);
}

struct aws_call *aws_json_call(struct aws *aws, enum aws_service service, const char *target,
                               char *subject, json_t *body, aws_answered_fn *answered)
{
    struct aws_call *call = aws_call_new(aws, service, strchr(target, '.') + 1, subject);
    char *base = aws_base_url(aws, service);

    aws_call_url(call, base, "");
    call->method = "POST";
    call->body = json_dumps(body, JSON_COMPACT);
    call->body_len = call->body ? strlen(call->body) : 0;
    if (!call->body)
        err_set(&call->failure, ERR_INVALID, "what is asked is not UTF-8");
    aws_json_wipe(body);
    aws_call_header(call, "content-type", "application/x-amz-json-1.1");
    aws_call_header(call, "x-amz-target", target);
    call->timeout_ms = TIMEOUT_MS;
    call->is_secret = true;
    call->answered = answered;
    free(base);
    aws_call_start(call);
    return call;
}
