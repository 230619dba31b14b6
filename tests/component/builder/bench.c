#include "tests/component/builder/bench.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/id.h"
#include "base/mem.h"

#define EXTRA_MAX  12
#define EXTRA_SIZE 65536

static const enum topic followed[] = {TOPIC_RESULT_BUILD, TOPIC_LOG};

struct command {
    bool done;
    int code;
    struct buf output;
};

static void on_output(struct loop_child *child, const char *data, size_t len, void *arg)
{
    struct command *c = arg;
    (void)child;
    buf_add(&c->output, data, len);
}

static void on_end(struct loop_child *child, const struct loop_child_exit *result, void *arg)
{
    struct command *c = arg;
    (void)child;
    c->done = true;
    c->code = result->code;
}

/* Runs a shell command in the repository; its first line of output goes to `line`. */
static void sh(struct bench *b, const char *script, char *line, size_t size)
{
    struct command c = {0};
    struct loop_child *child;
    struct err err = {0};
    const char *const argv[] = {"/bin/sh", "-ec", script, NULL};
    const char *const env[] = {"PATH=/usr/bin:/bin",
                               "GIT_CONFIG_NOSYSTEM=1",
                               "HOME=/nonexistent",
                               "GIT_AUTHOR_NAME=Ann",
                               "GIT_AUTHOR_EMAIL=ann@example.org",
                               "GIT_COMMITTER_NAME=Ann",
                               "GIT_COMMITTER_EMAIL=ann@example.org",
                               NULL};
    const struct loop_child_opts opts = {.argv = argv,
                                         .env = env,
                                         .cwd = b->repository,
                                         .merge_stderr = true,
                                         .on_output = on_output,
                                         .on_exit = on_end,
                                         .arg = &c};
    buf_init(&c.output, 1024 * 1024);
    if (loop_child_start(&child, b->s.loop, &opts, &err) < 0)
        fail_msg("%s", err.msg);
    loop_run_for(b->s.loop, 60000, &c.done);
    if (!c.done || c.code != 0)
        fail_msg("%s: %s", script, buf_cstr(&c.output));
    if (line)
        snprintf(line, size, "%.*s", (int)strcspn(buf_cstr(&c.output), "\n"), buf_cstr(&c.output));
    buf_release(&c.output);
}

static int free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    close(fd);
    return ntohs(at.sin_port);
}

static void start_registry(struct bench *b)
{
    struct err err = {0};
    snprintf(b->registry, sizeof(b->registry), "127.0.0.1:%d", free_port());
    char *path = mem_printf("%s/registry.yml", b->dir);
    char *text = mem_printf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
                            "storage: {filesystem: {rootdirectory: %s/registry}}\n"
                            "http: {addr: '%s'}\n",
                            b->dir, b->registry);
    assert_int_equal(file_write(path, text, strlen(text), 0644, &err), 0);
    const char *const argv[] = {"/usr/bin/docker-registry", "serve", path, NULL};
    const char *const env[] = {"PATH=/usr/bin:/bin", "OTEL_TRACES_EXPORTER=none", NULL};
    const struct loop_child_opts opts = {.argv = argv, .env = env};
    if (loop_child_start(&b->registry_child, b->s.loop, &opts, &err) < 0)
        fail_msg("%s", err.msg);
    free(path);
    free(text);
}

void bench_setup(struct bench *b, const char *settings)
{
    const char *user = getenv("GANTRY_TEST_BUILDER_USER");
    if (!user)
        user = "gantry-builder";
    memset(b, 0, sizeof(*b));
    if (geteuid() == 0 && !getpwnam(user)) {
        printf("LEFT OUT: there is no user %s; deploy/builder-user add %s makes it\n", user, user);
        b->left_out = true;
    } else {
        b->left_out = !service_setup(&b->s, PROGRAM, "builder", followed, 2);
    }
    if (b->left_out)
        return;
    snprintf(b->dir, sizeof(b->dir), "/var/tmp/gantry-builder-XXXXXX");
    assert_non_null(mkdtemp(b->dir));
    assert_int_equal(chmod(b->dir, 0755), 0);
    snprintf(b->repository, sizeof(b->repository), "%s/repository", b->dir);
    assert_int_equal(file_mkdirs(b->repository, 0755, NULL), 0);
    sh(b, "git init -q -b main .", NULL, 0);
    start_registry(b);
    b->s.config = mem_printf("  state-dir: %s/state\n  trust-file-owner: true\n"
                             "  insecure-registries: [127.0.0.1]\n  user: %s\n%s",
                             b->dir, user, settings ? settings : "");
}

void bench_teardown(struct bench *b)
{
    if (b->left_out)
        return;
    if (b->registry_child)
        loop_child_stop(b->registry_child);
    loop_run_for(b->s.loop, 300, NULL);
    service_teardown(&b->s);
    file_remove_tree(b->dir, NULL);
}

