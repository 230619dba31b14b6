#include "mask/mask.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define BYTES     256
#define SLICE_MAX (64 * 1024)

/* DESIGN: the nodes of the trie are numbered as they are made, so the nodes that one value adds
 * follow each other: node v's first child is v + 1 and needs no edge. The others, one a value at
 * most, are in a hash table; the root's in an array.
 *
 * What a stream holds back is as long as its node is deep: that much of the text's end is the
 * beginning of a value. An occurrence is known with its last byte; `ranges` has those that were
 * found and not given out yet, merged where they overlap or touch. */

enum { CHAIN = 1, BRANCH = 2 }; /* what children a node has */

struct value {
    unsigned char *data;
    size_t len;
};

struct edge {
    uint32_t from, to; /* to: 0 where there is none */
    unsigned char byte;
};

struct mask {
    struct value *values; /* until it is built */
    size_t count, cap, bytes;
    bool built;
    size_t longest;

    uint32_t root[BYTES];
    struct edge *edges;
    size_t edge_mask; /* their number - 1 */
    /* of each node; 0 is the root */
    uint32_t nodes;
    unsigned char *byte; /* that leads to it */
    unsigned char *children;
    uint32_t *depth;
    uint32_t *fail;  /* the node of the longest end of its text that is a beginning, too */
    uint32_t *match; /* length of the longest value that ends there; 0: none does */
};

/* ---- the trie ---- */

static size_t edge_slot(const struct mask *mask, uint32_t from, unsigned char byte)
{
    const uint64_t key = ((uint64_t)from << 8 | byte) * UINT64_C(0x9E3779B97F4A7C15);
    size_t at = (size_t)(key >> 32) & mask->edge_mask;
    while (mask->edges[at].to && (mask->edges[at].from != from || mask->edges[at].byte != byte))
        at = (at + 1) & mask->edge_mask;
    return at;
}

/* 0: it has none. */
static uint32_t child(const struct mask *mask, uint32_t node, unsigned char byte)
{
    if (node == 0)
        return mask->root[byte];
    if (mask->children[node] & CHAIN && mask->byte[node + 1] == byte)
        return node + 1;
    return mask->children[node] & BRANCH ? mask->edges[edge_slot(mask, node, byte)].to : 0;
}

static uint32_t next(const struct mask *mask, uint32_t node, unsigned char byte)
{
    for (;;) {
        const uint32_t to = child(mask, node, byte);
        if (to || node == 0)
            return to;
        node = mask->fail[node];
    }
}

static uint32_t add_child(struct mask *mask, uint32_t node, unsigned char byte)
{
    const uint32_t to = mask->nodes++;
    mask->byte[to] = byte;
    mask->depth[to] = mask->depth[node] + 1;
    if (node == 0) {
        mask->root[byte] = to;
    } else if (to == node + 1) {
        mask->children[node] |= CHAIN;
    } else {
        mask->children[node] |= BRANCH;
        mask->edges[edge_slot(mask, node, byte)] =
            (struct edge){.from = node, .to = to, .byte = byte};
    }
    return to;
}

static void add_value(struct mask *mask, const struct value *value)
{
    uint32_t node = 0;
    for (size_t i = 0; i < value->len; i++) {
        const uint32_t to = child(mask, node, value->data[i]);
        node = to ? to : add_child(mask, node, value->data[i]);
    }
    mask->match[node] = mask->depth[node];
}

/* All values at once, a byte of each after the other: `fail` leads to nodes that are less deep. */
static void link_nodes(struct mask *mask)
{
    uint32_t *node = mem_alloc((mask->count + 1) * sizeof(*node));
    size_t *which = mem_alloc((mask->count + 1) * sizeof(*which));
    size_t left = mask->count;
    for (size_t i = 0; i < left; i++)
        which[i] = i;
    for (size_t at = 0; left; at++) {
        for (size_t i = 0; i < left; i++) {
            const struct value *value = &mask->values[which[i]];
            if (value->len == at) {
                left--;
                which[i] = which[left];
                node[i] = node[left];
                i--;
                continue;
            }
            const uint32_t to = child(mask, node[i], value->data[at]);
            const uint32_t fail = node[i] ? next(mask, mask->fail[node[i]], value->data[at]) : 0;
            mask->fail[to] = fail;
            if (!mask->match[to])
                mask->match[to] = mask->match[fail];
            node[i] = to;
        }
    }
    free(node);
    free(which);
}

