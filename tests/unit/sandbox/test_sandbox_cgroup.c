/* Limits by control groups that a supervisor delegated. Skipped where this process may not make
 * any. */
#include "sandbox/shell.h"
#include "tests/unit/sandbox/fixture.h"

static const char *const controllers[] = {"memory", "pids", "cpu"};

static bool delegate_v1(const struct passwd *pw)
{
    bool all = true;
    for (size_t i = 0; i < 3; i++) {
        snprintf(fx.groups[i], sizeof(fx.groups[i]), "/sys/fs/cgroup/%s/gantry-test-%d",
                 controllers[i], (int)getpid());
        all = all && mkdir(fx.groups[i], 0755) == 0 &&
              chown(fx.groups[i], pw->pw_uid, pw->pw_gid) == 0;
    }
    if (all)
        snprintf(fx.cgroup, sizeof(fx.cgroup), "v1:memory=%s,pids=%s,cpu=%s", fx.groups[0],
                 fx.groups[1], fx.groups[2]);
    return all;
}

/* As a supervisor does it: this process in a leaf beside the groups of the builds. */
static bool delegate_v2(const struct passwd *pw)
{
    const char *root = "/sys/fs/cgroup";
    char command[1024];
    snprintf(fx.groups[0], sizeof(fx.groups[0]), "%s/gantry-test-%d/in", root, (int)getpid());
    snprintf(fx.groups[1], sizeof(fx.groups[1]), "%s/gantry-test-%d", root, (int)getpid());
    snprintf(command, sizeof(command),
             "g=%s; c='+memory +pids +cpu'; mkdir -p $g/in && "
             "echo $c >%s/cgroup.subtree_control && echo $c >$g/cgroup.subtree_control && "
             "chown %d:%d $g $g/cgroup.procs $g/in $g/in/cgroup.procs && "
             "echo $PPID >$g/in/cgroup.procs",
             fx.groups[1], root, (int)pw->pw_uid, (int)pw->pw_gid);
    if (system(command) != 0)
        return false;
    snprintf(fx.cgroup, sizeof(fx.cgroup), "v2:%s", fx.groups[1]);
    return true;
}

static int setup(void **state)
{
    struct passwd *pw = getpwnam(fixture_user());
    if (geteuid() == 0 && pw)
        (void)(access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0 ? delegate_v2(pw)
                                                                      : delegate_v1(pw));
    return fixture_setup(state);
}

static void need_cgroup(void)
{
    if (!fx.cgroup[0]) {
        print_message("no control groups can be delegated here\n");
        skip();
    }
    need_pool();
}

struct run {
    bool done;
    int code;
    int signo;
    char limit[256];
    int err;
};

/* A child of the shell, which itself stays small. */
#define HOG "sh -c 'x=$(head -c 200000000 /dev/zero | tr \"\\0\" a); echo ${#x}'"

struct shell_end {
    bool done;
    int code;
    char limit[256];
};

static bool on_output(struct shell *shell, const char *data, size_t len, void *arg)
{
    (void)shell, (void)data, (void)len, (void)arg;
    return true;
}

static void on_done(struct shell *shell, const struct shell_exit *result, void *arg)
{
    struct shell_end *end = arg;
    (void)shell;
    end->done = true;
    end->code = result->code;
    snprintf(end->limit, sizeof(end->limit), "%s", result->limit ? result->limit : "");
}

static void on_ended(struct sandbox *box, const struct sandbox_exit *result, void *arg)
{
    struct run *run = arg;
    (void)box;
    run->done = true;
    run->code = result->code;
    run->signo = result->signo;
    run->err = result->err.code;
    snprintf(run->limit, sizeof(run->limit), "%s", result->limit ? result->limit : "");
}

static struct run run_script(const struct sandbox_limits *limits, const char *script)
{
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    struct run run = {0};
    struct err err = {0};
    struct sandbox *box = sandbox_take(fx.pool, limits, &err);
    assert_non_null(box);
    const struct sandbox_exec exec = {.argv = argv,
                                      .env = env,
                                      .cwd = SANDBOX_SRC,
                                      .output = -1,
                                      .control = -1,
                                      .status = -1,
                                      .on_exit = on_ended,
                                      .arg = &run};
    assert_int_equal(sandbox_run(box, &exec, &err), 0);
    loop_run_for(fx.loop, WAIT_MS, &run.done);
    assert_true(run.done);
    free_sandbox(box);
    return run;
}

