#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "loop/child.h"
#include "loop/loop.h"

#define LONG_MS   20000
#define BIG_BYTES (1024 * 1024)

struct fixture {
    struct loop *loop;
    struct loop_child_opts opts;
    struct buf out, err;
    bool ended, abandoned;
    struct loop_child_exit result;
};

static void on_output(struct loop_child *child, const char *data, size_t len, void *arg)
{
    struct fixture *f = arg;

    (void)child;
    assert_true(len <= 64 * 1024);
    buf_add(&f->out, data, len);
}

static void on_error_output(struct loop_child *child, const char *data, size_t len, void *arg)
{
    (void)child;
    buf_add(&((struct fixture *)arg)->err, data, len);
}

static void on_exit_of(struct loop_child *child, const struct loop_child_exit *result, void *arg)
{
    struct fixture *f = arg;

    (void)child;
    f->ended = true;
    f->result = *result;
}

static void on_abandoned(void *arg)
{
    ((struct fixture *)arg)->abandoned = true;
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));

    f->loop = loop_new(1);
    buf_init(&f->out, 8 * BIG_BYTES);
    buf_init(&f->err, BIG_BYTES);
    f->opts = (struct loop_child_opts){.on_output = on_output,
                                       .on_error_output = on_error_output,
                                       .on_exit = on_exit_of,
                                       .on_abandoned = on_abandoned,
                                       .arg = f};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    loop_free(f->loop);
    buf_release(&f->out);
    buf_release(&f->err);
    free(f);
    return 0;
}

static struct loop_child *start(struct fixture *f, const char *const *argv)
{
    struct loop_child *child;
    struct err err;

    f->opts.argv = argv;
    if (loop_child_start(&child, f->loop, &f->opts, &err) != 0)
        fail_msg("%s", err.msg);
    return child;
}

static void run(struct fixture *f, const char *const *argv)
{
    start(f, argv);
    loop_run_for(f->loop, LONG_MS, &f->ended);
    assert_true(f->ended);
}

static void shell(struct fixture *f, const char *script)
{
    run(f, (const char *const[]){"sh", "-c", script, NULL});
}

static void its_exit_code_and_both_outputs_are_told(void **state)
{
    struct fixture *f = *state;

    shell(f, "echo to out; echo to err >&2; exit 7");
    assert_int_equal(f->result.code, 7);
    assert_int_equal(f->result.signo, 0);
    assert_false(f->result.timed_out);
    assert_false(f->result.stopped);
    assert_string_equal(buf_cstr(&f->out), "to out\n");
    assert_string_equal(buf_cstr(&f->err), "to err\n");
}

static void merged_outputs_come_in_the_order_written(void **state)
{
    struct fixture *f = *state;

    f->opts.merge_stderr = true;
    shell(f, "echo one; echo two >&2; echo three");
    assert_string_equal(buf_cstr(&f->out), "one\ntwo\nthree\n");
    assert_int_equal(f->err.len, 0);
}

static void a_signal_that_ended_it_is_told(void **state)
{
    struct fixture *f = *state;

    shell(f, "kill -USR1 $$");
    assert_int_equal(f->result.code, -1);
    assert_int_equal(f->result.signo, SIGUSR1);
}

static void input_larger_than_a_pipe_reaches_it_whole(void **state)
{
    struct fixture *f = *state;
    char *input = mem_alloc(BIG_BYTES);

    memset(input, 'i', BIG_BYTES);
    f->opts.input = input;
    f->opts.input_len = BIG_BYTES;
    run(f, (const char *const[]){"cat", NULL});
    assert_int_equal(f->result.code, 0);
    assert_int_equal(f->out.len, BIG_BYTES);
    assert_memory_equal(f->out.data, input, BIG_BYTES);
    free(input);
}

static void a_child_that_does_not_read_its_input_ends_all_the_same(void **state)
{
    struct fixture *f = *state;
    char *input = mem_alloc(BIG_BYTES);

    f->opts.input = input;
    f->opts.input_len = BIG_BYTES;
    shell(f, "exec 0<&-; exit 3");
    assert_int_equal(f->result.code, 3);
    free(input);
}

