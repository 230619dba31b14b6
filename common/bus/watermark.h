/* What a member of a group has finished of one partition: the records delivered and not yet
 * settled, and from them the offset to commit (the watermark) with the finished offsets above it as
 * ranges. Pure; the loop's thread. */
#ifndef GANTRY_BUS_WATERMARK_H
#define GANTRY_BUS_WATERMARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Characters of the ranges as text at most. Kafka refuses more than offset.metadata.max.bytes
 * (4,096) of metadata in a commit. */
#define WATERMARK_TEXT_MAX 3072

struct watermark_entry {
    int64_t offset;
    size_t size_bytes;
};
struct watermark_range { /* both ends are in it */
    int64_t from, to;
};

struct watermark {
    int64_t position; /* the next offset to be delivered; everything below was or is not there */
    struct watermark_entry *pending; /* delivered, unsettled; ascending, in pending[head .. end) */
    size_t head, end, cap;
    size_t pending_bytes;
    size_t runs;                  /* of neighbouring offsets in pending: what makes the text long */
    struct watermark_range *done; /* finished by whoever had the partition before; ascending */
    size_t done_count;
};

/* `text` is a commit's metadata: what watermark_text() made. Anything else counts as empty. */
void watermark_init(struct watermark *wm, int64_t offset, const char *text);
void watermark_release(struct watermark *wm);

/* A record came. False: it was found finished and is not to be delivered. An offset below the
 * position means that the log was made anew: everything is forgotten first. */
bool watermark_deliver(struct watermark *wm, int64_t offset, size_t size_bytes);
/* The partition was read up to `end_offset`: nothing is left below it. */
void watermark_reached(struct watermark *wm, int64_t end_offset);
/* False: it was not pending. */
bool watermark_settle(struct watermark *wm, int64_t offset);

size_t watermark_pending(const struct watermark *wm);
/* The offset to commit: everything below is settled. */
int64_t watermark_offset(const struct watermark *wm);
/* Writes the finished ranges above the watermark, "" if there are none; those that do not fit are
 * left out (they would be delivered again). False: some were left out. */
bool watermark_text(const struct watermark *wm, char out[WATERMARK_TEXT_MAX + 1]);
/* True if the text might not take what one more record can add to it. */
bool watermark_text_full(const struct watermark *wm);

#endif
