/* The marks in a container's output (docker_place.h): which line is the first process's own. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "build/docker_place.h"

#define TOLD_MAX   160 /* bytes of a line after its mark */
#define BEFORE_MAX 4096

static bool give(struct docker_place *place, const char *data, size_t len)
{
    if (len == 0)
        return true;
    if (place->ready)
        return place->output(data, len, place->arg);
    (void)buf_add(&place->before, data, len);
    return true;
}

/* Whom a command was to run as, and cannot. */
static const char *refusal(const char *word)
{
    return str_eq(word, "no-user")    ? "there is no such user in the build's /etc/passwd"
           : str_eq(word, "no-means") ? "its ids cannot be had: the build image has no setpriv, "
                                        "no chroot with --userspec and no su that works"
                                      : NULL;
}

/* What was told of a command; a shell's end that was asked for tells of none. */
static void take_word(struct docker_place *place, const char *word, bool ended, const char *limit)
{
    const char *refused = refusal(word);
    int64_t code = -1;
    bool changing = place->changing;
    if (ended) {
        place->shell = changing; /* the other user's, which the command was sent to */
        place->changing = false;
        if (changing)
            return;
    }
    if (str_eq(word, "ready")) {
        place->ready = true;
        place->state = PLACE_RUNNING;
        docker_place_send(place);
    } else if (refused) {
        docker_place_refused(place, refused);
    } else if (str_to_i64(word, &code) == 0 && code >= 0 && code <= 255) {
        docker_place_told(place, (int)code, code != 0 ? limit : NULL);
    }
}

/* "0", "137 end oom=1 peak=12345", "ready", "no-user". */
static void take_line(struct docker_place *place, char *line)
{
    struct strv words = {0};
    uint64_t ooms = place->ooms, value;
    char limit[96];
    strv_split(&words, line, ' ');
    for (size_t i = 1; i < words.count; i++) {
        const char *word = words.items[i];
        if (str_starts(word, "oom=") && str_to_u64(word + 4, &value) == 0)
            ooms = value;
        else if (str_starts(word, "peak=") && str_to_u64(word + 5, &value) == 0)
            place->memory_peak = value;
    }
    bool over = ooms > place->ooms && place->limits.memory_bytes;
    place->ooms = ooms;
    snprintf(limit, sizeof(limit), "It used more memory than the limit of %llu MiB",
             (unsigned long long)(place->limits.memory_bytes >> 20));
    if (words.count)
        take_word(place, words.items[0], strv_has(&words, "end"), over ? limit : NULL);
    strv_release(&words);
}

/* One byte of what may be a mark. False: what is held is none, and this byte is not taken. */
static bool hold(struct docker_place *place, char byte)
{
    struct buf *held = &place->held;
    size_t len = strlen(place->mark);
    if (held->len < len ? byte != place->mark[held->len] : held->len - len >= TOLD_MAX)
        return false;
    (void)buf_addc(held, byte);
    return true;
}

static bool hold_all(struct docker_place *place, const char **data, size_t *len)
{
    struct buf *held = &place->held;
    while (*len > 0) {
        if (!hold(place, **data)) {
            bool more = give(place, held->data, held->len);
            buf_reset(held);
            return more;
        }
        bool ends = **data == '\n';
        ++*data;
        --*len;
        if (ends) {
            held->data[held->len - 1] = '\0';
            char *line = mem_strdup(held->data + strlen(place->mark));
            buf_reset(held);
            take_line(place, line);
            free(line);
            return true;
        }
    }
    return true;
}

bool docker_output(struct docker_place *place, const char *data, size_t len)
{
    bool more = true;
    docker_place_hold(place);
    while (len > 0 && !place->freed) {
        if (place->held.len == 0) {
            const char *at = memchr(data, place->mark[0], len);
            size_t plain = at ? (size_t)(at - data) : len;
            more = give(place, data, plain) && more;
            data += plain;
            len -= plain;
            if (len > 0 && !place->freed) {
                (void)buf_addc(&place->held, *data++);
                len--;
            }
        } else {
            more = hold_all(place, &data, &len) && more;
        }
    }
    more = more || place->freed;
    if (!place->freed)
        place->paused = !more;
    docker_place_release(place);
    return more;
}

void docker_output_flush(struct docker_place *place)
{
    struct buf *held = &place->held;
    if (held->len && place->ready)
        (void)place->output(held->data, held->len, place->arg);
    buf_reset(held);
}