static void forget_values(struct mask *mask)
{
    for (size_t i = 0; i < mask->count; i++) {
        mem_wipe(mask->values[i].data, mask->values[i].len);
        free(mask->values[i].data);
    }
    free(mask->values);
    mask->values = NULL;
    mask->count = 0;
}

static void build(struct mask *mask)
{
    const size_t nodes = mask->bytes + 1;
    size_t edges = 2;
    if (mask->built)
        return;
    while (edges < 2 * mask->count)
        edges *= 2;
    mask->built = true;
    mask->nodes = 1;
    mask->edges = mem_alloc(edges * sizeof(*mask->edges));
    mask->edge_mask = edges - 1;
    mask->byte = mem_alloc(nodes);
    mask->children = mem_alloc(nodes);
    mask->depth = mem_alloc(nodes * sizeof(*mask->depth));
    mask->fail = mem_alloc(nodes * sizeof(*mask->fail));
    mask->match = mem_alloc(nodes * sizeof(*mask->match));
    for (size_t i = 0; i < mask->count; i++)
        add_value(mask, &mask->values[i]);
    link_nodes(mask);
    forget_values(mask);
}

/* ---- a mask ---- */

struct mask *mask_new(void)
{
    return mem_alloc(sizeof(struct mask));
}

int mask_add(struct mask *mask, const void *value, size_t len, struct err *err)
{
    if (len == 0)
        return 0;
    if (len > MASK_BYTES_MAX - mask->bytes)
        return err_set(err, ERR_LIMIT, "there are more than %d MiB of values to hide",
                       MASK_BYTES_MAX >> 20);
    if (mask->count == mask->cap) {
        mask->cap = mask->cap ? 2 * mask->cap : 16;
        mask->values = mem_realloc(mask->values, mask->cap, sizeof(*mask->values));
    }
    mask->values[mask->count++] = (struct value){.data = mem_dup(value, len), .len = len};
    mask->bytes += len;
    if (len > mask->longest)
        mask->longest = len;
    return 0;
}

void mask_free(struct mask *mask)
{
    if (!mask)
        return;
    forget_values(mask);
    if (mask->built) {
        mem_wipe(mask->byte, mask->bytes + 1);
        mem_wipe(mask->edges, (mask->edge_mask + 1) * sizeof(*mask->edges));
    }
    free(mask->edges);
    free(mask->byte);
    free(mask->children);
    free(mask->depth);
    free(mask->fail);
    free(mask->match);
    mem_wipe(mask, sizeof(*mask));
    free(mask);
}

/* ---- a stream ---- */

struct range {
    uint64_t from, to; /* of the text's bytes */
};

struct mask_stream {
    const struct mask *mask;
    uint32_t node;
    uint64_t base;            /* the first byte that was not given out */
    uint64_t end;             /* of the text by now */
    bool hiding;              /* MASK_TEXT was the last that was given out */
    char *held;               /* from `held_at` on the bytes from `base` to `end` */
    size_t held_at, held_len; /* twice the longest value has room */
    struct range *ranges;
    size_t first, count, cap; /* those from `first` on */
};

static void hide(struct mask_stream *s, uint64_t from, uint64_t to)
{
    if (from < s->base)
        from = s->base;
    while (s->count > s->first && s->ranges[s->count - 1].to >= from) {
        s->count--;
        if (s->ranges[s->count].from < from)
            from = s->ranges[s->count].from;
    }
    if (s->count == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 16;
        s->ranges = mem_realloc(s->ranges, s->cap, sizeof(*s->ranges));
    }
    s->ranges[s->count++] = (struct range){.from = from, .to = to};
}

static void scan(struct mask_stream *s, const unsigned char *text, size_t len)
{
    const struct mask *mask = s->mask;
    uint32_t node = s->node;
    for (size_t i = 0; i < len; i++) {
        if (node == 0) {
            while (i < len && mask->root[text[i]] == 0)
                i++;
            if (i == len)
                break;
        }
        node = next(mask, node, text[i]);
        if (mask->match[node])
            hide(s, s->end + i + 1 - mask->match[node], s->end + i + 1);
    }
    s->node = node;
}