static void put_file(struct bench *b, const char *name, const char *text)
{
    struct err err = {0};
    char *path = mem_printf("%s/%s", b->repository, name);
    if (file_write(path, text, strlen(text), 0644, &err) < 0)
        fail_msg("%s", err.msg);
    free(path);
}

static void fill_request(struct bench *b, const struct ask *ask, Gantry__V1__ActionRequest *request,
                         Gantry__V1__BuildSpec *spec, char *image, size_t size)
{
    request->pipeline = "shop";
    request->release = 7;
    request->stage = "build";
    request->action = "app";
    request->number = 1;
    request->kind = GANTRY__V1__ACTION_KIND__ACTION_KIND_BUILD;
    request->retry_lost = true;
    request->spec_case = GANTRY__V1__ACTION_REQUEST__SPEC_BUILD;
    request->build = spec;
    spec->source = "src";
    spec->buildspec = ask->buildspec ? "buildspec.yml" : "";
    spec->dockerfile = ask->buildspec ? "" : "Dockerfile";
    spec->batch = ask->batch;
    if (ask->batch_image) {
        spec->batch_image = (char *)ask->batch_image;
        spec->batch_privilege_case = GANTRY__V1__BUILD_SPEC__BATCH_PRIVILEGE_BATCH_PRIVILEGED;
        spec->batch_privileged = true;
    }
    spec->memory_bytes = ask->memory_bytes;
    if (ask->image)
        snprintf(image, size, "%s/%s", b->registry, ask->image);
    spec->image = image;
}

static void send_run(struct bench *b, const struct ask *ask, const char *run_id)
{
    Gantry__V1__ActionRequest request = GANTRY__V1__ACTION_REQUEST__INIT;
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;
    Gantry__V1__BuildSpec spec = GANTRY__V1__BUILD_SPEC__INIT;
    Gantry__V1__Revision revision = GANTRY__V1__REVISION__INIT;
    Gantry__V1__Revision *revisions[] = {&revision};
    Gantry__V1__KeyValue variable = GANTRY__V1__KEY_VALUE__INIT;
    Gantry__V1__KeyValue extra = GANTRY__V1__KEY_VALUE__INIT;
    Gantry__V1__KeyValue *variables[EXTRA_MAX + 1] = {&variable};
    char image[256] = "";
    char *url = ask->git ? mem_strdup(ask->git) : mem_printf("file://%s", b->repository);
    order.epoch = order.sequence = 1;
    request.order = &order;
    request.verb = GANTRY__V1__REQUEST_VERB__REQUEST_VERB_RUN;
    request.run_id = (char *)run_id;
    fill_request(b, ask, &request, &spec, image, sizeof(image));
    revision.source = "src";
    revision.git = url;
    revision.ref = "refs/heads/main";
    revision.commit = b->commit;
    request.revisions = revisions;
    request.n_revisions = 1;
    variable.key = "FROM_START";
    variable.value = "start";
    request.variables = variables;
    request.n_variables = 1 + ask->extra_exports;
    extra.key = "actions.earlier.TEXT";
    extra.value = mem_alloc(EXTRA_SIZE + 1);
    memset(extra.value, 'x', EXTRA_SIZE);
    assert_true(ask->extra_exports <= EXTRA_MAX);
    for (size_t i = 0; i < ask->extra_exports; i++)
        variables[i + 1] = &extra;
    service_put(&b->s, TOPIC_REQUEST_BUILD, &request, NULL);
    free(extra.value);
    free(url);
}

void bench_ask_again(struct bench *b, const struct ask *ask, const char *run_id)
{
    if (ask->buildspec)
        put_file(b, "buildspec.yml", ask->buildspec);
    if (ask->dockerfile)
        put_file(b, "Dockerfile", ask->dockerfile);
    sh(b, "git add -A; git commit -q --allow-empty -m x; git rev-parse HEAD", b->commit,
       sizeof(b->commit));
    send_run(b, ask, run_id);
}

void bench_ask(struct bench *b, const struct ask *ask, char run_id[ID_SIZE])
{
    id_random(run_id);
    bench_ask_again(b, ask, run_id);
}

void bench_cancel(struct bench *b, const char *run_id, const char *reason)
{
    Gantry__V1__ActionRequest request = GANTRY__V1__ACTION_REQUEST__INIT;
    Gantry__V1__Order order = GANTRY__V1__ORDER__INIT;
    Gantry__V1__BuildSpec spec = GANTRY__V1__BUILD_SPEC__INIT;
    const struct ask none = {.buildspec = ""};
    char image[1] = "";
    order.epoch = 1;
    order.sequence = 2;
    request.order = &order;
    request.run_id = (char *)run_id;
    fill_request(b, &none, &request, &spec, image, sizeof(image));
    request.verb = GANTRY__V1__REQUEST_VERB__REQUEST_VERB_CANCEL;
    request.cancel_reason = (char *)reason;
    request.spec_case = GANTRY__V1__ACTION_REQUEST__SPEC__NOT_SET;
    service_put(&b->s, TOPIC_REQUEST_BUILD, &request, NULL);
}