static void without_input_it_reads_the_end_at_once(void **state)
{
    struct fixture *f = *state;

    run(f, (const char *const[]){"cat", NULL});
    assert_int_equal(f->result.code, 0);
    assert_int_equal(f->out.len, 0);
}

static void it_gets_only_the_environment_and_folder_given(void **state)
{
    struct fixture *f = *state;

    setenv("GANTRY_TEST_LEAK", "secret", 1);
    f->opts.env = (const char *const[]){"A=1", "PATH=/usr/bin:/bin", NULL};
    f->opts.cwd = "/tmp";
    run(f, (const char *const[]){"sh", "-c", "pwd; env | grep -v -e ^PWD= -e ^_= | sort", NULL});
    assert_string_equal(buf_cstr(&f->out), "/tmp\nA=1\nPATH=/usr/bin:/bin\n");
}

static void descriptors_above_two_are_closed_in_it(void **state)
{
    struct fixture *f = *state;
    const int fd = open("/dev/null", O_RDONLY);
    char *script = mem_printf("test -e /proc/self/fd/%d", fd);

    shell(f, script);
    assert_int_equal(f->result.code, 1);
    free(script);
    close(fd);
}

static void ignored_signals_are_reset_in_it(void **state)
{
    struct fixture *f = *state;

    signal(SIGUSR2, SIG_IGN);
    shell(f, "kill -USR2 $$; kill -PIPE $$; exit 0");
    assert_int_equal(f->result.signo, SIGUSR2);
    signal(SIGUSR2, SIG_DFL);
}

