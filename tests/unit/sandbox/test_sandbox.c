#include "sandbox/sandbox.h"

#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/sandbox/fixture.h"

struct run {
    struct sandbox *box;
    bool done;
    int code;
    struct err err;
    struct buf output;
};

static void on_ended(struct sandbox *box, const struct sandbox_exit *result, void *arg)
{
    struct run *run = arg;
    (void)box;
    run->done = true;
    run->code = result->code;
    run->err = result->err;
}

/* Runs a script in a new sandbox; its output and exit code. */
static void run_script(struct run *run, const char *script)
{
    const struct sandbox_limits limits = {0};
    const char *const argv[] = {"/bin/sh", "-c", script, NULL};
    const char *const env[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    struct err err = {0};
    int out[2];
    char text[4096];
    *run = (struct run){0};
    buf_init(&run->output, 65536);
    run->box = sandbox_take(fx.pool, &limits, &err);
    assert_non_null(run->box);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    const struct sandbox_exec exec = {.argv = argv,
                                      .env = env,
                                      .cwd = SANDBOX_SRC,
                                      .output = out[1],
                                      .control = -1,
                                      .status = -1,
                                      .on_exit = on_ended,
                                      .arg = run};
    assert_int_equal(sandbox_run(run->box, &exec, &err), 0);
    close(out[1]);
    loop_run_for(fx.loop, WAIT_MS, &run->done);
    assert_true(run->done);
    assert_int_equal(run->err.code, ERR_NONE);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    for (ssize_t n; (n = read(out[0], text, sizeof(text))) > 0;)
        buf_add(&run->output, text, (size_t)n);
    close(out[0]);
}

static void run_end(struct run *run)
{
    free_sandbox(run->box);
    buf_release(&run->output);
}

static void must_succeed(const char *script)
{
    struct run run;
    run_script(&run, script);
    if (run.code != 0)
        fail_msg("%s\nended with %d: %s", script, run.code, buf_cstr(&run.output));
    run_end(&run);
}

static size_t entries(const char *path)
{
    size_t n = 0;
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));)
        n += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    return n;
}

static void the_hosts_root_is_read_only_and_homes_and_hidden_folders_are_empty(void **state)
{
    (void)state;
    need_pool();
    char script[512];
    must_succeed("! touch /usr/x /etc/x /x 2>/dev/null");
    must_succeed("test \"$(ls -A /home)\" = build && test -z \"$(ls -A /root)\"");
    snprintf(script, sizeof(script), "test ! -e %s || test -z \"$(ls -A %s)\" && ! touch %s/x",
             fx.dir, fx.dir, fx.dir);
    must_succeed(script);
    must_succeed("touch /tmp/x /var/tmp/x /root/x /home/build/src/x /dev/shm/x /run/x");
    must_succeed("test ! -e /tmp/x -a ! -e /root/x -a ! -e /run/x -a ! -e /dev/shm/x");
}

static void what_hides_the_host_cannot_be_taken_away(void **state)
{
    (void)state;
    need_pool();
    char script[512];
    must_succeed("for m in /home /run /proc /dev /root /tmp; do ! umount -l $m 2>/dev/null || exit "
                 "1; done");
    must_succeed("! mount -o remount,bind,rw / 2>/dev/null && ! mount -o remount,rw / 2>/dev/null");
    snprintf(script, sizeof(script),
             "! umount -l %s 2>/dev/null && mkdir /tmp/r && mount --rbind / /tmp/r && "
             "! umount -l /tmp/r%s 2>/dev/null && test -z \"$(ls -A /tmp/r%s)\"",
             fx.dir, fx.dir, fx.dir);
    must_succeed(script);
}