/* ---- what came ---- */

struct search {
    struct bench *b;
    const char *run_id;
    const char *text;
    const Gantry__V1__ActionResult *found;
};

static const Gantry__V1__ActionResult *result_at(struct bench *b, size_t i, const char *run_id)
{
    if (b->s.items[i].topic != TOPIC_RESULT_BUILD)
        return NULL;
    const Gantry__V1__ActionResult *result = b->s.items[i].message;
    return str_eq(result->run_id, run_id) ? result : NULL;
}

size_t bench_count(struct bench *b, const char *run_id,
                   Gantry__V1__ActionResult__BodyCase body_case)
{
    size_t n = 0;
    for (size_t i = 0; i < b->s.count; i++) {
        const Gantry__V1__ActionResult *result = result_at(b, i, run_id);
        n += result && result->body_case == body_case;
    }
    return n;
}

static bool is_finished(struct service *s, void *arg)
{
    struct search *search = arg;
    for (size_t i = 0; i < s->count && !search->found; i++) {
        const Gantry__V1__ActionResult *result = result_at(search->b, i, search->run_id);
        if (result && result->body_case == GANTRY__V1__ACTION_RESULT__BODY_FINISHED)
            search->found = result;
    }
    return search->found != NULL;
}

const Gantry__V1__Finished *bench_finished(struct bench *b, const char *run_id, uint32_t *attempt)
{
    struct search search = {.b = b, .run_id = run_id};
    service_wait(&b->s, is_finished, &search, "a build's end");
    if (attempt)
        *attempt = search.found->attempt;
    return search.found->finished;
}

char *bench_log(struct bench *b, const char *run_id)
{
    struct buf text;
    buf_init(&text, 64 * 1024 * 1024);
    for (size_t i = 0; i < b->s.count; i++) {
        if (b->s.items[i].topic != TOPIC_LOG)
            continue;
        const Gantry__V1__LogChunk *chunk = b->s.items[i].message;
        if (str_eq(chunk->run_id, run_id))
            buf_add(&text, chunk->data.data, chunk->data.len);
    }
    return buf_detach(&text);
}

static bool log_has(struct service *s, void *arg)
{
    struct search *search = arg;
    size_t len = strlen(search->text);
    for (size_t i = 0; i < s->count; i++) {
        if (s->items[i].topic != TOPIC_LOG)
            continue;
        const Gantry__V1__LogChunk *chunk = s->items[i].message;
        if (str_eq(chunk->run_id, search->run_id) &&
            memmem(chunk->data.data, chunk->data.len, search->text, len))
            return true;
    }
    return false;
}

void bench_log_has(struct bench *b, const char *run_id, const char *text)
{
    struct search search = {.b = b, .run_id = run_id, .text = text};
    service_wait(&b->s, log_has, &search, text);
}

size_t bench_processes(const char *text)
{
    size_t count = 0;
    DIR *dir = opendir("/proc");
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char path[300], line[8192];
        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        snprintf(path, sizeof(path), "/proc/%s/cmdline", e->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);
        if (fd >= 0)
            close(fd);
        for (ssize_t i = 0; i < n; i++) {
            if (line[i] == '\0')
                line[i] = ' ';
        }
        line[n > 0 ? n : 0] = '\0';
        count += strstr(line, text) != NULL;
    }
    closedir(dir);
    return count;
}

struct lookup {
    bool done;
    char digest[OCI_DIGEST_SIZE];
};

static void on_resolved(const struct oci_image *image, const struct err *err, void *arg)
{
    struct lookup *lookup = arg;
    lookup->done = true;
    if (err->code == ERR_NONE)
        snprintf(lookup->digest, sizeof(lookup->digest), "%s", image->digest);
}

void bench_registry_digest(struct bench *b, const char *image, const char *tag,
                           char digest[OCI_DIGEST_SIZE])
{
    struct lookup lookup = {0};
    struct oci_ref ref;
    struct err err = {0};
    struct strv insecure = {0};
    strv_add(&insecure, "127.0.0.1");
    const struct oci_conf conf = {.insecure = &insecure};
    struct oci_client *client = oci_client_new(b->s.loop, &conf);
    char *text = mem_printf("%s/%s:%s", b->registry, image, tag);
    if (oci_ref_parse(&ref, text, &err) < 0 ||
        !oci_resolve(client, &ref, on_resolved, &lookup, &err))
        fail_msg("%s", err.msg);
    loop_run_for(b->s.loop, 30000, &lookup.done);
    assert_true(lookup.done);
    memcpy(digest, lookup.digest, OCI_DIGEST_SIZE);
    oci_client_free(client);
    strv_release(&insecure);
    free(text);
}
