/* The client against an engine that is made up: what is asked, and what becomes of answers that are
 * good, refused, cut, too large or none at all. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hex.h"
#include "base/mem.h"
#include "docker/docker.h"
#include "tests/unit/docker/engine.h"

#define WAIT_MS 20000

static struct {
    struct loop *loop;
    struct engine engine;
    struct docker *docker;
    struct docker_call *attached;
    bool done, opened, ended, cancels;
    struct err err;
    char id[64], digest[80];
    size_t listed;
    int64_t code;
    uint64_t bytes;
    struct buf output;
    bool takes; /* output() answers */
    int context;
} fx;

#define LOGINS                                                                                     \
    "{\"h:5000\":{\"username\":\"u\",\"password\":\"p\",\"serveraddress\":\"h:5000\"},"            \
    "\"https://index.docker.io/v1/\":{\"username\":\"v\",\"password\":\"q\","                      \
    "\"serveraddress\":\"https://index.docker.io/v1/\"}}"

static int setup(void **state)
{
    (void)state;
    memset(&fx, 0, sizeof(fx));
    fx.loop = loop_new(1);
    engine_start(&fx.engine, fx.loop);
    fx.docker = docker_new(fx.loop, fx.engine.path);
    buf_init(&fx.output, 1024 * 1024);
    fx.takes = true;
    fx.context = memfd_create("context", MFD_CLOEXEC);
    assert_int_equal(write(fx.context, "context", 7), 7);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    docker_free(fx.docker);
    engine_stop(&fx.engine);
    buf_release(&fx.output);
    close(fx.context);
    loop_free(fx.loop);
    return 0;
}

static void on_done(const struct docker_answer *answer, const struct err *err, void *arg)
{
    (void)arg;
    assert_false(fx.done);
    fx.done = true;
    fx.err = *err;
    fx.code = answer->code;
    fx.bytes = answer->bytes;
    fx.listed = answer->ids ? answer->ids->count : 0;
    if (answer->id)
        snprintf(fx.id, sizeof(fx.id), "%s", answer->id);
    snprintf(fx.digest, sizeof(fx.digest), "%s", answer->digest ? answer->digest : "");
}

static void answers(const char *reply)
{
    fx.engine.reply = reply;
    fx.engine.reply_len = strlen(reply);
    fx.done = false;
}

static void until(const bool *what)
{
    loop_run_for(fx.loop, WAIT_MS, what);
    assert_true(*what);
}

static bool asked(const char *text)
{
    return strstr(buf_cstr(&fx.engine.asked), text) != NULL;
}

static void a_container_is_made_as_it_is_wanted(void **state)
{
    const char *const command[] = {"/bin/sh", "x y", NULL};
    const char *const labels[] = {"a.b=c=d", NULL};
    const struct docker_container wanted = {.name = "n",
                                            .image = "i:1",
                                            .command = command,
                                            .labels = labels,
                                            .network = "bridge",
                                            .memory_bytes = 4096,
                                            .cpu = 1.5,
                                            .processes = 7};
    (void)state;
    answers("HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n{\"Id\": \r\n"
            "6\r\n\"ab1\"}\r\n0\r\n\r\n");
    docker_create(fx.docker, &wanted, on_done, NULL);
    until(&fx.done);
    assert_int_equal(fx.err.code, ERR_NONE);
    assert_string_equal(fx.id, "ab1");
    assert_true(asked("POST /v1.41/containers/create?name=n HTTP/1.1\r\n"));
    assert_true(asked("\"Memory\":4096") && asked("\"NanoCpus\":1500000000") &&
                asked("\"PidsLimit\":7") && asked("\"a.b\":\"c=d\"") && asked("\"x y\"") &&
                asked("\"LogConfig\":{\"Type\":\"none\"}") && asked("\"StdinOnce\":true"));
    assert_false(asked("Binds") || asked("Privileged"));
}

