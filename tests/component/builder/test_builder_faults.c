/* What goes wrong around a build, on a real Kafka: the builder killed, the build stopped, in every
 * phase; slots that are full; a disk that is. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "tests/component/builder/bench.h"

#define SETTINGS "  slots: 1\n  git-timeout: 10m\n"

static struct bench bench;
static int gate = -1, gate_port; /* bound; commands wait until it listens */
static pid_t git_server;         /* 0: none */
static char nap[32];             /* "sleep N" of this run's own */
static bool no_disk;             /* of its own for the builder */

static void gate_new(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    if (gate >= 0)
        close(gate);
    gate = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(gate, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(gate, (struct sockaddr *)&at, &len), 0);
    gate_port = ntohs(at.sin_port);
}

static void gate_open(void)
{
    assert_int_equal(listen(gate, 100), 0);
}

static int setup(void **state)
{
    (void)state;
    bench_setup(&bench, SETTINGS);
    if (!bench.left_out)
        service_start(&bench.s, true);
    gate_new();
    return 0;
}

static void unmount(void)
{
    char *path = mem_printf("%s/state", bench.dir);
    (void)umount2(path, MNT_DETACH);
    free(path);
}

static int teardown(void **state)
{
    (void)state;
    if (git_server) {
        kill(git_server, SIGKILL);
        waitpid(git_server, NULL, 0);
        git_server = 0;
    }
    if (bench.s.child && !bench.s.ended)
        service_end(&bench.s, SIGTERM);
    unmount();
    bench_teardown(&bench);
    close(gate);
    gate = -1;
    return 0;
}

#define NEED()                                                                                     \
    do {                                                                                           \
        (void)state;                                                                               \
        if (bench.left_out || no_disk)                                                             \
            skip();                                                                                \
    } while (0)

/* ---- builds that wait ---- */

/* Goes through all phases; that of this name begins with "in <phase>" in the log, leaves processes
 * and files, and waits for the gate. NULL: none waits. */
static char *spec_that_waits_in(const char *phase)
{
    static const char *const phases[] = {"install", "pre_build", "build", "post_build"};
    struct buf spec;
    buf_init(&spec, 64 * 1024);
    buf_adds(&spec, "version: 0.2\nenv: {shell: bash}\nphases:\n");
    for (size_t i = 0; i < 4; i++) {
        buf_addf(&spec, "  %s:\n    commands:\n", phases[i]);
        if (i == 0)
            buf_adds(&spec, "      - test ! -e left -a ! -e /tmp/left -a ! -e ~/left\n"
                            "      - touch left /tmp/left ~/left; chown 7:7 left\n");
        if (str_eq(phases[i], phase))
            buf_addf(&spec,
                     "      - 'setsid %s & %s & echo in %s; until (: "
                     ">/dev/tcp/127.0.0.1/%d) 2>/dev/null; do sleep 0.05; done'\n",
                     nap, nap, phase, gate_port);
        else
            buf_adds(&spec, "      - 'true'\n");
    }
    return buf_detach(&spec);
}

static bool none_of(struct service *s, void *text)
{
    (void)s;
    return bench_processes(text) == 0;
}

static bool some_of(struct service *s, void *text)
{
    (void)s;
    return bench_processes(text) > 0;
}

/* Sandboxes on disk: the one that is kept ready is all there may be. */
static bool one_sandbox(struct service *s, void *arg)
{
    size_t count = 0;
    char *path = mem_printf("%s/state/sandbox", bench.dir);
    DIR *dir = opendir(path);
    (void)s;
    (void)arg;
    for (struct dirent *e; dir && (e = readdir(dir));)
        count += e->d_name[0] != '.';
    if (dir)
        closedir(dir);
    free(path);
    return count == 1;
}

static void nothing_is_left(void)
{
    service_wait(&bench.s, none_of, nap, "the end of the build's processes");
    service_wait(&bench.s, one_sandbox, NULL, "the removal of the build's folders");
}

static bool is_at(struct service *s, void *phase)
{
    for (size_t i = 0; i < s->count; i++) {
        const Gantry__V1__ActionResult *result = s->items[i].message;
        if (s->items[i].topic == TOPIC_RESULT_BUILD &&
            result->body_case == GANTRY__V1__ACTION_RESULT__BODY_PROGRESS &&
            str_eq(result->progress->phase, phase))
            return true;
    }
    return false;
}

