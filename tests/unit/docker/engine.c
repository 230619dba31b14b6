#include "tests/unit/docker/engine.h"

#include "tests/unit/unit.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

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
    if (engine->answered || !strstr(buf_cstr(&engine->asked), "\r\n\r\n"))
        return;
    engine->answered = true;
    engine_say(engine, engine->reply, engine->reply_len);
    if (!engine->stays)
        engine_hang_up(engine);
}

static void on_accept(int what, void *arg)
{
    struct engine *engine = arg;
    (void)what;
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
}
