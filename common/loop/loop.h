/* The event loop: one thread, libevent underneath. Everything here is called on the loop's thread
 * unless it says otherwise; callbacks run there. What can block goes to loop_work(). */
#ifndef GANTRY_LOOP_LOOP_H
#define GANTRY_LOOP_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

struct event_base;
struct loop;

/* workers: threads for loop_work() at most, started when needed (0: 4). Ignores SIGPIPE in the
 * process and resets SIGCHLD. */
struct loop *loop_new(unsigned workers);
/* Finishes the work that was asked for, calls what was posted and its done callbacks, kills and
 * reaps children that still run (no callback). NULL is accepted. */
void loop_free(struct loop *loop);
/* Finishes the work that was asked for and calls what was posted, done callbacks among it. The loop
 * does not run meanwhile. */
void loop_drain(struct loop *loop);
void loop_run(struct loop *loop); /* until loop_stop() */
void loop_stop(struct loop *loop);
/* Runs callbacks for at most `ms`, or until *stop is true (NULL: the time alone). For tests and
 * ordered shutdown. */
void loop_run_for(struct loop *loop, int64_t ms, const bool *stop);
struct event_base *
loop_event_base(struct loop *loop); /* for wrappers of libraries that speak libevent */

/* Runs fn(arg) on the loop's thread soon. Any thread. */
void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg);

/* Runs work(arg) on a worker thread, then done(arg) (may be NULL) on the loop's. First in, first
 * out over the pool. Any thread. */
void loop_work(struct loop *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg);

/* Timers. One-shot: arm again in the callback to repeat. Monotonic time. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *loop, void (*fn)(void *arg), void *arg);
void loop_timer_arm(struct loop_timer *timer, int64_t ms); /* replaces what was armed */
void loop_timer_cancel(struct loop_timer *timer);
bool loop_timer_armed(const struct loop_timer *timer);
void loop_timer_free(
    struct loop_timer *timer); /* NULL is accepted; also from inside its callback */

/* File descriptors: level-triggered. The descriptor stays the caller's. */
#define LOOP_READ  1
#define LOOP_WRITE 2
struct loop_fd;
struct loop_fd *loop_fd_new(struct loop *loop, int fd, int what, void (*fn)(int what, void *arg),
                            void *arg);
void loop_fd_watch(struct loop_fd *watch, int what); /* something else from now on; 0: nothing */
void loop_fd_free(struct loop_fd *watch);            /* NULL is accepted */

/* Signals of the process, e.g. SIGTERM. */
struct loop_signal;
struct loop_signal *loop_signal_new(struct loop *loop, int signo, void (*fn)(int signo, void *arg),
                                    void *arg);
void loop_signal_free(struct loop_signal *sig);

#endif
