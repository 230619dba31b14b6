#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "aws/internal.h"
#include "aws/xml.h"

static void keep(char *out, size_t size, const char *text)
{
    if (!*out)
        snprintf(out, size, "%s", text);
}

static int on_element(const char *path, const char *text, void *arg)
{
    struct aws_error *error = arg;

    if (str_eq(path, "Error/Code") || str_eq(path, "ErrorResponse/Error/Code"))
        keep(error->code, sizeof(error->code), text);
    else if (str_eq(path, "Error/Message") || str_eq(path, "ErrorResponse/Error/Message"))
        keep(error->message, sizeof(error->message), text);
    return 0;
}

/* {"__type": "com.amazonaws.ssm#ParameterNotFound", "message": ...}, or "Message". */
static void read_json(struct aws_error *error, const struct http_response *response)
{
    json_t *json = json_loadb(response->body, response->len, 0, NULL);
    const char *type = json_string_value(json_object_get(json, "__type"));
    const char *message = json_string_value(json_object_get(json, "message"));

    if (!message)
        message = json_string_value(json_object_get(json, "Message"));
    if (type)
        keep(error->code, sizeof(error->code), strchr(type, '#') ? strchr(type, '#') + 1 : type);
    if (message)
        keep(error->message, sizeof(error->message), message);
    json_decref(json);
}

void aws_error_read(struct aws_error *error, const struct http_response *response)
{
    const char *first = response->body + strspn(response->body, " \r\n\t");

    memset(error, 0, sizeof(*error));
    if (*first == '{')
        read_json(error, response);
    else if (*first == '<')
        xml_walk(response->body, response->len, on_element, error, NULL);
}

static bool is_one_of(const char *code, const char *const *codes)
{
    for (; *codes; codes++) {
        if (str_eq(code, *codes))
            return true;
    }
    return false;
}

bool aws_error_is_retriable(const struct aws_error *error, int status)
{
    static const char *const codes[] = {"Throttling",
                                        "ThrottlingException",
                                        "ThrottledException",
                                        "RequestThrottled",
                                        "RequestThrottledException",
                                        "RequestLimitExceeded",
                                        "TooManyRequestsException",
                                        "ProvisionedThroughputExceededException",
                                        "BandwidthLimitExceeded",
                                        "SlowDown",
                                        "PriorRequestNotComplete",
                                        "RequestTimeout",
                                        "RequestTimeoutException",
                                        "InternalError",
                                        "InternalServerError",
                                        "InternalFailure",
                                        "InternalServiceError",
                                        "KMSInternalException",
                                        "DependencyTimeoutException",
                                        "IDPCommunicationError",
                                        NULL};

    return status == 429 || status == 500 || status == 502 || status == 503 || status == 504 ||
           is_one_of(error->code, codes);
}

bool aws_error_is_of_keys(const struct aws_error *error)
{
    static const char *const codes[] = {"ExpiredToken",         "ExpiredTokenException",
                                        "InvalidClientTokenId", "UnrecognizedClientException",
                                        "InvalidAccessKeyId",   "TokenRefreshRequired",
                                        "InvalidSecurityToken", NULL};

    return is_one_of(error->code, codes);
}

static enum err_code code_of(const struct aws_error *error, int status)
{
    static const char *const not_found[] = {"ParameterNotFound",
                                            "ParameterVersionNotFound",
                                            "ResourceNotFoundException",
                                            "NotFoundException",
                                            "NoSuchKey",
                                            "NoSuchBucket",
                                            "NoSuchUpload",
                                            NULL};
    static const char *const denied[] = {"AccessDenied",
                                         "AccessDeniedException",
                                         "IncompleteSignature",
                                         "InvalidSignatureException",
                                         "SignatureDoesNotMatch",
                                         "MissingAuthenticationToken",
                                         "MissingAuthenticationTokenException",
                                         "RequestExpired",
                                         "RequestTimeTooSkewed",
                                         NULL};

    if (aws_error_is_retriable(error, status))
        return ERR_UNAVAILABLE;
    if (status == 404 || is_one_of(error->code, not_found))
        return ERR_NOT_FOUND;
    if (status == 401 || status == 403 || is_one_of(error->code, denied) ||
        aws_error_is_of_keys(error))
        return ERR_DENIED;
    if (status == 409 || status == 412)
        return ERR_CONFLICT;
    return ERR_INVALID;
}

void aws_error_fill(struct err *err, const struct aws_error *error, const struct aws_call *call,
                    const struct http_response *response)
{
    const char *id = response->header(response, "x-amzn-requestid");
    const char *hint = str_eq(error->code, "RequestTimeTooSkewed") ||
                               str_eq(error->code, "InvalidSignatureException")
                           ? "; is this machine's clock right?"
                           : "";

    if (!id)
        id = response->header(response, "x-amz-request-id");
    err_set(err, code_of(error, response->status), "%s %s %s: %s%s%s (status %d%s%.64s)%s",
            aws_service_title(call->service), call->operation, call->subject,
            *error->code ? error->code : "refused", *error->message ? ": " : "", error->message,
            response->status, id ? ", request " : "", id ? id : "", hint);
}
