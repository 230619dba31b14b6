#include "service.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "gantry/v1/definition.pb-c.h"

#define WAIT_MS     60000
#define LOG_LIMIT   (16 * 1024 * 1024)
#define HTTP_WAIT_S 30

/* ---- Kafka ---- */

/* cmocka cuts long messages. */
static void show_log(const struct service *s)
{
    fprintf(stderr, "the service's log:\n%s\n", buf_cstr(&s->log));
}

static void on_record(struct bus_follower *follower, const struct bus_record *record, void *arg)
{
    struct service *s = arg;
    struct got got = {
        .topic = record->topic, .partition = record->partition, .offset = record->offset};
    struct err err;

    (void)follower;
    if (event_read_headers(&got.meta, record->headers, record->header_count, &err) != 0 ||
        event_unpack(&got.message, record->topic, record->value, record->value_len, &err) != 0)
        fail_msg("a record that cannot be read: %s", err.msg);
    s->items = mem_realloc(s->items, s->count + 1, sizeof(*s->items));
    s->items[s->count++] = got;
}

static void on_created(enum topic topic, const char *name, bool created, const struct err *err,
                       void *arg)
{
    (void)topic;
    (void)created;
    (void)arg;
    if (err)
        fail_msg("%s: %s", name, err->msg);
}

static void connect_bus(struct service *s, const enum topic *topics, size_t topic_count)
{
    char *bootstrap[] = {getenv("GANTRY_KAFKA"), NULL};
    struct conf_pair pair = {"bootstrap.servers", {bootstrap, 1}};
    const struct conf_map kafka = {&pair, 1};
    const struct bus_conf conf = {
        .kafka = &kafka, .prefix = s->prefix, .service = "test", .instance = s->prefix};
    const struct bus_producer_conf producing = {0};
    const struct bus_follower_handler following = {.on_record = on_record, .arg = s};
    struct err err;

    if (bus_new(&s->bus, s->loop, &conf, &err) != 0 ||
        bus_topics_create(s->bus, SERVICE_PARTITIONS, 1, WAIT_MS, on_created, NULL, &err) != 0 ||
        bus_producer_new(&s->producer, s->bus, &producing, &err) != 0 ||
        bus_follower_new(&s->follower, s->bus, &following, &err) != 0)
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < topic_count; i++) {
        if (bus_follower_add_all(s->follower, topics[i], SERVICE_PARTITIONS, NULL, NULL, &err) != 0)
            fail_msg("%s", err.msg);
    }
}

static void on_ack(const struct bus_ack *ack, void *arg)
{
    struct service *s = arg;

    if (!ack->ok)
        fail_msg("not acknowledged: %s", ack->err.msg);
    s->acked = true;
}

void service_put(struct service *s, enum topic topic, const void *message, const char *id)
{
    struct event_meta meta = {0};
    struct err err;

    if (id)
        snprintf(meta.id, sizeof(meta.id), "%s", id);
    else
        id_random(meta.id);
    snprintf(meta.subject, sizeof(meta.subject), "test");
    s->acked = false;
    if (bus_produce(s->producer, topic, &meta, message, on_ack, s, &err) != 0)
        fail_msg("%s", err.msg);
    loop_run_for(s->loop, WAIT_MS, &s->acked);
    assert_true(s->acked);
}

void service_put_definition(struct service *s, const char *kind, const char *name, const char *yaml)
{
    Gantry__V1__Definition message = GANTRY__V1__DEFINITION__INIT;
    uint8_t hash[SHA256_SIZE];

    message.kind = (char *)kind;
    message.name = (char *)name;
    message.author = (char *)"token:test";
    message.deleted = yaml == NULL;
    sha256(yaml ? yaml : "", yaml ? strlen(yaml) : 0, hash);
    message.yaml.data = (uint8_t *)yaml;
    message.yaml.len = yaml ? strlen(yaml) : 0;
    message.sha256.data = hash;
    message.sha256.len = sizeof(hash);
    service_put(s, TOPIC_DEFINITION, &message, NULL);
}

void service_run_for(struct service *s, int64_t ms)
{
    loop_run_for(s->loop, ms, NULL);
}

void service_wait(struct service *s, bool (*enough)(struct service *s, void *arg), void *arg,
                  const char *what)
{
    const int64_t until = clock_mono_ms() + WAIT_MS;

    while (!enough(s, arg)) {
        if ((s->ended && s->child) || clock_mono_ms() > until) {
            show_log(s);
            fail_msg("waited for %s; the service %s (code %d, signal %d)", what,
                     s->ended ? "ended" : "still runs", s->result.code, s->result.signo);
        }
        loop_run_for(s->loop, 20, NULL);
    }
}

/* ---- the process ---- */

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