static void no_process_but_its_own_is_seen_and_init_cannot_be_touched(void **state)
{
    (void)state;
    need_pool();
    must_succeed("test \"$(ls /proc | grep -c '^[0-9]*$')\" -le 6");
    must_succeed("kill -9 1 2>/dev/null; kill -STOP 1 2>/dev/null; sleep 0.1; true");
    must_succeed("! nsenter -t 1 -m -u -i true 2>/dev/null && ! ls /proc/1/root/ 2>/dev/null");
    must_succeed("! cat /proc/1/environ /proc/1/maps 2>/dev/null && ! readlink /proc/1/fd/3 "
                 "/proc/1/exe /proc/1/cwd");
    must_succeed("test -z \"$(ps -e -o comm= | grep -v -e sh -e ps -e grep -e gantry-sandbox -e "
                 "bwrap)\"");
}

static void it_is_root_of_nothing_but_its_own_ids(void **state)
{
    (void)state;
    need_pool();
    must_succeed("test $(id -u) = 0 && touch f && chown 7:8 f && test $(stat -c %u:%g f) = 7:8");
    must_succeed("! cat /etc/shadow 2>/dev/null && ! mknod sda b 8 0 2>/dev/null");
    must_succeed("! hostname x 2>/dev/null; ! sysctl -w kernel.hostname=x 2>/dev/null; ! dmesg "
                 "-c >/dev/null 2>&1");
    must_succeed("test \"$(cat /proc/self/oom_score_adj)\" = 1000");
}

static void without_network_there_is_only_a_loopback(void **state)
{
    (void)state;
    need_pool();
    must_succeed("test \"$(ls /sys/class/net /proc/sys/net/ipv4/conf 2>/dev/null | sort -u | tr "
                 "'\\n' ' ' | grep -c eth)\" = 0; test \"$(grep -c : /proc/net/dev)\" = 1");
}

static void its_folders_go_whoever_owns_what_is_in_them_and_however_deep(void **state)
{
    (void)state;
    need_pool();
    struct run run;
    char dir[256];
    run_script(&run, "mkdir -p a/b && touch a/b/c && chown -R 7:7 a && chmod 000 a/b a && "
                     "i=0; while [ $i -lt 400 ]; do mkdir d && cd d || exit 1; "
                     "i=$((i+1)); done; touch end; ln -s / link");
    assert_int_equal(run.code, 0);
    snprintf(dir, sizeof(dir), "%s", sandbox_dir(run.box));
    run_end(&run);
    assert_int_not_equal(access(dir, F_OK), 0);
}

static void a_file_is_read_without_following_a_link_out(void **state)
{
    (void)state;
    need_pool();
    struct run run;
    struct buf text;
    struct err err = {0};
    run_script(&run, "echo hello >here; ln -s here near; ln -s /etc/passwd far; ln -s "
                     "../../../../../../etc/passwd up; mkfifo fifo; head -c 5000 /dev/zero >big");
    assert_int_equal(run.code, 0);
    assert_int_equal(sandbox_read_file(run.box, "build/src/here", 100, &text, &err), 0);
    assert_string_equal(buf_cstr(&text), "hello\n");
    buf_release(&text);
    assert_int_equal(sandbox_read_file(run.box, "build/src/near", 100, &text, &err), 0);
    buf_release(&text);
    assert_int_equal(sandbox_read_file(run.box, "build/src/far", 9999, &text, &err), -1);
    assert_int_equal(sandbox_read_file(run.box, "build/src/up", 9999, &text, &err), -1);
    assert_int_equal(sandbox_read_file(run.box, "build/src/fifo", 100, &text, &err), -1);
    assert_int_equal(err.code, ERR_INVALID);
    assert_int_equal(sandbox_read_file(run.box, "build/src/big", 4999, &text, &err), -1);
    assert_int_equal(err.code, ERR_LIMIT);
    assert_int_equal(sandbox_read_file(run.box, "build/src/none", 100, &text, &err), -1);
    assert_int_equal(err.code, ERR_NOT_FOUND);
    run_end(&run);
}