static void a_missing_program_is_an_error_at_once(void **state)
{
    struct fixture *f = *state;
    struct loop_child *child;
    struct err err;

    f->opts.argv = (const char *const[]){"gantry-no-such-program", NULL};
    assert_int_equal(loop_child_start(&child, f->loop, &f->opts, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(err.msg, "gantry-no-such-program"));
    f->opts.argv = (const char *const[]){"", NULL};
    assert_int_equal(loop_child_start(&child, f->loop, &f->opts, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
}

/* ThreadSanitizer turns vfork() into fork(), so that what exec says cannot be seen. */
#ifndef __SANITIZE_THREAD__
static void a_program_or_folder_that_cannot_be_used_is_an_error_at_once(void **state)
{
    struct fixture *f = *state;
    struct loop_child *child;
    struct err err;

    f->opts.argv = (const char *const[]){"/nowhere/program", NULL};
    assert_int_equal(loop_child_start(&child, f->loop, &f->opts, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    f->opts.argv = (const char *const[]){"/etc/hostname", NULL};
    assert_int_equal(loop_child_start(&child, f->loop, &f->opts, &err), -1);
    assert_int_equal(err.code, ERR_DENIED);
    f->opts.argv = (const char *const[]){"true", NULL};
    f->opts.cwd = "/nowhere";
    assert_int_equal(loop_child_start(&child, f->loop, &f->opts, &err), -1);
    assert_non_null(strstr(err.msg, "/nowhere"));
}
#endif

static void a_deadline_ends_it_and_its_descendants(void **state)
{
    struct fixture *f = *state;

    f->opts.timeout_ms = 200;
    shell(f, "sleep 300 & sleep 300; echo not reached");
    assert_true(f->result.timed_out);
    assert_int_equal(f->result.signo, SIGTERM);
    assert_true(f->result.elapsed_ms >= 200 && f->result.elapsed_ms < 10000);
    assert_int_equal(f->out.len, 0);
}

static int ignore_polite_signal(void *arg)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)arg;
    return sigaction(SIGTERM, &ignore, NULL);
}

static void one_that_ignores_the_polite_signal_is_killed_after_the_grace(void **state)
{
    struct fixture *f = *state;

    f->opts.timeout_ms = 300;
    f->opts.grace_ms = 200;
    /* From its first moment on: a shell's trap may come after the deadline. */
    f->opts.pre_exec = ignore_polite_signal;
    f->opts.pre_exec_shares = true;
    shell(f, "while :; do sleep 300; done");
    assert_true(f->result.timed_out);
    assert_int_equal(f->result.signo, SIGKILL);
    assert_true(f->result.elapsed_ms >= 500);
}

static void stop_on_output(struct loop_child *child, const char *data, size_t len, void *arg)
{
    on_output(child, data, len, arg);
    loop_child_stop(child);
    loop_child_stop(child);
}

static void stopping_it_ends_it_and_what_it_left_in_its_group(void **state)
{
    struct fixture *f = *state;

    f->opts.on_output = stop_on_output;
    shell(f, "(trap '' TERM; while :; do sleep 300; done) & echo $!; sleep 300");
    assert_true(f->result.stopped);
    assert_false(f->result.timed_out);
    const pid_t left = (pid_t)strtol(buf_cstr(&f->out), NULL, 10);
    /* A signal is sent at once, but what it kills dies when it is next given a processor. */
    char *gone = mem_printf("while test -e /proc/%d && ! grep -q '^State:.Z' /proc/%d/status; "
                            "do sleep 0.01; done",
                            left, left);
    f->ended = false;
    f->opts.on_output = on_output;
    f->opts.timeout_ms = LONG_MS / 2;
    shell(f, gone);
    assert_int_equal(f->result.code, 0);
    free(gone);
}

static void an_output_held_open_by_a_survivor_delays_its_end_by_a_second_only(void **state)
{
    struct fixture *f = *state;
    const int64_t began = clock_mono_ms();

    shell(f, "sleep 300 & echo $!; exit 5");
    assert_int_equal(f->result.code, 5);
    assert_true(f->result.elapsed_ms < 1000);
    assert_in_range(clock_mono_ms() - began, 1000, 5000);
    /* It ended by itself, so what it left is left alone. */
    assert_int_equal(kill((pid_t)strtol(buf_cstr(&f->out), NULL, 10), SIGKILL), 0);
}

static void pause_on_output(struct loop_child *child, const char *data, size_t len, void *arg)
{
    on_output(child, data, len, arg);
    loop_child_pause(child, true);
}

static void a_paused_child_blocks_and_loses_nothing(void **state)
{
    struct fixture *f = *state;

    f->opts.on_output = pause_on_output;
    struct loop_child *child =
        start(f, (const char *const[]){"sh", "-c", "head -c 1000000 /dev/zero; echo end", NULL});
    loop_run_for(f->loop, 300, NULL);
    const size_t before = f->out.len;
    assert_true(before > 0 && before <= 64 * 1024);
    assert_false(f->ended);
    while (!f->ended) {
        loop_child_pause(child, false);
        loop_run_for(f->loop, 20, &f->ended);
    }
    assert_int_equal(f->out.len, 1000004);
}

static void a_paused_child_that_ended_is_kept_until_its_output_is_read(void **state)
{
    struct fixture *f = *state;
    struct loop_child *child = start(f, (const char *const[]){"echo", "kept", NULL});

    loop_child_pause(child, true);
    loop_run_for(f->loop, 1500, &f->ended);
    assert_false(f->ended);
    loop_child_pause(child, false);
    loop_run_for(f->loop, LONG_MS, &f->ended);
    assert_string_equal(buf_cstr(&f->out), "kept\n");
}

static int keep_descriptor(void *arg)
{
    return fcntl(*(int *)arg, F_SETFD, 0);
}

static void what_runs_before_exec_can_hand_down_a_descriptor(void **state)
{
    struct fixture *f = *state;
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], "handed\n", 7), 7);
    close(fds[1]);
    char *script = mem_printf("cat <&%d", fds[0]);
    f->opts.pre_exec = keep_descriptor;
    f->opts.pre_exec_arg = &fds[0];
    shell(f, script);
    assert_string_equal(buf_cstr(&f->out), "handed\n");
    free(script);
    close(fds[0]);
}

static int wait_for_byte(void *arg)
{
    char c;
    return read(*(int *)arg, &c, 1) == 1 && c == 'g' ? 0 : -1;
}

static void what_runs_before_exec_may_wait_for_its_parent_unless_it_shares(void **state)
{
    struct fixture *f = *state;
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    f->opts.pre_exec = wait_for_byte;
    f->opts.pre_exec_arg = &fds[0];
    start(f, (const char *const[]){"echo", "went", NULL});
    assert_int_equal(write(fds[1], "g", 1), 1);
    loop_run_for(f->loop, LONG_MS, &f->ended);
    assert_string_equal(buf_cstr(&f->out), "went\n");
    close(fds[0]);
    close(fds[1]);
}

