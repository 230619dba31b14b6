/* `gantry up` over scripts that stand in for the services. */
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "loop/child.h"
#include "loop/loop.h"

#define WAIT_MS   30000
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* Tells of its start and its end in a common file, and waits to be told to stop. */
#define PATIENT                                                                                    \
    "trap 'echo end $name >>$dir/told; exit 0' TERM\n"                                             \
    "echo start $name >>$dir/told\necho \"$name runs with $*\"\nwhile :; do sleep 0.05; done\n"
#define STUBBORN "trap '' TERM\necho start $name >>$dir/told\nwhile :; do sleep 0.05; done\n"

struct fixture {
    char dir[64];
    struct loop *loop;
    struct loop_child *child;
    struct buf out, err;
    struct strv env;
    bool ended;
    struct loop_child_exit result;
    int group; /* cgroup.procs that it begins in, or -1 */
};

static void on_output(struct loop_child *child, const char *data, size_t len, void *arg)
{
    (void)child;
    buf_add(&((struct fixture *)arg)->out, data, len);
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

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));

    snprintf(f->dir, sizeof(f->dir), "/tmp/gantry-up-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->group = -1;
    f->loop = loop_new(1);
    buf_init(&f->out, 16 * 1024 * 1024);
    buf_init(&f->err, 1024 * 1024);
    strv_add(&f->env, "PATH=/usr/local/bin:/usr/bin:/bin");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    loop_free(f->loop);
    file_remove_tree(f->dir, NULL);
    buf_release(&f->out);
    buf_release(&f->err);
    strv_release(&f->env);
    free(f);
    return 0;
}

static void service(struct fixture *f, const char *name, const char *script)
{
    char *path = mem_printf("%s/gantry-%s", f->dir, name);
    char *text = mem_printf("#!/bin/sh\ndir=%s\nname=%s\n%s", f->dir, name, script);
    struct err err;

    if (file_write(path, text, strlen(text), 0755, &err) != 0)
        fail_msg("%s", err.msg);
    free(text);
    free(path);
}

static int enter_group(void *arg)
{
    const struct fixture *f = arg;

    return f->group < 0 || write(f->group, "0", 1) == 1 ? 0 : -1;
}

static void up(struct fixture *f, const char *const *args)
{
    const char *argv[32] = {GANTRY_CLI, "up", "--programs", f->dir};
    struct err err;

    for (size_t i = 0; args[i] && i < 27; i++)
        argv[i + 4] = args[i];
    const struct loop_child_opts opts = {.argv = argv,
                                         .env = (const char *const *)f->env.items,
                                         .cwd = f->dir,
                                         .on_output = on_output,
                                         .on_error_output = on_error_output,
                                         .on_exit = on_exit_of,
                                         .arg = f,
                                         .pre_exec = enter_group,
                                         .pre_exec_arg = f};
    if (loop_child_start(&f->child, f->loop, &opts, &err) != 0)
        fail_msg("%s", err.msg);
}

static void wait_end(struct fixture *f)
{
    loop_run_for(f->loop, WAIT_MS, &f->ended);
    if (!f->ended)
        fail_msg("it does not end: %s%s", buf_cstr(&f->out), buf_cstr(&f->err));
}

static void wait_for(struct fixture *f, const char *text)
{
    const int64_t end = clock_mono_ms() + WAIT_MS;

    while (!strstr(buf_cstr(&f->out), text) && clock_mono_ms() < end && !f->ended)
        loop_run_for(f->loop, 10, &f->ended);
    if (!strstr(buf_cstr(&f->out), text))
        fail_msg("'%s' does not come: %s%s", text, buf_cstr(&f->out), buf_cstr(&f->err));
}

/* What the services told in their common file; to be freed. */
static char *told(struct fixture *f)
{
    char *path = mem_printf("%s/told", f->dir);
    struct buf text;

    file_read(&text, path, 64 * 1024, NULL);
    free(path);
    return buf_detach(&text);
}

