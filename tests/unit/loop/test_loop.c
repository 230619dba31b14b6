#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "loop/loop.h"

#define LONG_MS 10000

struct fixture {
    struct loop *loop;
    int fired;
    bool stop;
    int order[64];
    pthread_t seen_on;
    struct loop_timer *timer;
};

static void setup(struct fixture *f, unsigned workers)
{
    *f = (struct fixture){.loop = loop_new(workers)};
}

static void count_and_stop(void *arg)
{
    struct fixture *f = arg;

    f->fired++;
    f->stop = true;
    f->seen_on = pthread_self();
}

static void a_timer_fires_once_and_not_before_its_time(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f, 1);
    struct loop_timer *timer = loop_timer_new(f.loop, count_and_stop, &f);
    const int64_t began = clock_mono_us();

    loop_timer_arm(timer, 20);
    assert_true(loop_timer_armed(timer));
    loop_run_for(f.loop, LONG_MS, &f.stop);
    assert_int_equal(f.fired, 1);
    assert_true(clock_mono_us() - began >= 20000);
    assert_false(loop_timer_armed(timer));
    loop_run_for(f.loop, 50, NULL);
    assert_int_equal(f.fired, 1);
    loop_timer_free(timer);
    loop_free(f.loop);
}

static void a_cancelled_timer_stays_silent_and_arming_replaces(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f, 1);
    struct loop_timer *timer = loop_timer_new(f.loop, count_and_stop, &f);

    loop_timer_arm(timer, 5);
    loop_timer_cancel(timer);
    loop_run_for(f.loop, 30, NULL);
    assert_int_equal(f.fired, 0);
    loop_timer_arm(timer, 5);
    loop_timer_arm(timer, LONG_MS);
    loop_run_for(f.loop, 30, NULL);
    assert_int_equal(f.fired, 0);
    loop_timer_free(timer);
    loop_timer_free(NULL);
    loop_free(f.loop);
}

static void free_own_timer(void *arg)
{
    struct fixture *f = arg;

    loop_timer_free(f->timer);
    count_and_stop(f);
}

static void a_timer_may_free_itself_in_its_callback(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f, 1);
    f.timer = loop_timer_new(f.loop, free_own_timer, &f);
    loop_timer_arm(f.timer, 1);
    loop_run_for(f.loop, LONG_MS, &f.stop);
    assert_int_equal(f.fired, 1);
    loop_free(f.loop);
}

#define POSTERS          4
#define POSTS_PER_THREAD 5000

struct poster {
    struct fixture *f;
    int next_expected;
    bool out_of_order;
    struct numbered {
        struct poster *poster;
        int number;
    } posts[POSTS_PER_THREAD];
};

static void on_numbered(void *arg)
{
    struct numbered *n = arg;
    struct fixture *f = n->poster->f;

    n->poster->out_of_order |= n->number != n->poster->next_expected++;
    if (++f->fired == POSTERS * POSTS_PER_THREAD)
        loop_stop(f->loop);
}

static void *post_many(void *arg)
{
    struct poster *poster = arg;

    for (int i = 0; i < POSTS_PER_THREAD; i++) {
        poster->posts[i] = (struct numbered){.poster = poster, .number = i};
        loop_post(poster->f->loop, on_numbered, &poster->posts[i]);
    }
    return NULL;
}

static void posts_of_several_threads_all_run_on_the_loop_in_each_threads_order(void **state)
{
    static struct poster posters[POSTERS];
    struct fixture f;
    pthread_t threads[POSTERS];
    (void)state;
    setup(&f, 1);

    for (int i = 0; i < POSTERS; i++) {
        posters[i].f = &f;
        pthread_create(&threads[i], NULL, post_many, &posters[i]);
    }
    loop_run(f.loop);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(posters[i].out_of_order);
    }
    assert_int_equal(f.fired, POSTERS * POSTS_PER_THREAD);
    loop_free(f.loop);
}

struct job {
    struct fixture *f;
    pthread_t worked_on;
    atomic_int *running;
    atomic_int *most;
    int number;
};

static void job_work(void *arg)
{
    struct job *job = arg;

    job->worked_on = pthread_self();
    if (job->running) {
        const int now = atomic_fetch_add(job->running, 1) + 1;
        int most = atomic_load(job->most);
        while (now > most && !atomic_compare_exchange_weak(job->most, &most, now))
            ;
        usleep(20000);
        atomic_fetch_sub(job->running, 1);
    }
}

static void job_done(void *arg)
{
    struct job *job = arg;

    job->f->order[job->f->fired] = job->number;
    count_and_stop(job->f);
    job->f->stop = job->f->fired == 8;
}