static bool was_started(struct service *s, void *run_id)
{
    (void)s;
    return bench_count(&bench, run_id, GANTRY__V1__ACTION_RESULT__BODY_STARTED) > 0;
}

/* The builder is killed now, and started again: the same run, its second attempt, succeeds once. */
static void kill_and_succeed(const char *id, const char *processes)
{
    uint32_t attempt = 0;
    assert_int_equal(service_end(&bench.s, SIGKILL), -SIGKILL);
    service_wait(&bench.s, none_of, (void *)processes, "the end of what the killed builder ran");
    service_start(&bench.s, true);
    gate_open();
    const Gantry__V1__Finished *f = bench_finished(&bench, id, &attempt);
    if (f->outcome != GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED)
        fail_msg("%s: %s", f->reason, f->command);
    assert_int_equal(attempt, 2);
    assert_int_equal(bench_count(&bench, id, GANTRY__V1__ACTION_RESULT__BODY_FINISHED), 1);
    nothing_is_left();
}

static void cancel_and_stop(const char *id, const char *phase)
{
    bench_cancel(&bench, id, "Ann stopped it");
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
    assert_string_equal(f->reason, "Ann stopped it");
    assert_string_equal(f->phase, phase);
    nothing_is_left();
}

static const struct {
    const char *key, *name;
} phases[] = {{"install", "INSTALL"},
              {"pre_build", "PRE_BUILD"},
              {"build", "BUILD"},
              {"post_build", "POST_BUILD"}};

/* ---- the commands' phases ---- */

static void begin_waiting_in(const char *phase, char id[ID_SIZE])
{
    char mark[32];
    char *spec = spec_that_waits_in(phase);
    const struct ask ask = {.buildspec = spec};
    bench_ask(&bench, &ask, id);
    snprintf(mark, sizeof(mark), "in %s\n", phase);
    bench_log_has(&bench, id, mark);
    free(spec);
}

static void a_builder_killed_in_any_phase_of_commands_builds_again(void **state)
{
    NEED();
    for (size_t i = 0; i < sizeof(phases) / sizeof(*phases); i++) {
        char id[ID_SIZE];
        gate_new();
        begin_waiting_in(phases[i].key, id);
        kill_and_succeed(id, nap);
    }
}

static void a_stop_in_any_phase_of_commands_leaves_nothing(void **state)
{
    NEED();
    for (size_t i = 0; i < sizeof(phases) / sizeof(*phases); i++) {
        char id[ID_SIZE];
        begin_waiting_in(phases[i].key, id);
        cancel_and_stop(id, phases[i].name);
    }
}

static void what_does_not_heed_a_stop_is_killed(void **state)
{
    NEED();
    char id[ID_SIZE];
    char *spec =
        mem_printf("version: 0.2\nphases: {build: {commands: ['trap \"\" TERM INT HUP; setsid "
                   "%s & echo up; while :; do %s; done']}}\n",
                   nap, nap);
    const struct ask ask = {.buildspec = spec};
    bench_ask(&bench, &ask, id);
    bench_log_has(&bench, id, "up\n");
    cancel_and_stop(id, "BUILD");
    free(spec);
}

/* ---- before the commands ---- */

static void a_builder_killed_when_it_has_just_begun_builds_again(void **state)
{
    NEED();
    char id[ID_SIZE];
    char *spec = spec_that_waits_in("install");
    const struct ask ask = {.buildspec = spec};
    bench_ask(&bench, &ask, id);
    service_wait(&bench.s, was_started, id, "the build's start");
    kill_and_succeed(id, nap);
    free(spec);
}

/* Answers on the gate's port from now on. */
static void serve_git(void)
{
    char *base = mem_printf("--base-path=%s", bench.dir);
    git_server = fork();
    if (git_server == 0) {
        char *const argv[] = {(char *)"git",
                              (char *)"-c",
                              (char *)"safe.directory=*",
                              (char *)"daemon",
                              (char *)"--inetd",
                              (char *)"--export-all",
                              base,
                              NULL};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        signal(SIGCHLD, SIG_IGN);
        for (;;) {
            int fd = accept(gate, NULL, NULL);
            if (fd >= 0 && fork() == 0) {
                signal(SIGCHLD, SIG_DFL);
                dup2(fd, 0);
                dup2(fd, 1);
                execvp(argv[0], argv);
                _exit(127);
            }
            close(fd);
        }
    }
    assert_true(git_server > 0);
    free(base);
}

