/* Time. Any thread. */
#ifndef GANTRY_BASE_CLOCK_H
#define GANTRY_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_now_ms(void);  /* wall clock, Unix ms */
int64_t clock_mono_ms(void); /* monotonic */
int64_t clock_mono_us(void);

#define CLOCK_RFC3339_SIZE 32
/* RFC 3339, UTC, milliseconds: 2026-01-31T09:00:00.000Z */
void clock_rfc3339(int64_t unix_ms, char out[CLOCK_RFC3339_SIZE]);
int clock_parse_rfc3339(const char *s, int64_t *unix_ms); /* 0 or -1 */

/* "3 s", "2 min", "4 h", "6 d": for people. */
void clock_human(int64_t duration_ms, char out[32]);

#endif