/* The bytes from `from` to `to` as they are: of those that are held and of `text`, which begins at
 * s->end. */
static void show(struct mask_stream *s, uint64_t from, uint64_t to, const unsigned char *text,
                 struct buf *out)
{
    if (from == to)
        return;
    if (from < s->end) {
        const uint64_t stop = to < s->end ? to : s->end;
        buf_add(out, s->held + s->held_at + (size_t)(from - s->base), (size_t)(stop - from));
        from = stop;
    }
    if (from < to)
        buf_add(out, text + (size_t)(from - s->end), (size_t)(to - from));
    s->hiding = false;
}

/* Gives out what comes before `upto`, and the range that reaches over it; where that ends. */
static uint64_t settle(struct mask_stream *s, uint64_t upto, const unsigned char *text,
                       struct buf *out)
{
    uint64_t at = s->base;
    for (; s->first < s->count && s->ranges[s->first].from <= upto; s->first++) {
        show(s, at, s->ranges[s->first].from, text, out);
        if (!s->hiding)
            buf_adds(out, MASK_TEXT);
        s->hiding = true;
        at = s->ranges[s->first].to;
    }
    if (at < upto) {
        show(s, at, upto, text, out);
        at = upto;
    }
    if (s->first == s->count)
        s->first = s->count = 0;
    return at;
}

/* Keeps the bytes from `base` on. */
static void hold(struct mask_stream *s, uint64_t base, const unsigned char *text, size_t len)
{
    const size_t room = 2 * s->mask->longest;
    const uint64_t end = s->end + len;
    const size_t gone = base - s->base < s->held_len ? (size_t)(base - s->base) : s->held_len;
    s->held_at += gone;
    s->held_len -= gone;
    const size_t more = s->held_len ? len : (size_t)(end - base);
    if (more && !s->held)
        s->held = mem_alloc(room);
    if (s->held_at + s->held_len + more > room || s->held_len == 0) {
        if (s->held_len)
            memmove(s->held, s->held + s->held_at, s->held_len);
        s->held_at = 0;
    }
    if (more)
        memcpy(s->held + s->held_at + s->held_len, text + len - more, more);
    s->held_len += more;
    s->base = base;
    s->end = end;
}

static void add(struct mask_stream *s, const unsigned char *text, size_t len, struct buf *out)
{
    scan(s, text, len);
    hold(s, settle(s, s->end + len - s->mask->depth[s->node], text, out), text, len);
}

struct mask_stream *mask_stream_new(struct mask *mask)
{
    struct mask_stream *stream = mem_alloc(sizeof(*stream));
    build(mask);
    stream->mask = mask;
    return stream;
}

void mask_stream_free(struct mask_stream *stream)
{
    if (!stream)
        return;
    if (stream->held)
        mem_wipe(stream->held, 2 * stream->mask->longest);
    free(stream->held);
    free(stream->ranges);
    free(stream);
}

void mask_stream_add(struct mask_stream *stream, const void *text, size_t len, struct buf *out)
{
    const unsigned char *at = text;
    for (size_t n; len; len -= n, at += n) {
        n = len < SLICE_MAX ? len : SLICE_MAX;
        add(stream, at, n, out);
    }
}

size_t mask_stream_held(const struct mask_stream *stream)
{
    return stream->held_len;
}

static void give_all(struct mask_stream *stream, struct buf *out)
{
    hold(stream, settle(stream, stream->end, NULL, out), NULL, 0);
}

void mask_stream_show(struct mask_stream *stream, struct buf *out)
{
    if (stream->held_len && stream->held_len <= MASK_SHORT)
        give_all(stream, out);
}

void mask_stream_flush(struct mask_stream *stream, struct buf *out)
{
    give_all(stream, out);
    stream->node = 0;
    stream->hiding = false;
}

void mask_text(struct mask *mask, const void *text, size_t len, struct buf *out)
{
    struct mask_stream stream = {.mask = mask};
    build(mask);
    scan(&stream, text, len);
    settle(&stream, len, text, out);
    free(stream.ranges);
}