static void work_runs_on_another_thread_and_done_on_the_loops(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f, 1);
    struct job jobs[8];

    for (int i = 0; i < 8; i++) {
        jobs[i] = (struct job){.f = &f, .number = i};
        loop_work(f.loop, job_work, job_done, &jobs[i]);
    }
    loop_run_for(f.loop, LONG_MS, &f.stop);
    assert_int_equal(f.fired, 8);
    assert_true(pthread_equal(f.seen_on, pthread_self()));
    for (int i = 0; i < 8; i++) {
        assert_false(pthread_equal(jobs[i].worked_on, pthread_self()));
        assert_int_equal(f.order[i], i);
    }
    loop_free(f.loop);
}

static void no_more_work_runs_at_once_than_there_are_workers(void **state)
{
    struct fixture f;
    atomic_int running = 0, most = 0;
    (void)state;
    setup(&f, 3);
    struct job jobs[8];

    for (int i = 0; i < 8; i++) {
        jobs[i] = (struct job){.f = &f, .running = &running, .most = &most};
        loop_work(f.loop, job_work, job_done, &jobs[i]);
    }
    loop_run_for(f.loop, LONG_MS, &f.stop);
    assert_int_equal(f.fired, 8);
    assert_int_equal(atomic_load(&most), 3);
    loop_free(f.loop);
}

static void freeing_the_loop_finishes_the_work_that_was_asked_for(void **state)
{
    struct fixture f;
    atomic_int running = 0, most = 0;
    (void)state;
    setup(&f, 1);
    struct job jobs[4];

    for (int i = 0; i < 4; i++) {
        jobs[i] = (struct job){.f = &f, .running = &running, .most = &most};
        loop_work(f.loop, job_work, job_done, &jobs[i]);
    }
    loop_free(f.loop);
    assert_int_equal(f.fired, 4);
}

static void on_readable(int what, void *arg)
{
    struct fixture *f = arg;

    assert_int_equal(what, LOOP_READ);
    count_and_stop(f);
}

static void a_descriptor_is_told_of_while_it_is_readable_and_watched(void **state)
{
    struct fixture f;
    int fds[2];
    (void)state;
    setup(&f, 1);
    assert_int_equal(pipe(fds), 0);
    struct loop_fd *watch = loop_fd_new(f.loop, fds[0], LOOP_READ, on_readable, &f);

    loop_run_for(f.loop, 10, NULL);
    assert_int_equal(f.fired, 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    loop_run_for(f.loop, LONG_MS, &f.stop);
    assert_int_equal(f.fired, 1);
    loop_fd_watch(watch, 0);
    loop_run_for(f.loop, 10, NULL);
    assert_int_equal(f.fired, 1);
    loop_fd_watch(watch, LOOP_READ);
    f.stop = false;
    loop_run_for(f.loop, LONG_MS, &f.stop);
    assert_int_equal(f.fired, 2);
    loop_fd_free(watch);
    loop_fd_free(NULL);
    close(fds[0]);
    close(fds[1]);
    loop_free(f.loop);
}

static void on_usr1(int signo, void *arg)
{
    assert_int_equal(signo, SIGUSR1);
    count_and_stop(arg);
}

static void a_signal_of_the_process_is_a_callback(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f, 1);
    struct loop_signal *sig = loop_signal_new(f.loop, SIGUSR1, on_usr1, &f);

    kill(getpid(), SIGUSR1);
    loop_run_for(f.loop, LONG_MS, &f.stop);
    assert_int_equal(f.fired, 1);
    loop_signal_free(sig);
    loop_signal_free(NULL);
    loop_free(f.loop);
}

static void running_for_a_time_ends_with_it(void **state)
{
    struct fixture f;
    (void)state;
    setup(&f, 1);
    const int64_t began = clock_mono_ms();

    loop_run_for(f.loop, 30, NULL);
    assert_true(clock_mono_ms() - began >= 30);
    loop_stop(f.loop);
    loop_run(f.loop);
    loop_free(f.loop);
    loop_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_timer_fires_once_and_not_before_its_time),
        cmocka_unit_test(a_cancelled_timer_stays_silent_and_arming_replaces),
        cmocka_unit_test(a_timer_may_free_itself_in_its_callback),
        cmocka_unit_test(posts_of_several_threads_all_run_on_the_loop_in_each_threads_order),
        cmocka_unit_test(work_runs_on_another_thread_and_done_on_the_loops),
        cmocka_unit_test(no_more_work_runs_at_once_than_there_are_workers),
        cmocka_unit_test(freeing_the_loop_finishes_the_work_that_was_asked_for),
        cmocka_unit_test(a_descriptor_is_told_of_while_it_is_readable_and_watched),
        cmocka_unit_test(a_signal_of_the_process_is_a_callback),
        cmocka_unit_test(running_for_a_time_ends_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
