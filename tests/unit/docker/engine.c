#include "tests/unit/docker/engine.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BODY_MAX (512 * 1024)

void engine_say(struct engine *engine, const char *data, size_t len)
{
    assert_int_equal(send(engine->connection, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

void engine_hang_up(struct engine *engine)
{
    loop_fd_free(engine->reading);
    engine->reading = NULL;
    if (engine->connection >= 0)
        close(engine->connection);
    engine->connection = -1;
}

/* With its body, unless that is one that does not end. */
static bool is_whole(const struct engine *engine)
{
    const char *text = buf_cstr(&engine->asked), *end = strstr(text, "\r\n\r\n");
    const char *length = strstr(text, "Content-Length: ");
    size_t body = end && length && length < end ? strtoul(length + 16, NULL, 10) : 0;
    return end && (body > BODY_MAX || engine->asked.len >= (size_t)(end - text) + 4 + body);
}

static void answer(struct engine *engine)
{
    const char *asked = buf_cstr(&engine->asked);
    buf_addf(&engine->heads, "%.*s\n", (int)strcspn(asked, "\r"), asked);
    for (const struct engine_answer *a = engine->answers; a && a->asked; a++) {
        if (strncmp(asked, a->asked, strlen(a->asked)) == 0) {
            engine_say(engine, a->reply, strlen(a->reply));
            return;
        }
    }
    engine_say(engine, engine->reply, engine->reply_len);
}

static void on_read(int what, void *arg)
{
    struct engine *engine = arg;
    char data[4096];
    (void)what;
    ssize_t n = read(engine->connection, data, sizeof(data));
    if (n <= 0) {
        engine->gone = true;
        engine_hang_up(engine);
        return;
    }
    buf_add(&engine->asked, data, (size_t)n);
    if (engine->answered || !is_whole(engine))
        return;
    engine->answered = true;
    answer(engine);
    if (!engine->stays)
        engine_hang_up(engine);
}

static void on_accept(int what, void *arg)
{
    struct engine *engine = arg;
    (void)what;
    if (engine->connection >= 0 && !engine->answered)
        return; /* asked again, until it is */
    engine_hang_up(engine);
    buf_reset(&engine->asked);
    engine->answered = engine->gone = false;
    engine->connection = accept4(engine->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(engine->connection >= 0);
    engine->reading = loop_fd_new(engine->loop, engine->connection, LOOP_READ, on_read, engine);
}

void engine_start(struct engine *engine, struct loop *loop)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    *engine = (struct engine){.loop = loop, .connection = -1};
    snprintf(engine->path, sizeof(engine->path), "/tmp/gantry-test-engine-%d", (int)getpid());
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", engine->path);
    (void)unlink(engine->path);
    buf_init(&engine->asked, 1024 * 1024);
    buf_init(&engine->heads, 1024 * 1024);
    engine->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(engine->listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(engine->listener, 8), 0);
    engine->accepting = loop_fd_new(loop, engine->listener, LOOP_READ, on_accept, engine);
}

void engine_stop(struct engine *engine)
{
    engine_hang_up(engine);
    loop_fd_free(engine->accepting);
    close(engine->listener);
    (void)unlink(engine->path);
    buf_release(&engine->asked);
    buf_release(&engine->heads);
}
