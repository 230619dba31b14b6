#include "loop/loop.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/loop_internal.h"

/* libevent's own locking stays off: other threads touch nothing of it. They add to a list under a
 * mutex and ring an eventfd, which the loop's thread watches. */

#define WORKERS_DEFAULT 4

struct post {
    STAILQ_ENTRY(post) link;
    void (*fn)(void *arg);
    void *arg;
};
STAILQ_HEAD(posts, post);

struct work {
    STAILQ_ENTRY(work) link;
    struct loop *loop;
    void (*work)(void *arg);
    void (*done)(void *arg);
    void *arg;
};
STAILQ_HEAD(works, work);

struct loop {
    struct event_base *base;
    bool stop_asked;
    struct loop_children children;

    pthread_mutex_t post_lock;
    struct posts posts;
    int post_fd;
    struct event *post_event;

    pthread_mutex_t work_lock;
    pthread_cond_t work_ready;
    struct works works;
    pthread_t *threads;
    unsigned threads_max;
    unsigned threads_count;
    unsigned threads_idle;
    bool closing;
};

/* ---- posting ---- */

static void posts_run(struct loop *loop)
{
    struct posts batch = STAILQ_HEAD_INITIALIZER(batch);

    pthread_mutex_lock(&loop->post_lock);
    STAILQ_CONCAT(&batch, &loop->posts);
    pthread_mutex_unlock(&loop->post_lock);

    while (!STAILQ_EMPTY(&batch)) {
        struct post *post = STAILQ_FIRST(&batch);
        STAILQ_REMOVE_HEAD(&batch, link);
        post->fn(post->arg);
        free(post);
    }
}

static void on_post(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;
    uint64_t count;

    (void)what;
    ssize_t n = read(fd, &count, sizeof(count));
    (void)n;
    posts_run(loop);
}

void loop_post(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct post *post = mem_alloc(sizeof(*post));
    post->fn = fn;
    post->arg = arg;

    pthread_mutex_lock(&loop->post_lock);
    bool ring = STAILQ_EMPTY(&loop->posts);
    STAILQ_INSERT_TAIL(&loop->posts, post, link);
    if (ring) {
        const uint64_t one = 1;
        ssize_t n = write(loop->post_fd, &one, sizeof(one));
        (void)n;
    }
    pthread_mutex_unlock(&loop->post_lock);
}

/* ---- workers ---- */

static void *worker_main(void *arg)
{
    struct loop *loop = arg;

    pthread_mutex_lock(&loop->work_lock);
    for (;;) {
        while (STAILQ_EMPTY(&loop->works) && !loop->closing) {
            loop->threads_idle++;
            pthread_cond_wait(&loop->work_ready, &loop->work_lock);
            loop->threads_idle--;
        }
        if (STAILQ_EMPTY(&loop->works))
            break;
        struct work *work = STAILQ_FIRST(&loop->works);
        STAILQ_REMOVE_HEAD(&loop->works, link);
        pthread_mutex_unlock(&loop->work_lock);

        work->work(work->arg);
        if (work->done)
            loop_post(loop, work->done, work->arg);
        free(work);

        pthread_mutex_lock(&loop->work_lock);
    }
    pthread_mutex_unlock(&loop->work_lock);
    return NULL;
}

/* Under work_lock. Signals stay with the loop's thread. */
static void worker_start(struct loop *loop)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&loop->threads[loop->threads_count], NULL, worker_main, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0) {
        loop->threads_count++;
        return;
    }
    if (loop->threads_count == 0) {
        fprintf(stderr, "no worker thread can be started: %s\n", strerror(rc));
        abort();
    }
}

