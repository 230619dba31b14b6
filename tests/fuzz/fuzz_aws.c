/* What AWS, or what passes for it, answers: errors as XML or JSON, and XML on its own; and what a
 * buildspec names. The first byte chooses. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "aws/internal.h"
#include "aws/xml.h"
#include "base/mem.h"
#include "base/str.h"
#include "secret/ref.h"
#include "secret/secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(const char *path, const char *text, void *arg)
{
    unsigned *left = arg;

    if (strlen(path) > 1024 || strlen(text) > 64 * 1024)
        abort();
    return (*left)-- == 0;
}

static void check(int rc, struct secret_ref *ref, const struct err *err)
{
    if (rc == 0 && (!secret_is_name(ref->name) || !*ref->id))
        abort();
    if (rc != 0 && (err->code == ERR_NONE || ref->id || ref->name || ref->json_key))
        abort();
    secret_ref_release(ref);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct aws_error error;
    struct secret_ref ref;
    struct err err = {0};
    struct buf out;
    unsigned left = 1000;

    if (size == 0)
        return 0;
    char *text = mem_strndup((const char *)data + 1, size - 1);
    const size_t len = strlen(text);
    switch (data[0] % 5) {
    case 0:
        aws_error_read(&error, &(struct http_response){.body = text, .len = len});
        if (!memchr(error.code, '\0', sizeof(error.code)) ||
            !memchr(error.message, '\0', sizeof(error.message)))
            abort();
        break;
    case 1:
        if (xml_walk(text, len, count, &left, &err) != 0 && err.code == ERR_NONE)
            abort();
        break;
    case 2:
        check(secret_ref_secret(&ref, text, &err), &ref, &err);
        break;
    case 3:
        check(secret_ref_parameter(&ref, text, &err), &ref, &err);
        break;
    default:
        if (secret_json_member(&out, text, len, "k", "name", &err) != 0 && err.code == ERR_NONE)
            abort();
        secret_release(&out);
    }
    free(text);
    return 0;
}