bool service_setup(struct service *s, const char *program, const char *name,
                   const enum topic *topics, size_t topic_count)
{
    char id[ID_SIZE];
    char path[128];

    if (!getenv("GANTRY_KAFKA")) {
        printf("LEFT OUT: GANTRY_KAFKA is not set\n");
        return false;
    }
    memset(s, 0, sizeof(*s));
    s->program = program;
    s->name = name;
    s->loop = loop_new(2);
    buf_init(&s->log, LOG_LIMIT);
    id_random(id);
    snprintf(s->prefix, sizeof(s->prefix), "gantry-test-%.12s", id);
    snprintf(s->dir, sizeof(s->dir), "/tmp/gantry-test-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    snprintf(path, sizeof(path), "%s/secrets", s->dir);
    assert_int_equal(file_mkdirs(path, 0700, NULL), 0);
    connect_bus(s, topics, topic_count);
    return true;
}

void service_teardown(struct service *s)
{
    if (!s->loop)
        return;
    if (s->child && !s->ended)
        service_end(s, SIGTERM);
    bus_follower_free(s->follower);
    bus_producer_free(s->producer);
    bus_free(s->bus);
    loop_free(s->loop);
    for (size_t i = 0; i < s->count; i++)
        event_free(s->items[i].message);
    free(s->items);
    free(s->config);
    buf_release(&s->log);
    file_remove_tree(s->dir, NULL);
}

static void on_log(struct loop_child *child, const char *data, size_t len, void *arg)
{
    struct service *s = arg;

    (void)child;
    buf_add(&s->log, data, len);
}

static void on_exit_of(struct loop_child *child, const struct loop_child_exit *result, void *arg)
{
    struct service *s = arg;

    (void)child;
    s->ended = true;
    s->result = *result;
}

static char *write_config(struct service *s)
{
    char *path = mem_printf("%s/gantry.yaml", s->dir);
    char *text =
        mem_printf("common:\n  kafka: {bootstrap.servers: '%s'}\n  topic-prefix: %s\n"
                   "  partitions: %d\n  durability: single\n  instance-id: %s\n"
                   "%s%s%s"
                   "  secrets-dir: %s/secrets\n  state-dir: %s/state\n"
                   "%s:\n  listen: 127.0.0.1:%d\n%s\n",
                   s->kafka ? s->kafka : getenv("GANTRY_KAFKA"), s->prefix, SERVICE_PARTITIONS,
                   s->instance ? s->instance : "test", s->console_url ? "  console-url: '" : "",
                   s->console_url ? s->console_url : "", s->console_url ? "'\n" : "", s->dir,
                   s->dir, s->name, s->port, s->config ? s->config : "");

    assert_int_equal(file_write(path, text, strlen(text), 0600, NULL), 0);
    free(text);
    return path;
}

static bool is_up(struct service *s, void *arg)
{
    return service_http(s, "GET", arg, "", NULL, 0).status == 200;
}

void service_start(struct service *s, bool wait_ready)
{
    static const char *const passed[] = {"PATH",         "HOME",          "OWN_SECRET",
                                         "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"};
    struct strv env = {0};
    struct err err;

    s->port = free_port();
    char *config = write_config(s);
    const char *argv[] = {s->program, "--config", config, NULL};
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
        if (getenv(passed[i]))
            strv_addf(&env, "%s=%s", passed[i], getenv(passed[i]));
    }
    const struct loop_child_opts opts = {.argv = argv,
                                         .env = (const char *const *)env.items,
                                         .merge_stderr = true,
                                         .on_output = on_log,
                                         .on_exit = on_exit_of,
                                         .arg = s};
    s->ended = false;
    if (loop_child_start(&s->child, s->loop, &opts, &err) != 0)
        fail_msg("%s", err.msg);
    service_wait(s, is_up, (void *)(wait_ready ? "/readyz" : "/healthz"), "the service to be up");
    strv_release(&env);
    free(config);
}

int service_end(struct service *s, int signo)
{
    if (!s->ended)
        kill(loop_child_pid(s->child), signo);
    loop_run_for(s->loop, WAIT_MS, &s->ended);
    assert_true(s->ended);
    s->child = NULL;
    if (s->result.code > 0) {
        show_log(s);
        fail_msg("the service ended with code %d", s->result.code);
    }
    return s->result.signo ? -s->result.signo : s->result.code;
}

void service_secret(struct service *s, const char *name, const char *value)
{
    char *path = mem_printf("%s/secrets/%s", s->dir, name);

    assert_int_equal(file_write(path, value, strlen(value), 0600, NULL), 0);
    free(path);
}

/* ---- HTTP ---- */

static int dial(int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    const struct timeval patience = {.tv_sec = HTTP_WAIT_S};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
        return fd;
    close(fd);
    return -1;
}

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

struct answer service_http(struct service *s, const char *method, const char *path,
                           const char *headers, const void *body, size_t len)
{
    struct answer answer = {0};
    struct buf raw;
    const int fd = dial(s->port);

    if (fd < 0)
        return answer;
    buf_init(&raw, sizeof(answer.head) + sizeof(answer.body));
    buf_addf(&raw, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n%s", method, path,
             headers);
    if (!strcasestr(headers, "content-length:"))
        buf_addf(&raw, "Content-Length: %zu\r\n", len);
    buf_adds(&raw, "\r\n");
    send_all(fd, raw.data, raw.len);
    send_all(fd, body, len);
    buf_reset(&raw);
    char part[4096];
    for (ssize_t n; (n = recv(fd, part, sizeof(part), 0)) > 0;) {
        if (buf_add(&raw, part, (size_t)n) != 0)
            break;
    }
    close(fd);
    const char *end = strstr(buf_cstr(&raw), "\r\n\r\n");
    if (end && sscanf(raw.data, "HTTP/1.1 %d", &answer.status) == 1) {
        snprintf(answer.head, sizeof(answer.head), "%.*s", (int)(end - raw.data), raw.data);
        snprintf(answer.body, sizeof(answer.body), "%s", end + 4);
    }
    buf_release(&raw);
    return answer;
}

bool service_says(struct service *s, const char *path, const char *text)
{
    const struct answer answer = service_http(s, "GET", path, "", NULL, 0);

    return strstr(answer.body, text) != NULL;
}
