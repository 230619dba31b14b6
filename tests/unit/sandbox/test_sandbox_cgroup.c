/* Limits by control groups that a supervisor delegated. Skipped where this process may not make
 * any. */
#include "tests/unit/sandbox/fixture.h"

static const char *const controllers[] = {"memory", "pids", "cpu"};

static int setup(void **state)
{
    struct passwd *pw = getpwnam(fixture_user());
    bool all = geteuid() == 0 && pw;
    for (size_t i = 0; i < 3; i++) {
        snprintf(fx.groups[i], sizeof(fx.groups[i]), "/sys/fs/cgroup/%s/gantry-test-%d",
                 controllers[i], (int)getpid());
        all = all && mkdir(fx.groups[i], 0755) == 0 &&
              chown(fx.groups[i], pw->pw_uid, pw->pw_gid) == 0;
    }
    if (all)
        snprintf(fx.cgroup, sizeof(fx.cgroup), "v1:memory=%s,pids=%s,cpu=%s", fx.groups[0],
                 fx.groups[1], fx.groups[2]);
    return fixture_setup(state);
}

static void need_cgroup(void)
{
    if (!fx.cgroup[0]) {
        print_message("no control groups (v1) can be delegated here\n");
        skip();
    }
    need_pool();
}

struct run {
    bool done;
    int code;
    int signo;
    char limit[256];
};

static void on_ended(struct sandbox *box, const struct sandbox_exit *result, void *arg)
{
    struct run *run = arg;
    (void)box;
    run->done = true;
    run->code = result->code;
    run->signo = result->signo;
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
    assert_non_null(strstr(sandbox_pool_means(fx.pool), "memory by cgroup v1"));
    const struct sandbox_limits limits = {.memory_bytes = 32 << 20};
    struct run run =
        run_script(&limits, "x=$(head -c 200000000 /dev/zero | tr '\\0' a); echo ${#x}");
    assert_true(run.code != 0 || run.signo);
    assert_non_null(strstr(run.limit, "more memory than the limit of 32 MiB"));
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
        cmocka_unit_test(processes_are_held_and_the_group_is_gone_afterwards),
    };
    return cmocka_run_group_tests(tests, setup, fixture_teardown);
}
