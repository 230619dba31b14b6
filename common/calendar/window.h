/* Windows of time in a place's own clock: when a gate lets pass, or a freeze holds. Time zones and
 * their rules are libical's, by IANA name; daylight saving is kept right. Pure: no clock of its
 * own. Any thread.
 *
 *   Mon-Fri 09:00-16:00 Europe/Berlin       each week; days as Mon, Mon-Fri, Mon,Wed,Sat-Sun or
 * daily Fri 22:00-04:00 Europe/Berlin           past midnight: the days are those on which it opens
 *   2026-12-23 18:00 - 2027-01-02 08:00 Europe/Berlin    once; without times: whole days, the last
 *                                                        one included
 *
 * It is open from its first minute to before its last, by the wall clock of the zone: an hour that
 * the clock repeats is open twice, one that it leaves out never is. */
#ifndef GANTRY_CALENDAR_WINDOW_H
#define GANTRY_CALENDAR_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct window;

/* ERR_INVALID with what is wrong and what would be right; an unknown zone names the nearest. */
int window_parse(struct window **out, const char *text, struct err *err);
void window_free(struct window *window);

/* Times are Unix ms. */
bool window_is_open(const struct window *window, int64_t now_ms);
/* The first time after now_ms at which it opens or closes; INT64_MAX: it never does again. */
int64_t window_next_change(const struct window *window, int64_t now_ms);

#endif
