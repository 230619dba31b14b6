#include <string.h>

#include "base/str.h"

#define WORD_MAX 64

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: insertions, deletions, replacements and swapped neighbours. */
static size_t distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];

    for (size_t j = 0; j <= b_len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t *spare = before;

        now[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            now[j] = smaller(smaller(last[j], now[j - 1]) + 1,
                             last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                now[j] = smaller(now[j], before[j - 2] + 1);
        }
        before = last;
        last = now;
        now = spare;
    }
    return last[b_len];
}

const char *str_nearest(const char *s, const char *const *candidates)
{
    size_t len = strlen(s);
    const char *nearest = NULL;
    size_t least = (len + 2) / 3 + 1;

    if (len == 0 || len > WORD_MAX)
        return NULL;
    for (; *candidates; candidates++) {
        size_t candidate_len = strlen(*candidates);
        size_t d;

        if (candidate_len > WORD_MAX)
            continue;
        d = distance(s, len, *candidates, candidate_len);
        if (d < least && d < candidate_len) {
            least = d;
            nearest = *candidates;
        }
    }
    return nearest;
}