static void a_refusal_is_told_in_the_engines_words(void **state)
{
    static const struct {
        const char *reply;
        enum err_code code;
        const char *says;
    } cases[] = {
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 28\r\n\r\n{\"message\": \"no such thing\"}\n",
         ERR_NOT_FOUND, "the Docker engine cannot start a container: no such thing"},
        {"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n", ERR_CONFLICT, "status 409"},
        {"HTTP/1.1 400 Bad Request\r\nContent-Length: 5\r\n\r\n<no>\n", ERR_INVALID, "status 400"},
        {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", ERR_DENIED, "status 403"},
        {"HTTP/1.1 500 Oops\r\nContent-Length: 21\r\n\r\n{\"message\": \"it hurts\"",
         ERR_UNAVAILABLE, "status 500"},
        {"HTTP/1.1 503 No\r\nContent-Length: 100\r\n\r\n{", ERR_UNAVAILABLE, "cannot start"},
        {"SSH-2.0-OpenSSH\r\n", ERR_INVALID, "cannot start"},
        {"", ERR_UNAVAILABLE, "cannot start"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        answers(cases[i].reply);
        docker_start(fx.docker, "ab1", on_done, NULL);
        until(&fx.done);
        if (fx.err.code != cases[i].code || !strstr(fx.err.msg, cases[i].says))
            fail_msg("%zu: %s: %s", i, err_code_name(fx.err.code), fx.err.msg);
    }
}

static void an_answer_that_is_none_is_told_apart_from_a_refusal(void **state)
{
    (void)state;
    answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[{\"Id\": 7");
    docker_list(fx.docker, "a=b", on_done, NULL);
    until(&fx.done);
    assert_int_equal(fx.err.code, ERR_INVALID);
    assert_true(asked("GET /v1.41/containers/json?all=1&filters=%7B%22label%22%3A%5B%22a%3Db%22"));
    answers("HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\n[{\"Id\": \"a\"}");
    docker_list(fx.docker, "a=b", on_done, NULL);
    until(&fx.done);
    assert_int_equal(fx.err.code, ERR_UNAVAILABLE);
    assert_int_equal(fx.listed, 0);
}

static void an_answer_without_end_is_cut_off(void **state)
{
    char text[4096];
    (void)state;
    memset(text, ' ', sizeof(text));
    fx.engine.stays = true;
    answers("HTTP/1.1 200 OK\r\n\r\n");
    docker_list(fx.docker, "a=b", on_done, NULL);
    until(&fx.engine.answered);
    for (size_t said = 0; said < 64 * 1024 * 1024 && !fx.done; said += sizeof(text)) {
        if (!fx.engine.gone && fx.engine.connection >= 0)
            engine_say(&fx.engine, text, sizeof(text));
        loop_run_for(fx.loop, 0, NULL);
    }
    assert_true(fx.done);
    assert_int_equal(fx.err.code, ERR_LIMIT);
}

static void what_a_container_wrote_is_asked_with_its_size(void **state)
{
    (void)state;
    answers("HTTP/1.1 200 OK\r\nContent-Length: 29\r\n\r\n{\"Id\": \"ab1\", \"SizeRw\": 4096}");
    docker_size(fx.docker, "ab1", on_done, NULL);
    until(&fx.done);
    assert_int_equal(fx.err.code, ERR_NONE);
    assert_int_equal(fx.bytes, 4096);
    assert_true(asked("GET /v1.41/containers/ab1/json?size=true HTTP/1.1"));
    answers("HTTP/1.1 200 OK\r\nContent-Length: 14\r\n\r\n{\"SizeRw\": -1}");
    docker_size(fx.docker, "ab1", on_done, NULL);
    until(&fx.done);
    assert_int_equal(fx.err.code, ERR_INVALID);
    assert_non_null(strstr(fx.err.msg, "cannot tell what a container wrote"));
    answers("HTTP/1.1 404 No\r\nContent-Length: 22\r\n\r\n{\"message\": \"no such\"}");
    docker_size(fx.docker, "ab1", on_done, NULL);
    until(&fx.done);
    assert_int_equal(fx.err.code, ERR_NOT_FOUND);
}

static void nobody_behind_the_socket_is_unavailable_with_its_path(void **state)
{
    (void)state;
    struct docker *nobody = docker_new(fx.loop, "/nowhere/docker.sock");
    docker_version(nobody, on_done, NULL);
    until(&fx.done);
    assert_int_equal(fx.err.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(fx.err.msg, "'/nowhere/docker.sock'"));
    docker_free(nobody);
}

static void what_follows_is_spoken_in_the_version_that_the_engine_has(void **state)
{
    (void)state;
    answers("HTTP/1.1 200 OK\r\nContent-Length: 48\r\n\r\n"
            "{\"ApiVersion\": \"1.52\", \"MinAPIVersion\": \"1.44\"} ");
    docker_version(fx.docker, on_done, NULL);
    until(&fx.done);
    assert_true(asked("GET /version HTTP/1.1"));
    answers("HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{\"StatusCode\":3}");
    docker_wait(fx.docker, "ab1", on_done, NULL);
    until(&fx.done);
    assert_true(asked("POST /v1.44/containers/ab1/wait"));
    assert_int_equal(fx.code, 3);
}

static void a_pull_names_one_tag_and_tells_why_it_failed(void **state)
{
    static const struct {
        const char *image, *path;
    } names[] = {{"debian", "fromImage=debian&tag=latest"},
                 {"h:5000/a/b", "fromImage=h%3A5000%2Fa%2Fb&tag=latest"},
                 {"h:5000/a:2", "fromImage=h%3A5000%2Fa&tag=2"},
                 {"a@sha256:00", "fromImage=a%40sha256%3A00 "}};
    const struct docker_login login = {.user = "u", .password = "p\"", .registry = "h"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        answers("HTTP/1.1 200 OK\r\n\r\n{\"status\": \"x\"}\r\n");
        docker_pull(fx.docker, names[i].image, NULL, on_done, NULL);
        until(&fx.done);
        assert_int_equal(fx.err.code, ERR_NONE);
        assert_true(asked(names[i].path));
        assert_false(asked("X-Registry-Auth"));
    }
    answers(
        "HTTP/1.1 200 OK\r\n\r\n{\"status\": \"x\"}\r\n{\"error\": \"pull access denied\"}\r\n");
    docker_pull(fx.docker, "debian", &login, on_done, NULL);
    until(&fx.done);
    assert_int_equal(fx.err.code, ERR_DENIED);
    assert_string_equal(fx.err.msg, "cannot pull the image debian: pull access denied");
    /* {"username":"u","password":"p\"","serveraddress":"h"} */
    assert_true(
        asked("X-Registry-Auth: eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InBcIiIsInNlcnZlcmFkZHJlc"
              "3MiOiJoIn0="));
    answers("HTTP/1.1 404 Not Found\r\nContent-Length: 24\r\n\r\n{\"message\": \"no such\"}\r\n");
    docker_pull(fx.docker, "debian", NULL, on_done, NULL);
    until(&fx.done);
    assert_int_equal(fx.err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(fx.err.msg, "no such"));
}

/* ---- images that it makes ---- */

static bool on_output(const char *data, size_t len, void *arg);
static void until_text(const struct buf *buf, const char *text);

static struct docker_call *build(size_t logins)
{
    static const struct docker_login all[] = {
        {.user = "u", .password = "p", .registry = "h:5000"},
        {.user = "v", .password = "q", .registry = "https://index.docker.io/v1/"}};
    const struct docker_build wanted = {.fd = fx.context,
                                        .size = 7,
                                        .dockerfile = "a b/Dockerfile",
                                        .tag = "h:5000/a/b:1",
                                        .network = "none",
                                        .memory_bytes = 4096,
                                        .cpu = 1.5,
                                        .logins = all,
                                        .login_count = logins,
                                        .output = on_output};
    fx.done = false;
    fx.attached = docker_build(fx.docker, &wanted, on_done, NULL);
    return fx.attached;
}

static void a_build_sends_its_context_and_tells_what_the_engine_writes(void **state)
{
    (void)state;
    answers("HTTP/1.1 200 OK\r\n\r\n{\"stream\":\"Step 1/1 : FROM x\"}\r\n{\"stream\":\"\\n\"}\r\n"
            "{\"status\":\"Pulling from a/b\",\"id\":\"1\"}\r\n"
            "{\"status\":\"Downloading\",\"progressDetail\":{\"current\":1,\"total\":2},\"id\":"
            "\"ab\"}\r\n"
            "{\"status\":\"Pull complete\",\"progressDetail\":{},\"id\":\"ab\"}\r\n"
            "{\"aux\":{\"ID\":\"sha256:00\"}}\r\n{\"stream\":\"a\\u0000b\\n\"}\r\n");
    build(2);
    until(&fx.done);
    assert_int_equal(fx.err.code, ERR_NONE);
    assert_int_equal(fx.output.len, strlen("Step 1/1 : FROM x\n1: Pulling from a/b\n"
                                           "ab: Pull complete\n") +
                                        4);
    assert_memory_equal(fx.output.data,
                        "Step 1/1 : FROM x\n1: Pulling from a/b\nab: Pull complete\na\0b\n",
                        fx.output.len);
    assert_true(asked(
        "POST /v1.41/build?dockerfile=a%20b%2FDockerfile&t=h%3A5000%2Fa%2Fb%3A1&networkmode=none"
        "&pull=1&nocache=1&rm=1&forcerm=1&memory=4096&memswap=4096&cpuperiod=100000&cpuquota="
        "150000 HTTP/1.1"));
    assert_true(asked("Content-Type: application/x-tar\r\n") && asked("Content-Length: 7\r\n"));
    char *logins = base64_encode(LOGINS, strlen(LOGINS));
    assert_true(asked(logins));
    free(logins);
    build(0);
    until(&fx.done);
    assert_false(asked("X-Registry"));
}

static void a_build_or_a_push_that_fails_says_why(void **state)
{
    static const struct {
        const char *reply;
        enum err_code code;
        int64_t status;
        const char *says;
    } cases[] = {
        {"HTTP/1.1 200 "
         "OK\r\n\r\n{\"stream\":\"x\"}\n{\"errorDetail\":{\"code\":3,\"message\":\"ended with "
         "3\"},\"error\":\"ended with 3\"}\n",
         ERR_INVALID, 3, "cannot build the image h:5000/a/b:1: ended with 3"},
        {"HTTP/1.1 200 OK\r\n\r\n{\"errorDetail\":{\"message\":\"denied\"}}", ERR_INVALID, 0,
         ": denied"},
        {"HTTP/1.1 200 OK\r\n\r\n{\"errorDetail\":{}}\n", ERR_INVALID, 0, ": it failed"},
        {"HTTP/1.1 200 OK\r\n\r\n{\"stream\":7}\n<html>\n", ERR_INVALID, 0, "no JSON"},
        {"HTTP/1.1 200 OK\r\n\r\n{\"stream\":\"", ERR_INVALID, 0, "no JSON"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}\n", ERR_UNAVAILABLE, 0, "cannot build"},
        {"HTTP/1.1 400 No\r\nContent-Length: 32\r\n\r\n{\"message\":\"Cannot locate it  \"}\n",
         ERR_INVALID, 0, "Cannot locate it"},
        {"HTTP/1.1 500 No\r\nContent-Length: 20\r\n\r\n{\"message\":\"broken\"}", ERR_UNAVAILABLE,
         0, "broken"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        answers(cases[i].reply);
        build(0);
        until(&fx.done);
        if (fx.err.code != cases[i].code || !strstr(fx.err.msg, cases[i].says) ||
            fx.code != cases[i].status)
            fail_msg("%zu: %s: %s", i, err_code_name(fx.err.code), fx.err.msg);
    }
}

static void a_build_waits_while_nobody_takes_what_it_writes_and_ends_when_cancelled(void **state)
{
    (void)state;
    fx.engine.stays = true;
    fx.takes = false;
    answers("HTTP/1.1 200 OK\r\n\r\n{\"stream\":\"abc\"}\n");
    build(0);
    until_text(&fx.output, "abc");
    engine_say(&fx.engine, "{\"stream\":\"def\"}\n", 17);
    loop_run_for(fx.loop, 100, NULL);
    assert_string_equal(buf_cstr(&fx.output), "abc");
    fx.takes = true;
    docker_resume(fx.attached);
    until_text(&fx.output, "abcdef");
    fx.cancels = true;
    engine_say(&fx.engine, "{\"stream\":\"g\"}\n{\"stream\":\"h\"}\n", 30);
    until(&fx.engine.gone);
    assert_string_equal(buf_cstr(&fx.output), "abcdefg");
    assert_false(fx.done);
}

static void a_push_tells_the_digest_and_goes_with_a_login_or_nobodys(void **state)
{
    const struct docker_login login = {.user = "u", .password = "p\"", .registry = "h"};
    (void)state;
    answers("HTTP/1.1 200 OK\r\n\r\n{\"status\":\"Pushed\",\"progressDetail\":{},\"id\":\"ab\"}\r\n"
            "{\"progressDetail\":{},\"aux\":{\"Tag\":\"1\",\"Digest\":\"sha256:"
            "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\",\"Size\":5}}\r\n");
    docker_push(fx.docker, "h:5000/a/b:1", NULL, on_output, on_done, NULL);
    until(&fx.done);
    assert_int_equal(fx.err.code, ERR_NONE);
    assert_string_equal(fx.digest,
                        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    assert_string_equal(buf_cstr(&fx.output), "ab: Pushed\n");
    assert_true(asked("POST /v1.41/images/h%3A5000/a/b/push?tag=1 HTTP/1.1") &&
                asked("X-Registry-Auth: e30=\r\n"));
    answers("HTTP/1.1 200 OK\r\n\r\n{\"aux\":{\"Digest\":\"sha256:0123\"}}\r\n");
    docker_push(fx.docker, "h:5000/a/b", &login, on_output, on_done, NULL);
    until(&fx.done);
    assert_string_equal(fx.digest, "");
    assert_true(asked("/push?tag=latest ") && asked("X-Registry-Auth: eyJ1c2VybmFtZSI6InUiLC"));
}

static void an_image_is_removed_by_its_name(void **state)
{
    (void)state;
    answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]");
    docker_image_remove(fx.docker, "h:5000/a/b:1", on_done, NULL);
    until(&fx.done);
    assert_int_equal(fx.err.code, ERR_NONE);
    assert_true(asked("DELETE /v1.41/images/h%3A5000/a/b%3A1 HTTP/1.1"));
}

static void a_cancelled_call_never_calls_back(void **state)
{
    (void)state;
    fx.engine.stays = true;
    answers("");
    struct docker_call *call = docker_wait(fx.docker, "ab1", on_done, NULL);
    until(&fx.engine.answered);
    docker_call_cancel(call);
    until(&fx.engine.gone);
    assert_false(fx.done);
}

/* ---- streams ---- */

static void on_opened(void *arg)
{
    (void)arg;
    fx.opened = true;
}

static bool on_output(const char *data, size_t len, void *arg)
{
    (void)arg;
    buf_add(&fx.output, data, len);
    if (fx.cancels)
        docker_call_cancel(fx.attached);
    return fx.takes;
}

static void on_ended(const struct err *err, void *arg)
{
    (void)arg;
    assert_false(fx.ended);
    fx.ended = true;
    fx.err = *err;
}

static const struct docker_attach_ops streams = {
    .opened = on_opened, .output = on_output, .ended = on_ended};

static void attach(void)
{
    fx.engine.stays = true;
    answers("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n");
    fx.attached = docker_attach(fx.docker, "ab1", &streams, NULL);
    until(&fx.opened);
}

/* Runs the loop until both buffers have what is expected of them. */
static void until_text(const struct buf *buf, const char *text)
{
    for (int i = 0; i < WAIT_MS / 10 && !strstr(buf_cstr(buf), text); i++)
        loop_run_for(fx.loop, 10, NULL);
    assert_non_null(strstr(buf_cstr(buf), text));
}

static void both_sides_speak_on_until_the_engine_hangs_up(void **state)
{
    struct err err = {0};
    (void)state;
    attach();
    for (int i = 0; i < 3; i++) {
        char line[32];
        snprintf(line, sizeof(line), "line %d\n", i);
        assert_int_equal(docker_send(fx.attached, line, strlen(line), &err), 0);
        until_text(&fx.engine.asked, line);
        engine_say(&fx.engine, "\1\0\0\0\0\0\0\3ab", 10);
        engine_say(&fx.engine, "c", 1);
        until_text(&fx.output, "abc");
        assert_int_equal(fx.output.len, 3);
        buf_reset(&fx.output);
    }
    assert_false(fx.ended);
    engine_hang_up(&fx.engine);
    until(&fx.ended);
    assert_int_equal(fx.err.code, ERR_NONE);
}

static void a_stream_that_is_cut_or_none_ends_with_an_error(void **state)
{
    (void)state;
    attach();
    engine_say(&fx.engine, "\1\0\0\0\0\0\0\3ab", 10);
    engine_hang_up(&fx.engine);
    until(&fx.ended);
    assert_int_equal(fx.err.code, ERR_UNAVAILABLE);
    fx.opened = fx.ended = false;
    attach();
    engine_say(&fx.engine, "what is this?", 13);
    until(&fx.ended);
    assert_int_equal(fx.err.code, ERR_INVALID);
}

static void a_container_that_is_not_there_is_told(void **state)
{
    (void)state;
    fx.engine.stays = true;
    answers("HTTP/1.1 404 Not Found\r\nContent-Length: 22\r\n\r\n{\"message\": \"no such\"}");
    fx.attached = docker_attach(fx.docker, "ab1", &streams, NULL);
    until(&fx.ended);
    assert_false(fx.opened);
    assert_int_equal(fx.err.code, ERR_NOT_FOUND);
    assert_non_null(strstr(fx.err.msg, "no such"));
}

static void output_waits_while_nobody_takes_it(void **state)
{
    (void)state;
    attach();
    fx.takes = false;
    engine_say(&fx.engine, "\1\0\0\0\0\0\0\3abc", 11);
    until_text(&fx.output, "abc");
    engine_say(&fx.engine, "\1\0\0\0\0\0\0\3def", 11);
    loop_run_for(fx.loop, 100, NULL);
    assert_string_equal(buf_cstr(&fx.output), "abc");
    fx.takes = true;
    docker_resume(fx.attached);
    until_text(&fx.output, "abcdef");
    assert_false(fx.ended);
    engine_hang_up(&fx.engine);
    until(&fx.ended);
    assert_int_equal(fx.err.code, ERR_NONE);
}

static void who_reads_may_end_it_and_the_engine_sees_that(void **state)
{
    (void)state;
    attach();
    fx.cancels = true;
    engine_say(&fx.engine, "\1\0\0\0\0\0\0\1a\1\0\0\0\0\0\0\1b", 18);
    until(&fx.engine.gone);
    assert_string_equal(buf_cstr(&fx.output), "a");
    assert_false(fx.ended);
}

static void freeing_the_client_ends_a_stream_without_a_callback(void **state)
{
    (void)state;
    attach();
    docker_free(fx.docker);
    fx.docker = NULL;
    until(&fx.engine.gone);
    assert_false(fx.ended);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_container_is_made_as_it_is_wanted),
        TEST(a_refusal_is_told_in_the_engines_words),
        TEST(an_answer_that_is_none_is_told_apart_from_a_refusal),
        TEST(an_answer_without_end_is_cut_off),
        TEST(what_a_container_wrote_is_asked_with_its_size),
        TEST(nobody_behind_the_socket_is_unavailable_with_its_path),
        TEST(what_follows_is_spoken_in_the_version_that_the_engine_has),
        TEST(a_pull_names_one_tag_and_tells_why_it_failed),
        TEST(a_build_sends_its_context_and_tells_what_the_engine_writes),
        TEST(a_build_or_a_push_that_fails_says_why),
        TEST(a_build_waits_while_nobody_takes_what_it_writes_and_ends_when_cancelled),
        TEST(a_push_tells_the_digest_and_goes_with_a_login_or_nobodys),
        TEST(an_image_is_removed_by_its_name),
        TEST(a_cancelled_call_never_calls_back),
        TEST(both_sides_speak_on_until_the_engine_hangs_up),
        TEST(a_stream_that_is_cut_or_none_ends_with_an_error),
        TEST(a_container_that_is_not_there_is_told),
        TEST(output_waits_while_nobody_takes_it),
        TEST(who_reads_may_end_it_and_the_engine_sees_that),
        TEST(freeing_the_client_ends_a_stream_without_a_callback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
