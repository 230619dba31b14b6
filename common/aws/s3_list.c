#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/s3_internal.h"
#include "base/clock.h"
#include "base/mem.h"

#define ITEMS_MAX 1000 /* S3's own bound */
#define LIST_MAX  (8 * 1024 * 1024)

struct listing {
    struct s3_item items[ITEMS_MAX];
    size_t count;
    char *key, *etag, *next; /* of the item under way; of the list */
    uint64_t size;
    int64_t modified_ms;
    bool truncated;
};

static void replace(char **text, const char *with)
{
    free(*text);
    *text = mem_strdup(with);
}

static int end_item(struct listing *list)
{
    struct s3_item *item = &list->items[list->count];

    if (!list->key)
        return 0;
    if (list->count == ITEMS_MAX)
        return -1;
    *item = (struct s3_item){list->key, list->etag, list->size, list->modified_ms};
    list->count++;
    list->key = list->etag = NULL;
    list->size = 0;
    list->modified_ms = 0;
    return 0;
}

static int on_element(const char *path, const char *text, void *arg)
{
    struct listing *list = arg;
    const char *name = path + strlen("ListBucketResult/");

    if (!str_starts(path, "ListBucketResult/"))
        return 0;
    if (str_eq(name, "Contents"))
        return end_item(list);
    if (str_eq(name, "Contents/Key"))
        replace(&list->key, text);
    else if (str_eq(name, "Contents/ETag"))
        replace(&list->etag, text);
    else if (str_eq(name, "Contents/Size"))
        return str_to_u64(text, &list->size);
    else if (str_eq(name, "Contents/LastModified"))
        return clock_parse_rfc3339(text, &list->modified_ms);
    else if (str_eq(name, "NextContinuationToken"))
        replace(&list->next, text);
    else if (str_eq(name, "IsTruncated"))
        list->truncated = str_eq(text, "true");
    return 0;
}

static void listed(struct aws_call *call, const struct http_response *response,
                   const struct err *err)
{
    struct listing *list = mem_alloc(sizeof(*list));
    struct s3_answer answer = {0};
    struct err own = *err;

    if (response && xml_walk(response->body, response->len, on_element, list, &own) < 0)
        err_wrap(&own, "S3 ListObjectsV2 %s", call->subject);
    if (!own.code)
        answer = (struct s3_answer){.items = list->items,
                                    .item_count = list->count,
                                    .next = list->truncated ? list->next : NULL};
    s3_call_done(call, &answer, &own);
    for (size_t i = 0; i < list->count; i++) {
        free((char *)list->items[i].key);
        free((char *)list->items[i].etag);
    }
    free(list->key);
    free(list->etag);
    free(list->next);
    free(list);
}

struct aws_call *s3_list(struct aws *aws, const struct s3_list_opts *opts, s3_done_fn *done,
                         void *arg)
{
    const struct s3_object bucket = {opts->bucket, ""};
    struct aws_call *call = s3_call_new(aws, "ListObjectsV2", "GET", &bucket, done, arg);
    struct sigv4_pair pairs[4] = {{"list-type", "2"}};
    size_t pair_count = 1;
    char count[16];

    if (!str_empty(opts->prefix))
        pairs[pair_count++] = (struct sigv4_pair){"prefix", opts->prefix};
    if (opts->next)
        pairs[pair_count++] = (struct sigv4_pair){"continuation-token", opts->next};
    if (opts->count) {
        snprintf(count, sizeof(count), "%u", opts->count);
        pairs[pair_count++] = (struct sigv4_pair){"max-keys", count};
    }
    sigv4_query(&call->query, pairs, pair_count);
    call->limit = LIST_MAX;
    call->answered = listed;
    aws_call_start(call);
    return call;
}
