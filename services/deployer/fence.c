#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "services/deployer/deployer.h"

#define FENCE_MAX 256

/* One line a target: epoch, sequence, index and run. */
static int read_fence(const char *path, struct event_order *order, struct err *err)
{
    struct buf text;
    int fields;

    if (file_read(&text, path, FENCE_MAX, err) < 0)
        return -1;
    fields = sscanf(buf_cstr(&text), "%" SCNu64 " %" SCNu64 " %" SCNu32, &order->epoch,
                    &order->sequence, &order->index);
    buf_release(&text);
    if (fields == 3)
        return 0;
    return err_set(err, ERR_INVALID,
                   "the fence '%s' cannot be read; remove the file once you know what runs there",
                   path);
}

int fence_raise(const char *folder, const char *environment, const char *pipeline,
                const struct event_order *order, const char *run_id, struct err *err)
{
    char *path = mem_printf("%s/%s.%s", folder, environment, pipeline);
    struct event_order last;
    struct buf text;
    int rc = -1;

    buf_init(&text, FENCE_MAX);
    if (read_fence(path, &last, err) == 0) {
        if (event_order_beyond(&last, order)) {
            err_set(err, ERR_CONFLICT, "a newer decision about %s in %s was carried out already",
                    pipeline, environment);
            goto out;
        }
        if (!event_order_beyond(order, &last)) { /* the same once more */
            rc = 0;
            goto out;
        }
    } else if (err->code != ERR_NOT_FOUND) {
        goto out;
    }
    buf_addf(&text, "%" PRIu64 " %" PRIu64 " %" PRIu32 " %s\n", order->epoch, order->sequence,
             order->index, run_id);
    rc = file_write(path, text.data, text.len, 0600, err);
out:
    buf_release(&text);
    free(path);
    return rc;
}