static void memory_beyond_the_limit_ends_the_build_with_the_reason(void **state)
{
    (void)state;
    need_cgroup();
    char means[64];
    snprintf(means, sizeof(means), "memory by cgroup %.2s", fx.cgroup);
    assert_non_null(strstr(sandbox_pool_means(fx.pool), means));
    const struct sandbox_limits limits = {.memory_bytes = 32 << 20};
    struct run run =
        run_script(&limits, "x=$(head -c 200000000 /dev/zero | tr '\\0' a); echo ${#x}");
    assert_true(run.code != 0 || run.signo);
    assert_non_null(strstr(run.limit, "more memory than the limit of 32 MiB"));
}

/* The kernel ends one process after the other and frees nothing, until init is gone, too. */
static void a_tmpfs_beyond_the_limit_is_the_builds_fault_and_not_the_machines(void **state)
{
    (void)state;
    need_cgroup();
    const struct sandbox_limits limits = {.memory_bytes = 32 << 20};
    struct run run = run_script(&limits, "exec head -c 200000000 /dev/zero >/dev/shm/x");
    assert_true(run.code != 0 || run.signo);
    assert_int_equal(run.err, ERR_NONE);
    assert_non_null(strstr(run.limit, "more memory than the limit of 32 MiB"));
}

static void wait_done(struct shell_end *end)
{
    loop_run_for(fx.loop, WAIT_MS, &end->done);
    assert_true(end->done);
    end->done = false;
}

static void a_command_that_the_kernel_ends_fails_with_the_reason_and_the_next_without(void **state)
{
    struct strv texts = {0}, env = {0};
    struct shell_end end = {0};
    struct shell *shell;
    struct err err = {0};
    (void)state;
    need_cgroup();
    const struct sandbox_limits limits = {.memory_bytes = 32 << 20};
    struct sandbox *box = sandbox_take(fx.pool, &limits, &err);
    assert_non_null(box);
    strv_add(&env, "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
    strv_add(&texts, HOG " || true");
    strv_add(&texts, "false");
    strv_add(&texts, HOG);
    const struct shell_conf conf = {.program = "/bin/sh",
                                    .env = &env,
                                    .dir = SANDBOX_SRC,
                                    .texts = &texts,
                                    .on_output = on_output,
                                    .on_done = on_done,
                                    .arg = &end};
    assert_int_equal(shell_new(&shell, fx.loop, box, &conf, &err), 0);
    for (size_t i = 0; i < 3; i++) {
        shell_run(shell, i, true);
        wait_done(&end);
        assert_int_equal(end.code, i == 0 ? 0 : i == 1 ? 1 : 137);
        assert_string_equal(end.limit,
                            i == 2 ? "It used more memory than the limit of 32 MiB" : "");
    }
    shell_free(shell);
    free_sandbox(box);
    strv_release(&texts);
    strv_release(&env);
}

static void processes_are_held_and_the_group_is_gone_afterwards(void **state)
{
    char script[256];
    (void)state;
    need_cgroup();
    const struct sandbox_limits limits = {.processes = 20, .cpu = 0.5};
    struct run run = run_script(&limits, "for i in $(seq 1 80); do sleep 1 & done; wait; sleep 1");
    assert_true(run.code != 0 || run.signo);
    run = run_script(&limits, "for i in $(seq 1 10); do sleep 0.1 & done; wait");
    assert_int_equal(run.code, 0);
    sandbox_pool_free(fx.pool);
    fx.pool = NULL;
    for (size_t i = 0; i < 3; i++) {
        snprintf(script, sizeof(script), "! ls -d %s/gantry-* 2>/dev/null", fx.groups[i]);
        assert_int_equal(system(script), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_beyond_the_limit_ends_the_build_with_the_reason),
        cmocka_unit_test(a_tmpfs_beyond_the_limit_is_the_builds_fault_and_not_the_machines),
        cmocka_unit_test(a_command_that_the_kernel_ends_fails_with_the_reason_and_the_next_without),
        cmocka_unit_test(processes_are_held_and_the_group_is_gone_afterwards),
    };
    return cmocka_run_group_tests(tests, setup, fixture_teardown);
}
