/* The text: "1:" and pairs of numbers, how many offsets are unfinished and how many after those are
 * finished, beginning at the watermark. A number is groups of five bits, the lowest first, one
 * character each out of 64: the sixth bit says that more follow. */
#include "bus/watermark.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define VERSION  "1:"
#define PAIR_MAX 26 /* characters of two numbers below 2^63 */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t put_number(char *out, uint64_t n)
{
    size_t len = 0;
    do {
        unsigned d = (unsigned)(n & 31);
        n >>= 5;
        out[len++] = digits[n ? d | 32 : d];
    } while (n);
    return len;
}

/* NULL: no number there. */
static const char *get_number(const char *s, uint64_t *n)
{
    *n = 0;
    for (unsigned shift = 0; shift < 60; shift += 5) {
        const char *at = *s ? strchr(digits, *s) : NULL;
        if (!at)
            return NULL;
        uint64_t d = (uint64_t)(at - digits);
        *n |= (d & 31) << shift;
        s++;
        if (!(d & 32))
            return s;
    }
    return NULL;
}

static void parse(struct watermark *wm, const char *text)
{
    if (!text || strncmp(text, VERSION, sizeof(VERSION) - 1) != 0)
        return;
    size_t max = strlen(text) / 2;
    wm->done = mem_alloc((max + 1) * sizeof(*wm->done));
    int64_t at = wm->position;
    for (const char *s = text + sizeof(VERSION) - 1; *s;) {
        uint64_t skip, count;
        s = get_number(s, &skip);
        s = s ? get_number(s, &count) : NULL;
        /* not ours, or cut: deliver again rather than skip what may be unfinished */
        if (!s || count == 0 || skip > (uint64_t)(INT64_MAX - at) ||
            count > (uint64_t)(INT64_MAX - at) - skip) {
            wm->done_count = 0;
            return;
        }
        struct watermark_range *range = &wm->done[wm->done_count++];
        range->from = at + (int64_t)skip;
        range->to = range->from + (int64_t)count - 1;
        at = range->to + 1;
    }
}

void watermark_init(struct watermark *wm, int64_t offset, const char *text)
{
    *wm = (struct watermark){.position = offset};
    if (offset >= 0)
        parse(wm, text);
}

void watermark_release(struct watermark *wm)
{
    free(wm->pending);
    free(wm->done);
    *wm = (struct watermark){0};
}

size_t watermark_pending(const struct watermark *wm)
{
    return wm->end - wm->head;
}

static void forget(struct watermark *wm)
{
    wm->head = wm->end = wm->runs = 0;
    wm->pending_bytes = 0;
    wm->done_count = 0;
}

static void make_room(struct watermark *wm)
{
    if (wm->end < wm->cap)
        return;
    size_t count = watermark_pending(wm);
    if (wm->head >= wm->cap / 2 && wm->head > 0) {
        memmove(wm->pending, wm->pending + wm->head, count * sizeof(*wm->pending));
    } else {
        wm->cap = wm->cap ? wm->cap * 2 : 16;
        struct watermark_entry *grown = mem_realloc(NULL, wm->cap, sizeof(*grown));
        if (count)
            memcpy(grown, wm->pending + wm->head, count * sizeof(*grown));
        free(wm->pending);
        wm->pending = grown;
    }
    wm->head = 0;
    wm->end = count;
}

bool watermark_deliver(struct watermark *wm, int64_t offset, size_t size_bytes)
{
    if (offset < wm->position)
        forget(wm);
    wm->position = offset + 1;
    size_t passed = 0;
    while (passed < wm->done_count && wm->done[passed].to < offset)
        passed++;
    bool finished = passed < wm->done_count && wm->done[passed].from <= offset;
    if (passed) {
        wm->done_count -= passed;
        memmove(wm->done, wm->done + passed, wm->done_count * sizeof(*wm->done));
    }
    if (finished)
        return false;
    make_room(wm);
    if (wm->end == wm->head || wm->pending[wm->end - 1].offset != offset - 1)
        wm->runs++;
    wm->pending[wm->end++] = (struct watermark_entry){offset, size_bytes};
    wm->pending_bytes += size_bytes;
    return true;
}