/* A build whose repository takes the connection and never says a word. */
static void begin_fetching(char id[ID_SIZE], char url[64], char *spec)
{
    snprintf(url, 64, "git://127.0.0.1:%d/repository", gate_port);
    gate_open();
    const struct ask ask = {.buildspec = spec, .git = url};
    bench_ask(&bench, &ask, id);
    service_wait(&bench.s, some_of, url, "the fetch");
}

static void a_builder_killed_while_it_fetches_builds_again(void **state)
{
    NEED();
    char id[ID_SIZE], url[64];
    char *spec = spec_that_waits_in(NULL);
    begin_fetching(id, url, spec);
    assert_int_equal(service_end(&bench.s, SIGKILL), -SIGKILL);
    service_wait(&bench.s, none_of, url, "the end of the fetch");
    serve_git();
    uint32_t attempt = 0;
    service_start(&bench.s, true);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, &attempt);
    if (f->outcome != GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED)
        fail_msg("%s: %s", f->reason, f->command);
    assert_int_equal(attempt, 2);
    nothing_is_left();
    free(spec);
}

static void a_stop_while_it_fetches_ends_at_once_and_the_slot_is_free(void **state)
{
    NEED();
    char id[ID_SIZE], other[ID_SIZE], url[64];
    char *spec = spec_that_waits_in(NULL);
    begin_fetching(id, url, spec);
    cancel_and_stop(id, "DOWNLOAD_SOURCE");
    assert_true(bench_processes(url) > 0); /* the mirror's, with a deadline */
    const struct ask ask = {.buildspec = spec};
    bench_ask(&bench, &ask, other);
    assert_int_equal(bench_finished(&bench, other, NULL)->outcome,
                     GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    assert_int_equal(service_end(&bench.s, SIGTERM), 0);
    assert_int_equal(bench_processes(url), 0);
    free(spec);
}

/* ---- after the commands ---- */

/* Pushed, and the registry answers no more. */
static void begin_asking_the_registry(char id[ID_SIZE])
{
    char *spec = mem_printf(
        "version: 0.2\nenv: {shell: bash}\nphases:\n  build:\n    commands:\n"
        "      - printf 'FROM scratch\\nCOPY buildspec.yml /' >D; buildah bud -q -f D -t "
        "$GANTRY_IMAGE . && buildah push -q $GANTRY_IMAGE\n"
        "      - 'echo pushed; until (: >/dev/tcp/127.0.0.1/%d) 2>/dev/null; do sleep 0.05; "
        "done'\n",
        gate_port);
    const struct ask ask = {.buildspec = spec, .image = "acme/shop"};
    bench_ask(&bench, &ask, id);
    bench_log_has(&bench, id, "pushed\n");
    kill(loop_child_pid(bench.registry_child), SIGSTOP);
    gate_open();
    service_wait(&bench.s, is_at, "UPLOAD_ARTIFACTS", "the phase UPLOAD_ARTIFACTS");
    free(spec);
}

static void a_builder_killed_while_it_asks_the_registry_builds_again(void **state)
{
    NEED();
    char id[ID_SIZE], digest[OCI_DIGEST_SIZE];
    begin_asking_the_registry(id);
    assert_int_equal(service_end(&bench.s, SIGKILL), -SIGKILL);
    kill(loop_child_pid(bench.registry_child), SIGCONT);
    uint32_t attempt = 0;
    service_start(&bench.s, true);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, &attempt);
    if (f->outcome != GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED)
        fail_msg("%s: %s", f->reason, f->command);
    assert_int_equal(attempt, 2);
    bench_registry_digest(&bench, "acme/shop", "shop-7", digest);
    assert_string_equal(f->artifact->digest, digest);
    nothing_is_left();
}

