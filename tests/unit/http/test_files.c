#include <fcntl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/str.h"
#include "http/client.h"
#include "http/server.h"
#include "loop/loop.h"
#include "tests/unit/unit.h"

#define WAIT_MS 15000
#define BIG     (3 * 1024 * 1024 + 17)

struct fixture {
    struct loop *loop;
    struct http_server *server;
    struct http_client *client;
    char dir[64];
    char *data; /* BIG bytes */
    int fd;     /* of a file with them, read and written */
    char got[SHA256_HEX_SIZE];
    size_t got_len;
    bool done;
    int status;
    uint64_t saved;
    struct buf body;
    struct err err;
};

/* Keeps what was sent. */
static void on_put(struct http_request *req, void *arg)
{
    struct fixture *f = arg;
    size_t len;
    const char *body = http_req_body(req, &len);

    sha256_hex(body, len, f->got);
    f->got_len = len;
    http_reply(req, 200, "text/plain", "thanks", 6);
}

static void on_get(struct http_request *req, void *arg)
{
    struct fixture *f = arg;

    http_reply(req, 200, "text/plain", f->data, BIG);
}

static void on_refuse(struct http_request *req, void *arg)
{
    (void)arg;
    http_reply(req, 403, "text/plain", "no", 2);
}

static void on_path(struct http_request *req, void *arg)
{
    (void)arg;
    http_reply(req, 200, "text/plain", http_req_path(req), strlen(http_req_path(req)));
}

static void on_gone(void *arg)
{
    (void)arg;
}

static void on_silent(struct http_request *req, void *arg)
{
    http_req_on_close(req, on_gone, arg);
    http_stream_begin(req, 200, "text/plain");
    http_stream_send(req, "one", 3);
}