void watermark_reached(struct watermark *wm, int64_t end_offset)
{
    if (end_offset > wm->position)
        wm->position = end_offset;
}

/* The index in pending, or -1. */
static ptrdiff_t find(const struct watermark *wm, int64_t offset)
{
    size_t low = wm->head, high = wm->end;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (wm->pending[mid].offset < offset)
            low = mid + 1;
        else
            high = mid;
    }
    return low < wm->end && wm->pending[low].offset == offset ? (ptrdiff_t)low : -1;
}

bool watermark_settle(struct watermark *wm, int64_t offset)
{
    ptrdiff_t found = find(wm, offset);
    if (found < 0)
        return false;
    size_t i = (size_t)found;
    bool before = i > wm->head && wm->pending[i - 1].offset == offset - 1;
    bool after = i + 1 < wm->end && wm->pending[i + 1].offset == offset + 1;
    if (before && after)
        wm->runs++;
    else if (!before && !after)
        wm->runs--;
    wm->pending_bytes -= wm->pending[i].size_bytes;
    if (i - wm->head < wm->end - i) {
        memmove(wm->pending + wm->head + 1, wm->pending + wm->head,
                (i - wm->head) * sizeof(*wm->pending));
        wm->head++;
    } else {
        memmove(wm->pending + i, wm->pending + i + 1, (wm->end - i - 1) * sizeof(*wm->pending));
        wm->end--;
    }
    if (wm->head == wm->end)
        wm->head = wm->end = 0;
    return true;
}

int64_t watermark_offset(const struct watermark *wm)
{
    return wm->head < wm->end ? wm->pending[wm->head].offset : wm->position;
}

/* A text being written. Neighbouring ranges become one. */
struct writer {
    char *out;
    size_t len;
    int64_t at;                  /* what the next number counts from */
    struct watermark_range next; /* not written yet; none if to < from */
    bool full;
};

static void write_next(struct writer *w)
{
    char pair[PAIR_MAX + 2];
    if (w->full || w->next.to < w->next.from)
        return;
    size_t len = put_number(pair, (uint64_t)(w->next.from - w->at));
    len += put_number(pair + len, (uint64_t)(w->next.to - w->next.from + 1));
    if (w->len + len > WATERMARK_TEXT_MAX) {
        w->full = true;
        return;
    }
    memcpy(w->out + w->len, pair, len);
    w->len += len;
    w->at = w->next.to + 1;
}

static void write_range(struct writer *w, int64_t from, int64_t to)
{
    if (from > to)
        return;
    if (from != w->next.to + 1) {
        write_next(w);
        w->next.from = from;
    }
    w->next.to = to;
}

bool watermark_text(const struct watermark *wm, char out[WATERMARK_TEXT_MAX + 1])
{
    struct writer w = {.out = out, .len = sizeof(VERSION) - 1, .at = watermark_offset(wm)};
    w.next = (struct watermark_range){.from = 0, .to = -1};
    memcpy(out, VERSION, w.len);
    for (size_t i = wm->head; i < wm->end; i++) {
        int64_t next = i + 1 < wm->end ? wm->pending[i + 1].offset : wm->position;
        write_range(&w, wm->pending[i].offset + 1, next - 1);
    }
    for (size_t i = 0; i < wm->done_count; i++) {
        int64_t from = wm->done[i].from;
        write_range(&w, from < wm->position ? wm->position : from, wm->done[i].to);
    }
    write_next(&w);
    if (w.len == sizeof(VERSION) - 1)
        w.len = 0;
    out[w.len] = '\0';
    return !w.full;
}

bool watermark_text_full(const struct watermark *wm)
{
    /* what was finished before was in a text, and delivering what lies between adds nothing to it
     */
    if (wm->done_count > 0 || (wm->runs + 1) * PAIR_MAX < WATERMARK_TEXT_MAX)
        return false;
    char text[WATERMARK_TEXT_MAX + 1];
    return !watermark_text(wm, text) || strlen(text) + PAIR_MAX > WATERMARK_TEXT_MAX;
}
