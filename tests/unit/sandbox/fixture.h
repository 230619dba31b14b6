/* A pool of sandboxes in a folder of its own, as an unprivileged user. Where the machine cannot do
 * that, the tests are skipped and say why. */
#ifndef GANTRY_TESTS_SANDBOX_FIXTURE_H
#define GANTRY_TESTS_SANDBOX_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "sandbox/sandbox.h"
#include "tests/unit/unit.h"

#define WAIT_MS 20000

struct fixture {
    char dir[64];
    char why[ERR_MSG_MAX]; /* no sandbox here */
    struct loop *loop;
    int program;
    char cgroup[600];    /* "" for none */
    char groups[3][128]; /* to be removed at the end */
    struct sandbox_pool *pool;
    bool told, works;
    char reason[ERR_MSG_MAX];
};

static struct fixture fx;

static void on_state(bool works, const char *reason, void *arg)
{
    (void)arg;
    fx.told = true;
    fx.works = works;
    snprintf(fx.reason, sizeof(fx.reason), "%s", reason ? reason : "");
}

static void open_pool(unsigned warm, const char *hidden)
{
    struct err err = {0};
    struct strv hide = {0};
    char pool_dir[128];
    fx.told = fx.works = false;
    if (hidden)
        strv_add(&hide, hidden);
    snprintf(pool_dir, sizeof(pool_dir), "%s/pool", fx.dir);
    const struct sandbox_conf conf = {.dir = pool_dir,
                                      .program = fx.program,
                                      .network = false,
                                      .hide = &hide,
                                      .cgroup = fx.cgroup,
                                      .warm = warm,
                                      .on_state = on_state};
    if (sandbox_pool_new(&fx.pool, fx.loop, &conf, &err) < 0)
        snprintf(fx.why, sizeof(fx.why), "%s", err.msg);
    strv_release(&hide);
}

/* Removes the folder, in which root made things, once the tests' process is gone. */
static void leave_cleaner(void)
{
    char byte;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    if (fork() == 0) {
        close(ends[1]);
        (void)!read(ends[0], &byte, 1);
        /* It was in them itself (v2), and the last processes may still be on their way out. */
        int procs = open("/sys/fs/cgroup/cgroup.procs", O_WRONLY | O_CLOEXEC);
        (void)!write(procs, "0", 1);
        for (size_t i = 0; i < 3; i++) {
            for (int tries = 0; tries < 100 && rmdir(fx.groups[i]) != 0 && errno == EBUSY; tries++)
                usleep(10000);
        }
        _exit(file_remove_tree(fx.dir, NULL) == 0 ? 0 : 1);
    }
    close(ends[0]);
}

/* As whom a test that is started as root runs its sandboxes. */
static const char *fixture_user(void)
{
    const char *user = getenv("GANTRY_TEST_BUILDER_USER");
    return user ? user : "gantry-builder";
}

static int fixture_setup(void **state)
{
    struct err err = {0};
    (void)state;
    /* Not below /tmp, which a sandbox replaces: what is there must be hidden by itself. */
    snprintf(fx.dir, sizeof(fx.dir), "/var/lib/gantry-test-XXXXXX");
    if (geteuid() != 0)
        snprintf(fx.dir, sizeof(fx.dir), "/var/tmp/gantry-test-XXXXXX");
    assert_non_null(mkdtemp(fx.dir));
    if (geteuid() == 0) {
        struct passwd *pw = getpwnam(fixture_user());
        if (pw)
            assert_int_equal(chown(fx.dir, pw->pw_uid, pw->pw_gid), 0);
    }
    leave_cleaner();
    fx.loop = loop_new(2);
    fx.program = sandbox_open_program(SANDBOX_PROGRAM, &err);
    assert_true(fx.program >= 0);
    if (sandbox_become_user(fixture_user(), &err) < 0)
        snprintf(fx.why, sizeof(fx.why), "%s", err.msg);
    return 0;
}

static int fixture_teardown(void **state)
{
    (void)state;
    sandbox_pool_free(fx.pool);
    fx.pool = NULL;
    loop_free(fx.loop);
    close(fx.program);
    return 0;
}

/* A pool that works, or the test is skipped. */
static void need_pool(void)
{
    if (!fx.why[0] && !fx.pool)
        open_pool(1, fx.dir);
    for (int i = 0; i < 100 && !fx.why[0] && !fx.told; i++)
        loop_run_for(fx.loop, 100, &fx.told);
    if (!fx.why[0] && !fx.works)
        snprintf(fx.why, sizeof(fx.why), "%s", fx.told ? fx.reason : "it does not get ready");
    if (fx.why[0]) {
        print_message("no sandbox on this machine: %s\n", fx.why);
        skip();
    }
}

static void set_true(void *arg)
{
    *(bool *)arg = true;
}

static void free_sandbox(struct sandbox *box)
{
    bool done = false;
    sandbox_free(box, set_true, &done);
    loop_run_for(fx.loop, WAIT_MS, &done);
    assert_true(done);
}

#endif