void loop_work(struct loop *loop, void (*work)(void *arg), void (*done)(void *arg), void *arg)
{
    struct work *item = mem_alloc(sizeof(*item));
    item->loop = loop;
    item->work = work;
    item->done = done;
    item->arg = arg;

    pthread_mutex_lock(&loop->work_lock);
    bool waiting = !STAILQ_EMPTY(&loop->works);
    STAILQ_INSERT_TAIL(&loop->works, item, link);
    if ((loop->threads_idle == 0 || waiting) && loop->threads_count < loop->threads_max &&
        !loop->closing)
        worker_start(loop);
    pthread_cond_signal(&loop->work_ready);
    pthread_mutex_unlock(&loop->work_lock);
}

/* Finishes all work that is queued or runs; the threads have ended when it returns. */
static void workers_close(struct loop *loop)
{
    pthread_mutex_lock(&loop->work_lock);
    loop->closing = true;
    pthread_cond_broadcast(&loop->work_ready);
    pthread_mutex_unlock(&loop->work_lock);

    for (unsigned i = 0; i < loop->threads_count; i++)
        pthread_join(loop->threads[i], NULL);
    loop->threads_count = 0;
    loop->closing = false;
}

/* ---- the loop ---- */

struct loop *loop_new(unsigned workers)
{
    struct loop *loop = mem_alloc(sizeof(*loop));
    struct event_config *config = event_config_new();

    /* A write to a pipe or socket that is gone is an error to handle, not the end; and an inherited
     * SIG_IGN for SIGCHLD would make children's ends unknowable. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);

    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_PRECISE_TIMER);
    loop->base = event_base_new_with_config(config);
    event_config_free(config);
    loop->post_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!loop->base || loop->post_fd < 0) {
        fprintf(stderr, "the event loop cannot be made: %s\n", strerror(errno));
        abort();
    }
    LIST_INIT(&loop->children);
    STAILQ_INIT(&loop->posts);
    STAILQ_INIT(&loop->works);
    pthread_mutex_init(&loop->post_lock, NULL);
    pthread_mutex_init(&loop->work_lock, NULL);
    pthread_cond_init(&loop->work_ready, NULL);
    loop->threads_max = workers ? workers : WORKERS_DEFAULT;
    loop->threads = mem_alloc(loop->threads_max * sizeof(*loop->threads));
    loop->post_event = event_new(loop->base, loop->post_fd, EV_READ | EV_PERSIST, on_post, loop);
    event_add(loop->post_event, NULL);
    return loop;
}

static bool posts_empty(struct loop *loop)
{
    pthread_mutex_lock(&loop->post_lock);
    bool empty = STAILQ_EMPTY(&loop->posts);
    pthread_mutex_unlock(&loop->post_lock);
    return empty;
}

void loop_drain(struct loop *loop)
{
    /* A done callback may ask for more work, and work may post: until neither does. */
    do {
        workers_close(loop);
        posts_run(loop);
    } while (!posts_empty(loop) || loop->threads_count > 0);
}

void loop_free(struct loop *loop)
{
    if (!loop)
        return;
    loop_drain(loop);
    loop_children_abandon(&loop->children);

    event_free(loop->post_event);
    close(loop->post_fd);
    event_base_free(loop->base);
    pthread_mutex_destroy(&loop->post_lock);
    pthread_mutex_destroy(&loop->work_lock);
    pthread_cond_destroy(&loop->work_ready);
    free(loop->threads);
    free(loop);
}