static void a_stop_while_it_asks_the_registry_leaves_nothing(void **state)
{
    NEED();
    char id[ID_SIZE];
    begin_asking_the_registry(id);
    cancel_and_stop(id, "UPLOAD_ARTIFACTS");
    kill(loop_child_pid(bench.registry_child), SIGCONT);
}

/* ---- the queue ---- */

static void builds_beyond_the_slots_wait_and_run_one_after_the_other(void **state)
{
    NEED();
    char id[6][ID_SIZE];
    const struct ask ask = {.buildspec = "version: 0.2\nphases: {build: {commands: 'true'}}\n"};
    for (size_t i = 0; i < 6; i++)
        bench_ask(&bench, &ask, id[i]);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(bench_finished(&bench, id[i], NULL)->outcome,
                         GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    /* One pipeline's results are in one partition, so in order. */
    const char *running = NULL;
    size_t ended = 0;
    for (size_t i = 0; i < bench.s.count; i++) {
        const Gantry__V1__ActionResult *result = bench.s.items[i].message;
        if (bench.s.items[i].topic != TOPIC_RESULT_BUILD)
            continue;
        if (result->body_case == GANTRY__V1__ACTION_RESULT__BODY_STARTED) {
            assert_null(running);
            running = result->run_id;
        } else if (result->body_case == GANTRY__V1__ACTION_RESULT__BODY_FINISHED) {
            assert_string_equal(result->run_id, running);
            running = NULL;
            ended++;
        }
    }
    assert_int_equal(ended, 6);
}

static bool is_ready(struct service *s, void *arg)
{
    (void)arg;
    return service_http(s, "GET", "/readyz", "", NULL, 0).status == 200;
}

static bool says_full(struct service *s, void *arg)
{
    (void)arg;
    return service_says(s, "/readyz", "runs wait for 1 slots: no more requests are read");
}

static bool says_not_full(struct service *s, void *arg)
{
    return !says_full(s, arg);
}

/* 16 MiB of requests a partition are read ahead. */
static void what_is_too_much_to_hold_waits_in_kafka_and_is_built_in_the_end(void **state)
{
    NEED();
    enum { COUNT = 60 };
    char first[ID_SIZE], id[COUNT][ID_SIZE];
    const struct ask ask = {.buildspec = "version: 0.2\nphases: {build: {commands: 'true'}}\n",
                            .extra_exports = 12};
    begin_waiting_in("build", first);
    for (size_t i = 0; i < COUNT; i++)
        bench_ask(&bench, &ask, id[i]);
    service_wait(&bench.s, says_full, NULL, "readiness to say that too many runs wait");
    assert_true(is_ready(&bench.s, NULL));
    gate_open();
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(bench_finished(&bench, id[i], NULL)->outcome,
                         GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    service_wait(&bench.s, says_not_full, NULL, "readiness to say so no more");
}

/* As the promoter does at a deadline. */
static void a_build_whose_time_is_up_while_it_waits_never_starts(void **state)
{
    NEED();
    char first[ID_SIZE], second[ID_SIZE];
    begin_waiting_in("build", first);
    const struct ask ask = {.buildspec = "version: 0.2\nphases: {build: {commands: 'true'}}\n"};
    bench_ask(&bench, &ask, second);
    bench_cancel(&bench, second, "It took longer than its timeout of 1 s");
    const Gantry__V1__Finished *f = bench_finished(&bench, second, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_STOPPED);
    assert_string_equal(f->reason, "It took longer than its timeout of 1 s");
    assert_int_equal(bench_count(&bench, second, GANTRY__V1__ACTION_RESULT__BODY_STARTED), 0);
    gate_open();
    assert_int_equal(bench_finished(&bench, first, NULL)->outcome,
                     GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
}

/* ---- the disk ---- */

/* A small disk of its own for the builder: what others write does not change it. */
static int setup_small_disk(void **state)
{
    (void)state;
    bench_setup(&bench, SETTINGS "  free-disk: 64Mi\n");
    gate_new();
    if (bench.left_out)
        return 0;
    char *path = mem_printf("%s/state", bench.dir);
    assert_int_equal(mkdir(path, 0755), 0);
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "size=400m,mode=0755") != 0) {
        printf("LEFT OUT: only root can give the builder a disk of its own\n");
        no_disk = true;
    }
    free(path);
    return 0;
}

static char *filler(void)
{
    return mem_printf("%s/state/filler", bench.dir);
}

static void fill_disk(void)
{
    char *path = filler();
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, 380 << 20), 0);
    close(fd);
    free(path);
}