static int refuse(void *arg)
{
    (void)arg;
    return -1;
}

static void a_refusal_before_exec_ends_it_with_127_and_a_reason(void **state)
{
    struct fixture *f = *state;

    f->opts.pre_exec = refuse;
    shell(f, "echo not reached");
    assert_int_equal(f->result.code, 127);
    assert_int_equal(f->out.len, 0);
    assert_non_null(strstr(buf_cstr(&f->err), "cannot run"));
}

static void children_that_run_when_the_loop_is_freed_are_killed_and_told_so(void **state)
{
    struct fixture *f = *state;
    struct loop_child *child = start(f, (const char *const[]){"sleep", "300", NULL});
    const pid_t pid = loop_child_pid(child);

    loop_free(f->loop);
    f->loop = NULL;
    assert_false(f->ended);
    assert_true(f->abandoned);
    assert_int_equal(kill(pid, 0), -1);
}

static void *busy(void *arg)
{
    while (!__atomic_load_n((bool *)arg, __ATOMIC_SEQ_CST)) {
        void *p = mem_alloc(100);
        free(p);
    }
    return NULL;
}

struct many {
    struct loop *loop;
    int left, failed;
    bool all;
};

static void on_many_exit(struct loop_child *child, const struct loop_child_exit *r, void *arg)
{
    struct many *many = arg;

    (void)child;
    many->failed += r->code != 0;
    many->all = --many->left == 0;
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void many_start_and_end_while_threads_allocate(void **state)
{
    struct fixture *f = *state;
    struct many many = {.loop = f->loop, .left = 60};
    bool stop = false;
    pthread_t thread;
    struct loop_child_opts opts = {
        .argv = (const char *const[]){"true", NULL}, .on_exit = on_many_exit, .arg = &many};

    pthread_create(&thread, NULL, busy, &stop);
    for (int i = 0; i < 60; i++) {
        struct loop_child *child;
        struct err err;
        opts.pre_exec = i % 2 ? nothing : NULL;
        if (loop_child_start(&child, f->loop, &opts, &err) != 0)
            fail_msg("%s", err.msg);
    }
    loop_run_for(f->loop, LONG_MS, &many.all);
    assert_int_equal(many.left, 0);
    assert_int_equal(many.failed, 0);
    __atomic_store_n(&stop, true, __ATOMIC_SEQ_CST);
    pthread_join(thread, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(its_exit_code_and_both_outputs_are_told),
        TEST(merged_outputs_come_in_the_order_written),
        TEST(a_signal_that_ended_it_is_told),
        TEST(input_larger_than_a_pipe_reaches_it_whole),
        TEST(a_child_that_does_not_read_its_input_ends_all_the_same),
        TEST(without_input_it_reads_the_end_at_once),
        TEST(it_gets_only_the_environment_and_folder_given),
        TEST(descriptors_above_two_are_closed_in_it),
        TEST(ignored_signals_are_reset_in_it),
        TEST(a_missing_program_is_an_error_at_once),
#ifndef __SANITIZE_THREAD__
        TEST(a_program_or_folder_that_cannot_be_used_is_an_error_at_once),
#endif
        TEST(a_deadline_ends_it_and_its_descendants),
        TEST(one_that_ignores_the_polite_signal_is_killed_after_the_grace),
        TEST(stopping_it_ends_it_and_what_it_left_in_its_group),
        TEST(an_output_held_open_by_a_survivor_delays_its_end_by_a_second_only),
        TEST(a_paused_child_blocks_and_loses_nothing),
        TEST(a_paused_child_that_ended_is_kept_until_its_output_is_read),
        TEST(what_runs_before_exec_can_hand_down_a_descriptor),
        TEST(what_runs_before_exec_may_wait_for_its_parent_unless_it_shares),
        TEST(a_refusal_before_exec_ends_it_with_127_and_a_reason),
        TEST(children_that_run_when_the_loop_is_freed_are_killed_and_told_so),
        TEST(many_start_and_end_while_threads_allocate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