static void wait_told(struct fixture *f, const char *text)
{
    const int64_t end = clock_mono_ms() + WAIT_MS;
    bool there = false;

    while (!there && clock_mono_ms() < end) {
        char *now = told(f);
        there = strstr(now, text) != NULL;
        free(now);
        loop_run_for(f->loop, 10, NULL);
    }
    if (!there)
        fail_msg("'%s' is not told: %s%s", text, buf_cstr(&f->out), buf_cstr(&f->err));
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in: %s", part, text);
}

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    getsockname(fd, (struct sockaddr *)&address, &len);
    close(fd);
    return ntohs(address.sin_port);
}

/* ---- options ---- */

static void help_lists_options_and_services(void **state)
{
    struct fixture *f = *state;

    up(f, ARGS("--help"));
    wait_end(f);
    assert_int_equal(f->result.code, 0);
    assert_has(buf_cstr(&f->out), "--except LIST");
    assert_has(buf_cstr(&f->out), "Services: promoter builder deployer notifier approver console "
                                  "source-watcher");
}

static void words_it_does_not_know_are_refused_with_2(void **state)
{
    const char *const *const cases[] = {
        ARGS("--only", "builder,nobody"), ARGS("--what"), ARGS("builder"),
        ARGS("--only", "builder", "--except", "console"), ARGS("--config", "missing.yaml")};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        f->ended = false;
        up(f, cases[i]);
        wait_end(f);
        assert_int_equal(f->result.code, 2);
    }
    assert_has(buf_cstr(&f->err), "'nobody' is not a service");
    assert_has(buf_cstr(&f->err), "missing.yaml");
}

static void a_program_that_is_missing_is_named_with_what_to_do(void **state)
{
    struct fixture *f = *state;

    service(f, "console", PATIENT);
    up(f, ARGS("--only", "console,builder"));
    wait_end(f);
    assert_int_equal(f->result.code, 2);
    assert_has(buf_cstr(&f->err), "gantry-builder: No such file or directory");
    assert_has(buf_cstr(&f->err), "--except builder");
}

static void settings_reach_every_service(void **state)
{
    struct fixture *f = *state;
    char *config = mem_printf("%s/gantry.yaml", f->dir);

    assert_int_equal(file_write(config, "common: {}\n", 11, 0644, NULL), 0);
    service(f, "console", PATIENT);
    up(f, ARGS("--only", "console", "--config", "gantry.yaml", "--set", "common.partitions=3"));
    wait_for(f, "console | console runs with --config gantry.yaml --set common.partitions=3\n");
    free(config);
}

static void it_names_the_instance_unless_somebody_did(void **state)
{
    static const char config[] = "common:\n  instance-id: mine\n";
    struct fixture *f = *state;
    char *path = mem_printf("%s/gantry.yaml", f->dir);

    service(f, "console", "echo \"instance=[$GANTRY_INSTANCE_ID]\"\n" PATIENT);
    up(f, ARGS("--only", "console"));
    wait_for(f, "console runs");
    assert_null(strstr(buf_cstr(&f->out), "instance=[]"));
    loop_child_stop(f->child);
    wait_end(f);
    f->ended = false;
    buf_reset(&f->out);
    assert_int_equal(file_write(path, config, strlen(config), 0644, NULL), 0);
    up(f, ARGS("--only", "console", "--config", path));
    wait_for(f, "instance=[]");
    free(path);
}

/* ---- output ---- */

static void lines_bear_the_services_names_aligned_and_without_colour(void **state)
{
    struct fixture *f = *state;

    service(f, "console", "echo one; echo two >&2; printf 'three'; exec sleep 300");
    service(f, "source-watcher", "echo four; exec sleep 300");
    up(f, ARGS("--only", "console,source-watcher"));
    wait_for(f, "console        | one\n");
    wait_for(f, "console        | two\n");
    wait_for(f, "source-watcher | four\n");
    loop_child_stop(f->child);
    wait_end(f);
    assert_has(buf_cstr(&f->out), "console        | three\n");
    assert_null(strchr(buf_cstr(&f->out), '\033'));
}