/* In a process of its own: a pool, a sandbox that runs something, and no more. */
_Noreturn static void be_killed(int told)
{
    const struct sandbox_limits limits = {0};
    const char *const argv[] = {"/bin/sh", "-c", "touch f; chown 9:9 f; exec sleep 9876.5", NULL};
    const struct sandbox_exec exec = {
        .argv = argv, .cwd = SANDBOX_SRC, .output = 2, .control = -1, .status = -1};
    struct err err = {0};
    fx.pool = NULL;
    fx.loop = loop_new(1);
    open_pool(1, NULL);
    struct sandbox *box = fx.pool ? sandbox_take(fx.pool, &limits, &err) : NULL;
    if (!box || sandbox_run(box, &exec, &err) < 0)
        _exit(1);
    loop_run_for(fx.loop, 1500, NULL);
    (void)!write(told, "x", 1);
    loop_run_for(fx.loop, WAIT_MS, NULL);
    _exit(1);
}

static size_t sleepers(void)
{
    char count[16] = "";
    FILE *p = popen(
        "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'sleep 9876[.]5'", "r");
    assert_non_null(p);
    assert_non_null(fgets(count, sizeof(count), p));
    pclose(p);
    return strtoul(count, NULL, 10);
}

static void when_its_process_is_killed_nothing_runs_on_and_the_next_removes_the_rest(void **state)
{
    (void)state;
    need_pool();
    char dir[128], byte;
    int told[2];
    assert_int_equal(pipe2(told, O_CLOEXEC), 0);
    sandbox_pool_free(fx.pool);
    fx.pool = NULL;
    pid_t pid = fork();
    if (pid == 0)
        be_killed(told[1]);
    close(told[1]);
    assert_int_equal(read(told[0], &byte, 1), 1);
    close(told[0]);
    assert_true(sleepers() > 0);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    for (int i = 0; i < 50 && sleepers(); i++)
        usleep(100000);
    assert_int_equal(sleepers(), 0);
    snprintf(dir, sizeof(dir), "%s/pool", fx.dir);
    assert_true(entries(dir) > 0);
    open_pool(0, NULL);
    for (int i = 0; i < 100 && entries(dir); i++)
        loop_run_for(fx.loop, 100, NULL);
    assert_int_equal(entries(dir), 0);
}

/* Processes whose command line names this fixture's pool: bubblewraps. */
static size_t bubblewraps(void)
{
    char command[256], count[16] = "";
    size_t len = strlen(fx.dir) - 1;
    snprintf(command, sizeof(command),
             "grep -la '%.*s[%c]/pool' /proc/[0-9]*/cmdline 2>/dev/null | wc -l", (int)len, fx.dir,
             fx.dir[len]);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    assert_non_null(fgets(count, sizeof(count), p));
    pclose(p);
    return strtoul(count, NULL, 10);
}

static void a_pool_that_ends_while_it_makes_sandboxes_leaves_no_process(void **state)
{
    (void)state;
    sandbox_pool_free(fx.pool); /* of the test before */
    fx.pool = NULL;
    need_pool();
    assert_true(bubblewraps() > 0);
    sandbox_pool_free(fx.pool);
    for (int i = 0; i < 40; i++) {
        open_pool(4, NULL);
        assert_non_null(fx.pool);
        loop_run_for(fx.loop, 10 + i, NULL);
        sandbox_pool_free(fx.pool);
    }
    fx.pool = NULL;
    for (int i = 0; i < 50 && bubblewraps(); i++)
        usleep(100000);
    assert_int_equal(bubblewraps(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hosts_root_is_read_only_and_homes_and_hidden_folders_are_empty),
        cmocka_unit_test(what_hides_the_host_cannot_be_taken_away),
        cmocka_unit_test(no_process_but_its_own_is_seen_and_init_cannot_be_touched),
        cmocka_unit_test(it_is_root_of_nothing_but_its_own_ids),
        cmocka_unit_test(without_network_there_is_only_a_loopback),
        cmocka_unit_test(its_folders_go_whoever_owns_what_is_in_them_and_however_deep),
        cmocka_unit_test(a_file_is_read_without_following_a_link_out),
        cmocka_unit_test(when_its_process_is_killed_nothing_runs_on_and_the_next_removes_the_rest),
        cmocka_unit_test(a_pool_that_ends_while_it_makes_sandboxes_leaves_no_process),
    };
    return cmocka_run_group_tests(tests, fixture_setup, fixture_teardown);
}
