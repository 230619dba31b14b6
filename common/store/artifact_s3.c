#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "store/artifact_internal.h"

#define PART_BYTES (8ull * 1024 * 1024)

static void take_answer(struct artifact_call *call, const struct s3_answer *answer,
                        const struct err *err)
{
    call->asked = NULL;
    call->upload = NULL;
    call->err = *err;
    call->answer.size = answer->size;
    call->answer.modified_ms = answer->modified_ms;
}

static void on_answer(const struct s3_answer *answer, const struct err *err, void *arg)
{
    struct artifact_call *call = arg;
    take_answer(call, answer, err);
    artifact_call_finish(call);
}

static void ask_page(struct artifact_call *call, const char *next);

static void on_page(const struct s3_answer *answer, const struct err *err, void *arg)
{
    struct artifact_call *call = arg;
    size_t skip = strlen(call->store->prefix);
    bool room = true;
    take_answer(call, answer, err);
    for (size_t i = 0; err->code == ERR_NONE && i < answer->item_count && room; i++) {
        const struct s3_item *item = &answer->items[i];
        if (strlen(item->key) > skip && artifact_is_key(item->key + skip))
            room = artifact_call_add(call, item->key + skip, item->size, item->modified_ms);
    }
    if (err->code == ERR_NONE && answer->next && room)
        ask_page(call, answer->next);
    else
        artifact_call_finish(call);
}

static void ask_page(struct artifact_call *call, const char *next)
{
    const struct artifact_store *store = call->store;
    char *prefix = mem_printf("%s%s", store->prefix, call->key);
    const struct s3_list_opts opts = {.bucket = store->bucket, .prefix = prefix, .next = next};
    call->asked = s3_list(store->aws, &opts, on_page, call);
    free(prefix);
}

static void put(struct artifact_call *call, const struct s3_object *object)
{
    const struct artifact_store *store = call->store;
    const struct s3_upload_opts opts = {.object = *object,
                                        .kind = {.kms_key = store->kms_key},
                                        .file = {.fd = call->fd, .size = call->size},
                                        .part_size = PART_BYTES};
    call->upload = s3_upload(store->aws, &opts, on_answer, call);
}

static void get(struct artifact_call *call, const struct s3_object *object)
{
    const struct http_file file = {.fd = call->fd, .size = call->size};
    const struct s3_get_opts opts = {.object = *object, .file = &file};
    call->asked = s3_get(call->store->aws, &opts, on_answer, call);
}

void artifact_s3_call(struct artifact_call *call)
{
    const struct artifact_store *store = call->store;
    char *key = mem_printf("%s%s", store->prefix, call->key);
    const struct s3_object object = {.bucket = store->bucket, .key = key};
    switch (call->verb) {
    case ARTIFACT_PUT:
        put(call, &object);
        break;
    case ARTIFACT_GET:
        get(call, &object);
        break;
    case ARTIFACT_HEAD:
        call->asked = s3_head(store->aws, &object, on_answer, call);
        break;
    case ARTIFACT_DELETE:
        call->asked = s3_delete(store->aws, &object, on_answer, call);
        break;
    case ARTIFACT_LIST:
        ask_page(call, NULL);
        break;
    case ARTIFACT_SWEEP:
        break;
    }
    free(key);
}

int artifact_s3_open(struct artifact_store *store, const char *kms_key, struct err *err)
{
    const char *rest = store->where + strlen("s3://");
    size_t bucket = strcspn(rest, "/");
    const char *prefix = rest[bucket] ? rest + bucket + 1 : "";
    bool slash = str_empty(prefix) || str_ends(prefix, "/");
    store->bucket = mem_strndup(rest, bucket);
    store->prefix = mem_printf("%s%s", prefix, slash ? "" : "/");
    store->kms_key = str_empty(kms_key) ? NULL : mem_strdup(kms_key);
    char *probe = mem_printf("%sx", store->prefix);
    bool good = bucket >= 3 && bucket <= 63 && artifact_is_key(probe) && strlen(prefix) <= 100;
    free(probe);
    if (!good)
        return err_set(err, ERR_INVALID, "'%.200s' is not s3://bucket or s3://bucket/prefix",
                       store->where);
    return store->aws ? 0
                      : err_set(err, ERR_INVALID, "'%.200s' needs AWS: a region and credentials",
                                store->where);
}