static void a_line_without_end_is_cut_not_kept(void **state)
{
    struct fixture *f = *state;

    service(f, "console", "head -c 100000 /dev/zero | tr '\\0' x; echo; exec sleep 300");
    up(f, ARGS("--only", "console"));
    const int64_t end = clock_mono_ms() + WAIT_MS;
    while (f->out.len < 100000 && clock_mono_ms() < end)
        loop_run_for(f->loop, 10, NULL);
    assert_true(f->out.len >= 100000);
    for (const char *line = strtok(f->out.data, "\n"); line; line = strtok(NULL, "\n"))
        assert_true(strlen(line) < 16500);
}

/* ---- restart ---- */

static void a_service_that_ends_is_started_again_later_each_time(void **state)
{
    struct fixture *f = *state;

    service(f, "console", "echo run; exit 7");
    service(f, "builder", PATIENT);
    up(f, ARGS("--only", "console,builder"));
    wait_for(f, "console ended with exit code 7; starting it again in 0.2 s");
    wait_for(f, "console ended with exit code 7; starting it again in 0.4 s");
    wait_for(f, "console ended with exit code 7; starting it again in 0.8 s");
    char *text = told(f);
    assert_string_equal(text, "start builder\n");
    free(text);
}

static void a_service_that_is_killed_is_started_again(void **state)
{
    struct fixture *f = *state;

    service(f, "console", "test -e $dir/once || { touch $dir/once; kill -9 $$; }\n" PATIENT);
    up(f, ARGS("--only", "console"));
    wait_for(f, "console was ended by signal 9 (Killed); starting it again in 0.2 s");
    wait_for(f, "console runs");
}

static void refused_settings_end_everything_with_2(void **state)
{
    struct fixture *f = *state;

    service(f, "console",
            "until grep -q builder $dir/told; do sleep 0.05; done\n"
            "echo 'gantry-console: no such setting' >&2; exit 2");
    service(f, "builder", PATIENT);
    up(f, ARGS("--only", "console,builder"));
    wait_end(f);
    assert_int_equal(f->result.code, 2);
    assert_has(buf_cstr(&f->out), "console | gantry-console: no such setting");
    assert_has(buf_cstr(&f->out), "console refuses its settings");
    char *text = told(f);
    assert_string_equal(text, "start builder\nend builder\n");
    free(text);
}

/* ---- readiness ---- */

static const char answering[] =
    "exec python3 - <<'EOF'\n"
    "import http.server, os\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        ready = os.path.exists(os.environ['READY_FILE'])\n"
    "        body = b'{\"checks\": [{\"name\": \"kafka\", \"ready\": false, \"reason\": "
    "\"away\"}]}'\n"
    "        self.send_response(200 if ready else 503)\n"
    "        self.send_header('Content-Length', str(len(body)))\n"
    "        self.end_headers()\n"
    "        self.wfile.write(body)\n"
    "    def log_message(self, *args):\n"
    "        print('asked', flush=True)\n"
    "http.server.HTTPServer(('127.0.0.1', int(os.environ['READY_PORT'])), Handler)"
    ".serve_forever()\n"
    "EOF\n";

static void it_says_once_when_all_are_ready_and_asks_no_more(void **state)
{
    struct fixture *f = *state;
    const int port = free_port();
    char *listen = mem_printf("console.listen=0.0.0.0:%d", port);
    char *address = mem_printf("ready after ");
    char *console = mem_printf("the console is at http://127.0.0.1:%d\n", port);
    char *ready = mem_printf("%s/ready", f->dir);

    strv_addf(&f->env, "READY_PORT=%d", port);
    strv_addf(&f->env, "READY_FILE=%s", ready);
    service(f, "console", answering);
    up(f, ARGS("--only", "console", "--set", listen));
    wait_for(f, "console | asked");
    assert_null(strstr(buf_cstr(&f->out), address));
    assert_int_equal(file_write(ready, "", 0, 0644, NULL), 0);
    wait_for(f, console);
    assert_has(buf_cstr(&f->out), address);
    loop_run_for(f->loop, 300, NULL);
    buf_reset(&f->out);
    loop_run_for(f->loop, 1000, NULL);
    assert_int_equal(f->out.len, 0);
    free(ready);
    free(console);
    free(address);
    free(listen);
}

