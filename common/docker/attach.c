#include "base/mem.h"
#include "docker/internal.h"

static void on_open(void *arg)
{
    struct docker_call *call = arg;
    call->inside = true;
    call->ops->opened(call->arg);
    /* Not to be freed by what comes after: a cancelled connection brings nothing any more. */
    (void)docker_call_leave(call, 0);
}

static void on_output(const char *data, size_t len, void *arg)
{
    struct docker_call *call = arg;
    if (!call->cancelled && !call->ops->output(data, len, call->arg))
        call->paused = true;
}

static int on_data(const char *data, size_t len, void *arg)
{
    struct docker_call *call = arg;
    call->inside = true;
    int rc = docker_frames_add(&call->frames, data, len, on_output, call, &call->err);
    return docker_call_leave(call, rc);
}

static int read_end(struct docker_call *call, const struct http_response *response,
                    struct docker_answer *answer, struct err *err)
{
    (void)response;
    (void)answer;
    return docker_frames_whole(&call->frames)
               ? 0
               : err_set(err, ERR_UNAVAILABLE, "the engine's stream ended within a frame");
}

struct docker_call *docker_attach(struct docker *docker, const char *id,
                                  const struct docker_attach_ops *ops, void *arg)
{
    struct docker_call *call =
        docker_call_new(docker, "attach to a container", read_end, NULL, arg);
    struct http_call_opts opts = {
        .method = "POST", .on_open = on_open, .on_data = on_data, .timeout_ms = -1};
    call->ops = ops;
    docker_call_begin(
        call, mem_printf("/containers/%s/attach?stream=1&stdin=1&stdout=1&stderr=1", id), &opts);
    return call;
}

int docker_send(struct docker_call *attached, const void *data, size_t len, struct err *err)
{
    if (!attached->http)
        return err_set(err, ERR_UNAVAILABLE, "nothing is attached to the container");
    return http_call_send(attached->http, data, len, err);
}

void docker_resume(struct docker_call *call)
{
    if (!call->paused)
        return;
    call->paused = false;
    if (call->http)
        http_call_pause(call->http, false);
}