void loop_run(struct loop *loop)
{
    while (!loop->stop_asked)
        event_base_loop(loop->base, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
    loop->stop_asked = false;
}

void loop_stop(struct loop *loop)
{
    loop->stop_asked = true;
    event_base_loopbreak(loop->base);
}

static void on_nothing(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

void loop_run_for(struct loop *loop, int64_t ms, const bool *stop)
{
    const int64_t end = clock_mono_ms() + ms;
    struct event *alarm = evtimer_new(loop->base, on_nothing, NULL);

    for (;;) {
        int64_t left = end - clock_mono_ms();
        if (left < 0)
            left = 0;
        const struct timeval tv = {.tv_sec = left / 1000, .tv_usec = left % 1000 * 1000};
        event_add(alarm, &tv);
        event_base_loop(loop->base, left == 0 ? EVLOOP_NONBLOCK : EVLOOP_ONCE);
        if (left == 0 || (stop && *stop) || loop->stop_asked)
            break;
    }
    loop->stop_asked = false;
    event_free(alarm);
}

struct event_base *loop_event_base(struct loop *loop)
{
    return loop->base;
}

struct loop_children *loop_children(struct loop *loop)
{
    return &loop->children;
}

/* ---- timers ---- */

struct loop_timer {
    struct event *event;
    void (*fn)(void *arg);
    void *arg;
};

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct loop_timer *timer = arg;

    (void)fd;
    (void)what;
    timer->fn(timer->arg);
}

struct loop_timer *loop_timer_new(struct loop *loop, void (*fn)(void *arg), void *arg)
{
    struct loop_timer *timer = mem_alloc(sizeof(*timer));

    timer->fn = fn;
    timer->arg = arg;
    timer->event = evtimer_new(loop->base, on_timer, timer);
    return timer;
}

void loop_timer_arm(struct loop_timer *timer, int64_t ms)
{
    if (ms < 0)
        ms = 0;
    const struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    evtimer_add(timer->event, &tv);
}

void loop_timer_cancel(struct loop_timer *timer)
{
    evtimer_del(timer->event);
}

bool loop_timer_armed(const struct loop_timer *timer)
{
    return evtimer_pending(timer->event, NULL);
}

void loop_timer_free(struct loop_timer *timer)
{
    if (!timer)
        return;
    event_free(timer->event);
    free(timer);
}

/* ---- file descriptors ---- */

struct loop_fd {
    struct event *event;
    struct event_base *base;
    int fd;
    void (*fn)(int what, void *arg);
    void *arg;
};

static void on_fd(evutil_socket_t fd, short what, void *arg)
{
    struct loop_fd *watch = arg;

    (void)fd;
    watch->fn((what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0), watch->arg);
}

struct loop_fd *loop_fd_new(struct loop *loop, int fd, int what, void (*fn)(int what, void *arg),
                            void *arg)
{
    struct loop_fd *watch = mem_alloc(sizeof(*watch));

    watch->base = loop->base;
    watch->fd = fd;
    watch->fn = fn;
    watch->arg = arg;
    watch->event = event_new(loop->base, fd, EV_PERSIST, on_fd, watch);
    loop_fd_watch(watch, what);
    return watch;
}

void loop_fd_watch(struct loop_fd *watch, int what)
{
    const short flags =
        (short)((what & LOOP_READ ? EV_READ : 0) | (what & LOOP_WRITE ? EV_WRITE : 0));

    event_del(watch->event);
    if (!flags)
        return;
    event_assign(watch->event, watch->base, watch->fd, (short)(flags | EV_PERSIST), on_fd, watch);
    event_add(watch->event, NULL);
}

void loop_fd_free(struct loop_fd *watch)
{
    if (!watch)
        return;
    event_free(watch->event);
    free(watch);
}

/* ---- signals ---- */

struct loop_signal {
    struct event *event;
    void (*fn)(int signo, void *arg);
    void *arg;
};

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
    struct loop_signal *sig = arg;

    (void)what;
    sig->fn((int)signo, sig->arg);
}

struct loop_signal *loop_signal_new(struct loop *loop, int signo, void (*fn)(int signo, void *arg),
                                    void *arg)
{
    struct loop_signal *sig = mem_alloc(sizeof(*sig));

    sig->fn = fn;
    sig->arg = arg;
    sig->event = evsignal_new(loop->base, signo, on_signal, sig);
    evsignal_add(sig->event, NULL);
    return sig;
}

void loop_signal_free(struct loop_signal *sig)
{
    if (!sig)
        return;
    event_free(sig->event);
    free(sig);
}