/* ---- the end ---- */

static const char *const all[] = {"source-watcher", "console", "approver", "notifier",
                                  "deployer",       "builder", "promoter"};

static void all_are_stopped_one_after_the_other_in_order(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < 7; i++)
        service(f, all[i], PATIENT);
    up(f, (const char *const[]){NULL});
    for (size_t i = 0; i < 7; i++) {
        char *start = mem_printf("start %s\n", all[i]);
        wait_told(f, start);
        free(start);
    }
    kill(loop_child_pid(f->child), SIGTERM);
    wait_end(f);
    assert_int_equal(f->result.code, 0);
    char *text = told(f);
    assert_has(text, "end source-watcher\nend console\nend approver\nend notifier\n"
                     "end deployer\nend builder\nend promoter\n");
    free(text);
}

static void ctrl_c_stops_it_too_and_one_that_waits_to_start_again_is_let_go(void **state)
{
    struct fixture *f = *state;

    service(f, "console", "exit 1");
    service(f, "builder", PATIENT);
    up(f, ARGS("--only", "console,builder"));
    wait_for(f, "starting it again in 1.6 s");
    kill(loop_child_pid(f->child), SIGINT);
    wait_end(f);
    assert_int_equal(f->result.code, 0);
    char *text = told(f);
    assert_string_equal(text, "start builder\nend builder\n");
    free(text);
}

static void a_second_signal_kills_what_is_left(void **state)
{
    struct fixture *f = *state;

    service(f, "console", STUBBORN);
    service(f, "builder", STUBBORN);
    up(f, ARGS("--only", "console,builder"));
    wait_told(f, "start console");
    wait_told(f, "start builder");
    kill(loop_child_pid(f->child), SIGTERM);
    wait_for(f, "once more ends it at once");
    kill(loop_child_pid(f->child), SIGTERM);
    wait_end(f);
    assert_int_equal(f->result.code, 1);
}

static void services_end_with_a_supervisor_that_is_killed(void **state)
{
    struct fixture *f = *state;

    service(f, "console", PATIENT);
    service(f, "builder", PATIENT);
    up(f, ARGS("--only", "console,builder"));
    wait_told(f, "start console");
    wait_told(f, "start builder");
    kill(loop_child_pid(f->child), SIGKILL);
    wait_told(f, "end console");
    wait_told(f, "end builder");
}

/* ---- control groups ---- */

static void a_builder_under_root_gets_control_groups_of_its_own_that_go_with_it(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    if (geteuid() != 0)
        skip();
    service(f, "builder", "echo \"place=$GANTRY_BUILDER_CGROUP.\"\n" PATIENT);
    up(f, ARGS("--only", "builder", "--set", "builder.user=nobody"));
    wait_for(f, "builder runs");
    const char *place = strstr(buf_cstr(&f->out), "place=v");
    if (!place) {
        assert_has(buf_cstr(&f->out), "builds run without control groups: ");
        return;
    }
    const char *path = strchr(place, '/');
    char *first = mem_strndup(path, strcspn(path, ",."));
    assert_int_equal(stat(first, &st), 0);
    assert_int_not_equal(st.st_uid, 0);
    /* What the builder would have made for a build. */
    char *build = mem_printf("%s/gantry-build", first);
    assert_int_equal(mkdir(build, 0755), 0);
    loop_child_stop(f->child);
    wait_end(f);
    assert_int_equal(stat(first, &st), -1);
    free(build);
    free(first);
}

/* As systemd starts a unit; where Linux has version 2 of control groups. */
static void start_in_a_group(struct fixture *f, const char *group, const char *delegated)
{
    char *procs = mem_printf("%s/cgroup.procs", group);

    assert_int_equal(mkdir(group, 0755), 0);
    assert_int_equal(setxattr(group, "trusted.delegate", delegated, 1, 0), 0);
    f->group = open(procs, O_WRONLY | O_CLOEXEC);
    assert_true(f->group >= 0);
    free(procs);
    service(f, "console", "echo \"console is in $(cat /proc/self/cgroup)\"\n" PATIENT);
    service(f, "builder",
            "echo \"builder is in $(cat /proc/self/cgroup) of $GANTRY_BUILDER_CGROUP\"\n" PATIENT);
    up(f, ARGS("--only", "builder,console", "--set", "builder.user=nobody"));
    close(f->group);
    wait_for(f, "builder runs");
    wait_for(f, "console runs");
}

