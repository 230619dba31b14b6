/* What Kubernetes answers: a pod as JSON and what it means; a log, which must be the same text
 * however it is cut. The first byte says which. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "kubernetes/internal.h"

#define TEXT_MAX (1024 * 1024)

static bool add(const char *data, size_t len, void *arg)
{
    buf_add(arg, data, len);
    return true;
}

static void read_pod(const char *data, size_t len)
{
    json_t *json = json_loadb(data, len, 0, NULL);
    struct err err;
    struct pod pod;
    char why[700];

    if (json && pod_read(&pod, json, &err) == 0)
        (void)pod_fate(&pod, why, sizeof(why));
    json_decref(json);
}

static void read_log(const char *data, size_t len, size_t cut)
{
    struct log_lines whole = {0}, parts = {0};
    struct buf once, cut_once;

    buf_init(&once, TEXT_MAX);
    buf_init(&cut_once, TEXT_MAX);
    log_lines_begin(&whole);
    log_lines_add(&whole, data, len, add, &once);
    log_lines_begin(&parts);
    log_lines_add(&parts, data, cut, add, &cut_once);
    log_lines_add(&parts, data + cut, len - cut, add, &cut_once);
    if (once.len != cut_once.len || memcmp(buf_cstr(&once), buf_cstr(&cut_once), once.len) != 0)
        abort();
    /* Another connection that brings the same again must not make more of it. */
    log_lines_begin(&parts);
    log_lines_add(&parts, data, len, add, &cut_once);
    if (cut_once.len > 2 * once.len)
        abort();
    buf_release(&once);
    buf_release(&cut_once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    if (data[0] & 1)
        read_pod((const char *)data + 2, size - 2);
    else
        read_log((const char *)data + 2, size - 2, data[1] % (size - 1));
    return 0;
}