static int setup(void **state)
{
    struct fixture *f = mem_alloc(sizeof(*f));
    const struct http_server_conf conf = {.listen = "127.0.0.1:0"};
    char *path;

    f->loop = loop_new(1);
    assert_int_equal(http_server_new(&f->server, f->loop, &conf, &f->err), 0);
    http_route(f->server, "PUT", "/put", 32 * 1024 * 1024, on_put, f);
    http_route(f->server, "GET", "/get", 0, on_get, f);
    http_route(f->server, "GET", "/refuse", 0, on_refuse, f);
    http_route(f->server, "GET", "/silent", 0, on_silent, f);
    http_route(f->server, "GET", "/path/{rest*}", 0, on_path, f);
    f->client = http_client_new(f->loop);
    buf_init(&f->body, 64 * 1024);
    snprintf(f->dir, sizeof(f->dir), "/tmp/gantry-http-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->data = mem_alloc(BIG);
    for (size_t i = 0; i < BIG; i++)
        f->data[i] = (char)(i * 31 + i / 251);
    path = mem_printf("%s/file", f->dir);
    assert_int_equal(file_write(path, f->data, BIG, 0600, &f->err), 0);
    f->fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(f->fd >= 0);
    free(path);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    http_client_free(f->client);
    http_server_free(f->server);
    loop_free(f->loop);
    buf_release(&f->body);
    close(f->fd);
    file_remove_tree(f->dir, NULL);
    free(f->data);
    free(f);
    return 0;
}

static void on_done(const struct http_response *response, void *arg)
{
    struct fixture *f = arg;

    f->done = true;
    f->status = response->status;
    f->saved = response->saved;
    f->err = response->err;
    buf_reset(&f->body);
    buf_add(&f->body, response->body, response->len);
}

static void call(struct fixture *f, struct http_call_opts opts, const char *path)
{
    char *url = mem_printf("http://127.0.0.1:%d%s", http_server_port(f->server), path);

    opts.url = url;
    f->done = false;
    assert_non_null(http_call(f->client, &opts, on_done, f, &f->err));
    free(url);
    loop_run_for(f->loop, WAIT_MS, &f->done);
    assert_true(f->done);
}

static void a_part_of_a_file_is_sent(void **state)
{
    struct fixture *f = *state;
    const struct http_file all = {f->fd, 0, BIG}, part = {f->fd, 1000, 700000},
                           nothing = {f->fd, 5, 0};
    char hex[SHA256_HEX_SIZE];

    call(f, (struct http_call_opts){.method = "PUT", .upload = &all}, "/put");
    assert_int_equal(f->status, 200);
    assert_string_equal(buf_cstr(&f->body), "thanks");
    sha256_hex(f->data, BIG, hex);
    assert_string_equal(f->got, hex);
    call(f, (struct http_call_opts){.method = "PUT", .upload = &part}, "/put");
    sha256_hex(f->data + 1000, 700000, hex);
    assert_string_equal(f->got, hex);
    call(f, (struct http_call_opts){.method = "PUT", .upload = &nothing}, "/put");
    assert_int_equal(f->status, 200);
    assert_int_equal(f->got_len, 0);
}

static void a_file_that_shrinks_while_it_is_sent_is_an_error(void **state)
{
    struct fixture *f = *state;
    const struct http_file beyond = {f->fd, 0, BIG + 1};

    call(f, (struct http_call_opts){.method = "PUT", .upload = &beyond}, "/put");
    assert_int_equal(f->status, 0);
    assert_int_equal(f->err.code, ERR_CONFLICT);
    assert_non_null(strstr(f->err.msg, "was cut"));
}

static void an_answer_goes_into_a_file_at_its_place(void **state)
{
    struct fixture *f = *state;
    const struct http_file place = {f->fd, 100, BIG};
    char *read = mem_alloc(BIG);

    call(f, (struct http_call_opts){.download = &place}, "/get");
    assert_int_equal(f->status, 200);
    assert_int_equal(f->saved, BIG);
    assert_int_equal(f->body.len, 0);
    assert_int_equal(pread(f->fd, read, BIG, 100), BIG);
    assert_memory_equal(read, f->data, BIG);
    assert_int_equal(pread(f->fd, read, 100, 0), 100);
    assert_memory_equal(read, f->data, 100);
    free(read);
}

static void an_answer_larger_than_its_place_is_an_error(void **state)
{
    struct fixture *f = *state;
    const struct http_file place = {f->fd, 0, BIG - 1};

    call(f, (struct http_call_opts){.download = &place}, "/get");
    assert_int_equal(f->status, 0);
    assert_int_equal(f->err.code, ERR_LIMIT);
}

static void a_refusal_does_not_go_into_the_file(void **state)
{
    struct fixture *f = *state;
    const struct http_file place = {f->fd, 0, BIG};
    char read[2];

    call(f, (struct http_call_opts){.download = &place}, "/refuse");
    assert_int_equal(f->status, 403);
    assert_string_equal(buf_cstr(&f->body), "no");
    assert_int_equal(f->saved, 0);
    assert_int_equal(pread(f->fd, read, 2, 0), 2);
    assert_memory_equal(read, f->data, 2);
}

static void a_file_that_cannot_be_written_is_an_error(void **state)
{
    struct fixture *f = *state;
    const int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    const struct http_file place = {fd, 0, BIG};

    call(f, (struct http_call_opts){.download = &place}, "/get");
    assert_int_equal(f->err.code, ERR_IO);
    assert_non_null(strstr(f->err.msg, "cannot be written"));
    close(fd);
}

static void a_path_is_sent_as_it_is(void **state)
{
    struct fixture *f = *state;

    call(f, (struct http_call_opts){0}, "/path/a/../b/./c");
    assert_string_equal(buf_cstr(&f->body), "/path/a/../b/./c");
}

static void an_answer_that_stalls_is_a_timeout(void **state)
{
    struct fixture *f = *state;

    call(f, (struct http_call_opts){.timeout_ms = -1, .stall_ms = 1000}, "/silent");
    assert_int_equal(f->status, 0);
    assert_int_equal(f->err.code, ERR_TIMEOUT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_part_of_a_file_is_sent),
        TEST(a_file_that_shrinks_while_it_is_sent_is_an_error),
        TEST(an_answer_goes_into_a_file_at_its_place),
        TEST(an_answer_larger_than_its_place_is_an_error),
        TEST(a_refusal_does_not_go_into_the_file),
        TEST(a_file_that_cannot_be_written_is_an_error),
        TEST(a_path_is_sent_as_it_is),
        TEST(an_answer_that_stalls_is_a_timeout),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