static void empty_disk(void)
{
    char *path = filler();
    assert_int_equal(unlink(path), 0);
    free(path);
}

static bool one_is_parked(struct service *s, void *arg)
{
    (void)arg;
    return service_says(s, "/metrics", "gantry_executor_parked 1\n");
}

static void a_low_disk_takes_no_build_says_why_and_goes_on_when_there_is_room(void **state)
{
    NEED();
    char id[ID_SIZE];
    const struct ask ask = {.buildspec = "version: 0.2\nphases: {build: {commands: 'true'}}\n"};
    fill_disk();
    service_start(&bench.s, false);
    bench_ask(&bench, &ask, id);
    service_wait(&bench.s, one_is_parked, NULL, "the build to be parked");
    struct answer answer = service_http(&bench.s, "GET", "/readyz", "", NULL, 0);
    assert_int_equal(answer.status, 503);
    assert_non_null(strstr(answer.body, "no build is started: "));
    assert_non_null(strstr(answer.body, "MiB of disk are left in"));
    assert_int_equal(bench_count(&bench, id, GANTRY__V1__ACTION_RESULT__BODY_STARTED), 0);
    empty_disk();
    assert_int_equal(bench_finished(&bench, id, NULL)->outcome,
                     GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
    service_wait(&bench.s, is_ready, NULL, "readiness");
}

static void a_build_that_fills_the_disk_is_ended_with_the_reason_before_it_is_full(void **state)
{
    NEED();
    char id[ID_SIZE], other[ID_SIZE];
    const struct ask fills = {.buildspec = "version: 0.2\nphases: {build: {commands: 'while head "
                                           "-c 2000000 /dev/zero >>x; do sleep 0.02; done'}}\n"};
    const struct ask ask = {.buildspec = "version: 0.2\nphases: {build: {commands: 'true'}}\n"};
    service_start(&bench.s, true);
    bench_ask(&bench, &fills, id);
    const Gantry__V1__Finished *f = bench_finished(&bench, id, NULL);
    assert_int_equal(f->outcome, GANTRY__V1__OUTCOME__OUTCOME_FAILED);
    assert_string_equal(f->reason, "The builder's disk has less than 64 MiB left");
    nothing_is_left();
    bench_ask(&bench, &ask, other);
    assert_int_equal(bench_finished(&bench, other, NULL)->outcome,
                     GANTRY__V1__OUTCOME__OUTCOME_SUCCEEDED);
}

#define TEST(name)       cmocka_unit_test_setup_teardown(name, setup, teardown)
#define SMALL_DISK(name) cmocka_unit_test_setup_teardown(name, setup_small_disk, teardown)

int main(void)
{
    snprintf(nap, sizeof(nap), "sleep 9%d", (int)getpid());
    const struct CMUnitTest tests[] = {
        TEST(a_builder_killed_in_any_phase_of_commands_builds_again),
        TEST(a_stop_in_any_phase_of_commands_leaves_nothing),
        TEST(what_does_not_heed_a_stop_is_killed),
        TEST(a_builder_killed_when_it_has_just_begun_builds_again),
        TEST(a_builder_killed_while_it_fetches_builds_again),
        TEST(a_stop_while_it_fetches_ends_at_once_and_the_slot_is_free),
        TEST(a_builder_killed_while_it_asks_the_registry_builds_again),
        TEST(a_stop_while_it_asks_the_registry_leaves_nothing),
        TEST(builds_beyond_the_slots_wait_and_run_one_after_the_other),
        TEST(what_is_too_much_to_hold_waits_in_kafka_and_is_built_in_the_end),
        TEST(a_build_whose_time_is_up_while_it_waits_never_starts),
        SMALL_DISK(a_low_disk_takes_no_build_says_why_and_goes_on_when_there_is_room),
        SMALL_DISK(a_build_that_fills_the_disk_is_ended_with_the_reason_before_it_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
