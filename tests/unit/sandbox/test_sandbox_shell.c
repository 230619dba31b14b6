#include "sandbox/shell.h"

#include "tests/unit/sandbox/fixture.h"

struct session {
    struct sandbox *box;
    struct shell *shell;
    struct buf output;
    bool done;
    struct shell_exit last;
    char limit[256], refused[256];
};

static bool on_output(struct shell *shell, const char *data, size_t len, void *arg)
{
    struct session *s = arg;
    (void)shell;
    buf_add(&s->output, data, len);
    return true;
}

static void on_done(struct shell *shell, const struct shell_exit *result, void *arg)
{
    struct session *s = arg;
    (void)shell;
    s->last = *result;
    snprintf(s->limit, sizeof(s->limit), "%s", result->limit ? result->limit : "");
    snprintf(s->refused, sizeof(s->refused), "%s", result->refused ? result->refused : "");
    s->done = true;
}

struct session_conf {
    struct sandbox_limits limits;
    const char *const *texts, *const *users, *const *export;
    bool separate, bash;
};

static void session_open_with(struct session *s, const struct session_conf *with)
{
    const char *const *texts = with->texts, *const *export = with->export;
    struct err err = {0};
    struct strv text = {0}, env = {0}, names = {0}, users = {0};
    *s = (struct session){0};
    buf_init(&s->output, 1024 * 1024);
    for (; *texts; texts++)
        strv_add(&text, *texts);
    for (; export && *export; export ++)
        strv_add(&names, *export);
    for (size_t i = 0; with->users && with->users[i]; i++)
        strv_add(&users, with->users[i]);
    strv_add(&env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    strv_add(&env, "HOME=/root");
    strv_add(&env, "USER=root");
    strv_add(&env, "GIVEN=yes");
    s->box = sandbox_take(fx.pool, &with->limits, &err);
    assert_non_null(s->box);
    const struct shell_conf conf = {.program = with->bash ? "/bin/bash" : "/bin/sh",
                                    .env = &env,
                                    .dir = SANDBOX_SRC,
                                    .texts = &text,
                                    .users = &users,
                                    .export = &names,
                                    .separate = with->separate,
                                    .on_output = on_output,
                                    .on_done = on_done,
                                    .arg = s};
    if (shell_new(&s->shell, fx.loop, s->box, &conf, &err) < 0)
        fail_msg("%s", err.msg);
    strv_release(&text);
    strv_release(&env);
    strv_release(&names);
    strv_release(&users);
}

static void session_open(struct session *s, const struct sandbox_limits *limits,
                         const char *const *texts, const char *const *export)
{
    session_open_with(s,
                      &(struct session_conf){.limits = *limits, .texts = texts, .export = export});
}

static int run(struct session *s, size_t index)
{
    s->done = false;
    shell_run(s->shell, index, true);
    loop_run_for(fx.loop, WAIT_MS, &s->done);
    assert_true(s->done);
    return s->last.code;
}

static void session_close(struct session *s)
{
    shell_free(s->shell);
    free_sandbox(s->box);
    buf_release(&s->output);
}

static const struct sandbox_limits unlimited = {0};

static void a_cd_and_a_variable_last_from_one_command_to_the_next(void **state)
{
    (void)state;
    need_pool();
    struct session s;
    session_open(
        &s, &unlimited,
        (const char *const[]){"cd /usr; x=1; export Y='a b'", "pwd; echo $x $Y $GIVEN", NULL},
        NULL);
    assert_int_equal(run(&s, 0), 0);
    assert_int_equal(run(&s, 1), 0);
    assert_string_equal(buf_cstr(&s.output), "/usr\n1 a b yes\n");
    session_close(&s);
}

static void a_commands_status_is_told_with_all_its_output(void **state)
{
    (void)state;
    need_pool();
    struct session s;
    session_open(&s, &unlimited,
                 (const char *const[]){"echo one; false", "seq 1 20000; (exit 42)", "if true; then",
                                       "true", NULL},
                 NULL);
    assert_int_equal(run(&s, 0), 1);
    assert_string_equal(buf_cstr(&s.output), "one\n");
    assert_int_equal(run(&s, 1), 42);
    assert_non_null(strstr(buf_cstr(&s.output), "\n20000\n"));
    assert_int_equal(run(&s, 2), 2);
    assert_int_equal(run(&s, 3), 0);
    session_close(&s);
}

static void a_command_that_ends_the_shell_leaves_its_state_to_the_next(void **state)
{
    (void)state;
    need_pool();
    struct session s;
    session_open(&s, &unlimited,
                 (const char *const[]){"export A=\"it's\"; cd /usr/bin; exit 3",
                                       "echo \"$A $PWD\"; pwd", "set -e; false; true", "echo on",
                                       NULL},
                 NULL);
    assert_int_equal(run(&s, 0), 3);
    assert_int_equal(run(&s, 1), 0);
    assert_string_equal(buf_cstr(&s.output), "it's /usr/bin\n/usr/bin\n");
    assert_int_equal(run(&s, 2), 1);
    assert_int_equal(run(&s, 3), 0);
    session_close(&s);
}

static void nothing_lasts_where_each_command_has_a_shell_of_its_own(void **state)
{
    (void)state;
    need_pool();
    struct session s;
    struct strv got = {0};
    session_open_with(
        &s,
        &(struct session_conf){
            .texts = (const char *const[]){"pwd; cd /usr; x=1; export GIVEN=no",
                                           "pwd; echo \"$x $GIVEN $CODEBUILD_BUILD_SUCCEEDING\"",
                                           "echo more; exit 3", "set -e; false; true", "pwd", NULL},
            .export = (const char *const[]){"GIVEN", NULL},
            .separate = true});
    assert_int_equal(run(&s, 0), 0);
    assert_int_equal(run(&s, 1), 0);
    assert_int_equal(run(&s, 2), 3);
    assert_int_equal(run(&s, 3), 1);
    assert_int_equal(run(&s, 4), 0);
    assert_string_equal(buf_cstr(&s.output),
                        SANDBOX_SRC "\n" SANDBOX_SRC "\n yes 1\nmore\n" SANDBOX_SRC "\n");
    s.done = false;
    shell_export(s.shell);
    loop_run_for(fx.loop, WAIT_MS, &s.done);
    assert_int_equal(shell_exported(s.shell, &got, NULL), 0);
    assert_int_equal(got.count, 1);
    assert_string_equal(got.items[0], "GIVEN=yes");
    strv_release(&got);
    session_close(&s);
}

static void no_function_break_or_continue_of_the_commands_hides_their_end(void **state)
{
    (void)state;
    need_pool();
    for (int bash = 0; bash < 2; bash++) {
        struct session s;
        struct strv got = {0};
        session_open_with(
            &s, &(struct session_conf){
                    .texts = (const char *const[]){"echo() { :; }; read() { return 1; }\n"
                                                   "printf() { :; }; pwd() { :; }; cd /usr",
                                                   "export V=1; exit 3",
                                                   "export PATH=/nowhere; IFS=0123456789; set -f",
                                                   "continue", "break", "return 5", "set -x; true",
                                                   "false", NULL},
                    .export = (const char *const[]){"V", NULL},
                    .bash = bash});
        const int codes[] = {0, 3, 0, 0, 0, 5, 0, 1};
        for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
            assert_int_equal(run(&s, i), codes[i]);
        assert_null(strstr(buf_cstr(&s.output), "CODEBUILD_BUILD_SUCCEEDING"));
        assert_null(strstr(buf_cstr(&s.output), "echo"));
        s.done = false;
        shell_export(s.shell);
        loop_run_for(fx.loop, WAIT_MS, &s.done);
        assert_int_equal(shell_exported(s.shell, &got, NULL), 0);
        assert_int_equal(got.count, 1);
        assert_string_equal(got.items[0], "V=1");
        strv_release(&got);
        session_close(&s);
    }
}

static void exported_variables_are_read_at_the_end(void **state)
{
    (void)state;
    need_pool();
    struct session s;
    struct strv got = {0};
    session_open(&s, &unlimited,
                 (const char *const[]){"V=1.2; W='two\nlines'; export V", "exit 0", NULL},
                 (const char *const[]){"V", "W", "NEVER", NULL});
    assert_int_equal(run(&s, 0), 0);
    s.done = false;
    shell_export(s.shell);
    loop_run_for(fx.loop, WAIT_MS, &s.done);
    assert_int_equal(shell_exported(s.shell, &got, NULL), 0);
    assert_int_equal(got.count, 2);
    assert_string_equal(got.items[0], "V=1.2");
    assert_string_equal(got.items[1], "W=two\nlines");
    strv_release(&got);
    session_close(&s);
}

static void standard_input_is_empty_and_the_channels_are_closed(void **state)
{
    (void)state;
    need_pool();
    struct session s;
    session_open(&s, &unlimited,
                 (const char *const[]){"cat; ls /proc/self/fd | tr '\\n' ' '", NULL}, NULL);
    assert_int_equal(run(&s, 0), 0);
    assert_string_equal(buf_cstr(&s.output), "0 1 2 3 ");
    session_close(&s);
}

static void stopping_ends_the_whole_tree_and_first_asks(void **state)
{
    (void)state;
    need_pool();
    struct session s;
    bool gone = false;
    session_open(
        &s, &unlimited,
        (const char *const[]){"(trap 'echo asked; exit' TERM; while :; do sleep 0.05; done) & "
                              "(trap '' TERM; setsid sleep 1000) & sleep 0.3; echo up; wait",
                              NULL},
        NULL);
    shell_run(s.shell, 0, true);
    for (int i = 0; i < 100 && !strstr(buf_cstr(&s.output), "up"); i++)
        loop_run_for(fx.loop, 50, NULL);
    int64_t began = clock_mono_ms();
    sandbox_stop(s.box, 500, set_true, &gone);
    loop_run_for(fx.loop, WAIT_MS, &gone);
    assert_true(gone);
    assert_in_range(clock_mono_ms() - began, 400, 3000);
    loop_run_for(fx.loop, 100, &s.done);
    assert_true(s.done);
    assert_int_equal(s.last.code, 128 + 15);
    shell_drain(s.shell);
    assert_non_null(strstr(buf_cstr(&s.output), "asked"));
    session_close(&s);
}

static void a_memory_hog_is_ended_with_the_reason(void **state)
{
    (void)state;
    need_pool();
    struct session s;
    const struct sandbox_limits limits = {.memory_bytes = 64 << 20};
    session_open(
        &s, &limits,
        (const char *const[]){"x=$(head -c 300000000 /dev/zero | tr '\\0' a); sleep 5", NULL},
        NULL);
    assert_int_not_equal(run(&s, 0), 0);
    assert_non_null(strstr(s.limit, "of memory; the limit is 64 MiB"));
    session_close(&s);
}

static void more_processes_than_the_limit_end_it_with_the_reason(void **state)
{
    (void)state;
    need_pool();
    struct session s;
    const struct sandbox_limits limits = {.processes = 100};
    session_open(&s, &limits,
                 (const char *const[]){"for n in $(seq 110); do sleep 60 & done; sleep 60", NULL},
                 NULL);
    assert_int_not_equal(run(&s, 0), 0);
    assert_non_null(strstr(s.limit, "processes; the limit is 100"));
    session_close(&s);
}

static void a_disk_filler_is_ended_with_the_reason(void **state)
{
    (void)state;
    need_pool();
    struct session s;
    const struct sandbox_limits limits = {.disk_bytes = 32 << 20};
    session_open(&s, &limits,
                 (const char *const[]){"head -c 100000000 /dev/zero >big; sleep 5", NULL}, NULL);
    assert_int_not_equal(run(&s, 0), 0);
    assert_non_null(strstr(s.limit, "of disk; the limit is 32 MiB"));
    session_close(&s);
}

static void another_users_commands_take_over_what_is_exported_and_the_folder(void **state)
{
    (void)state;
    need_pool();
    struct session s;
    struct strv got = {0};
    session_open_with(
        &s, &(struct session_conf){
                .texts = (const char *const[]){"cd /usr; export Y='a b'; x=1; trap : EXIT; whoami",
                                               "whoami; id -G; pwd; echo \"$Y $x $USER $#\"\n"
                                               "echo to stdout >/dev/stdout",
                                               "export Y=theirs; touch \"$HOME/mine\" && exit 3",
                                               "echo \"$Y\"; ls \"$HOME\"; cat " SANDBOX_SRC "/x",
                                               "whoami; pwd; echo \"$Y $USER $HOME\"", NULL},
                .users = (const char *const[]){"root", "nobody", "nobody", "", "root", NULL},
                .export = (const char *const[]){"Y", NULL}});
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(run(&s, i), i == 2 ? 3 : i == 3 ? 1 : 0);
    assert_string_equal(buf_cstr(&s.output),
                        "root\nnobody\n65534\n/usr\na b  nobody 0\nto stdout\ntheirs\nmine\n"
                        "cat: " SANDBOX_SRC "/x: No such file or directory\n"
                        "root\n/usr\ntheirs root /root\n");
    s.done = false;
    shell_export(s.shell);
    loop_run_for(fx.loop, WAIT_MS, &s.done);
    assert_int_equal(shell_exported(s.shell, &got, NULL), 0);
    assert_int_equal(got.count, 1);
    assert_string_equal(got.items[0], "Y=theirs");
    strv_release(&got);
    session_close(&s);
}

static void what_another_users_shell_left_running_goes_on_and_is_heard(void **state)
{
    (void)state;
    need_pool();
    struct session s;
    session_open_with(
        &s, &(struct session_conf){
                .texts = (const char *const[]){"mkfifo -m 666 /tmp/go /tmp/heard; "
                                               "{ cat /tmp/go; echo >/tmp/heard; } &",
                                               "echo hello >/tmp/go; cat /tmp/heard", NULL},
                .users = (const char *const[]){"root", "nobody", NULL}});
    assert_int_equal(run(&s, 0), 0);
    assert_int_equal(run(&s, 1), 0);
    assert_non_null(strstr(buf_cstr(&s.output), "hello\n"));
    session_close(&s);
}

static void a_user_is_looked_for_when_the_command_comes(void **state)
{
    (void)state;
    need_pool();
    struct session s;
    session_open_with(
        &s, &(struct session_conf){
                .texts = (const char *const[]){"true",
                                               "echo new:x:1234:1::/home/new:/bin/sh"
                                               " >>/etc/passwd\n"
                                               "echo far:x:4000000:1::/:/bin/sh"
                                               " >>/etc/passwd\n",
                                               "id -un; pwd; cd; pwd", "true", "whoami", NULL},
                .users = (const char *const[]){"new", "root", "new", "far", "root", NULL}});
    (void)run(&s, 0);
    assert_string_equal(s.refused, "there is no such user in the build's /etc/passwd");
    assert_int_equal(run(&s, 1), 0);
    assert_int_equal(run(&s, 2), 0);
    (void)run(&s, 3);
    assert_string_equal(s.refused, "its ids are not among those that the sandbox has");
    assert_int_equal(run(&s, 4), 0);
    assert_string_equal(buf_cstr(&s.output), "new\n" SANDBOX_SRC "\n/home/new\nroot\n");
    session_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cd_and_a_variable_last_from_one_command_to_the_next),
        cmocka_unit_test(a_commands_status_is_told_with_all_its_output),
        cmocka_unit_test(a_command_that_ends_the_shell_leaves_its_state_to_the_next),
        cmocka_unit_test(nothing_lasts_where_each_command_has_a_shell_of_its_own),
        cmocka_unit_test(no_function_break_or_continue_of_the_commands_hides_their_end),
        cmocka_unit_test(exported_variables_are_read_at_the_end),
        cmocka_unit_test(another_users_commands_take_over_what_is_exported_and_the_folder),
        cmocka_unit_test(what_another_users_shell_left_running_goes_on_and_is_heard),
        cmocka_unit_test(a_user_is_looked_for_when_the_command_comes),
        cmocka_unit_test(standard_input_is_empty_and_the_channels_are_closed),
        cmocka_unit_test(stopping_ends_the_whole_tree_and_first_asks),
        cmocka_unit_test(a_memory_hog_is_ended_with_the_reason),
        cmocka_unit_test(more_processes_than_the_limit_end_it_with_the_reason),
        cmocka_unit_test(a_disk_filler_is_ended_with_the_reason),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