static void in_a_delegated_group_of_its_own_it_makes_room_for_the_builders(void **state)
{
    struct fixture *f = *state;

    if (geteuid() != 0 || access("/sys/fs/cgroup/cgroup.controllers", F_OK) != 0)
        skip();
    char *group = mem_printf("/sys/fs/cgroup/gantry-test-%d", (int)getpid());
    start_in_a_group(f, group, "1");
    const char *name = strrchr(group, '/');
    char *console = mem_printf("console is in 0::%s/supervisor\n", name);
    char *builder =
        mem_printf("builder is in 0::%s/gantry-up-%d/service of v2:%s/gantry-up-%d\n", name,
                   (int)loop_child_pid(f->child), group, (int)loop_child_pid(f->child));
    assert_has(buf_cstr(&f->out), console);
    assert_has(buf_cstr(&f->out), builder);
    loop_child_stop(f->child);
    wait_end(f);
    /* Whoever made it finds it as it was. */
    assert_int_equal(rmdir(group), 0);
    free(console);
    free(builder);
    free(group);
}

static void a_group_that_systemd_did_not_delegate_stays_as_it_is(void **state)
{
    struct fixture *f = *state;

    if (geteuid() != 0 || access("/sys/fs/cgroup/cgroup.controllers", F_OK) != 0 ||
        access("/run/systemd/system", F_OK) != 0)
        skip();
    char *group = mem_printf("/sys/fs/cgroup/gantry-test-%d", (int)getpid());
    start_in_a_group(f, group, "0");
    wait_for(f, "builds run without control groups: ");
    assert_has(buf_cstr(&f->out), "Delegate=yes");
    char *in = mem_printf("console is in 0::%s\n", strrchr(group, '/'));
    assert_has(buf_cstr(&f->out), in);
    loop_child_stop(f->child);
    wait_end(f);
    assert_int_equal(rmdir(group), 0);
    free(in);
    free(group);
}

static void without_a_user_for_builds_it_goes_on_and_says_so(void **state)
{
    struct fixture *f = *state;

    service(f, "builder", "echo \"place=[$GANTRY_BUILDER_CGROUP]\"\n" PATIENT);
    up(f, ARGS("--only", "builder", "--set", "builder.user=no-such-user"));
    wait_for(f, "place=[]");
    wait_for(f, "builds run without control groups: ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(help_lists_options_and_services),
        TEST(words_it_does_not_know_are_refused_with_2),
        TEST(a_program_that_is_missing_is_named_with_what_to_do),
        TEST(settings_reach_every_service),
        TEST(it_names_the_instance_unless_somebody_did),
        TEST(lines_bear_the_services_names_aligned_and_without_colour),
        TEST(a_line_without_end_is_cut_not_kept),
        TEST(a_service_that_ends_is_started_again_later_each_time),
        TEST(a_service_that_is_killed_is_started_again),
        TEST(refused_settings_end_everything_with_2),
        TEST(it_says_once_when_all_are_ready_and_asks_no_more),
        TEST(all_are_stopped_one_after_the_other_in_order),
        TEST(ctrl_c_stops_it_too_and_one_that_waits_to_start_again_is_let_go),
        TEST(a_second_signal_kills_what_is_left),
        TEST(services_end_with_a_supervisor_that_is_killed),
        TEST(a_builder_under_root_gets_control_groups_of_its_own_that_go_with_it),
        TEST(in_a_delegated_group_of_its_own_it_makes_room_for_the_builders),
        TEST(a_group_that_systemd_did_not_delegate_stays_as_it_is),
        TEST(without_a_user_for_builds_it_goes_on_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
