/* A connection that both sides go on speaking on, as the Docker engine's attach has it: the answer
 * begins at once and has no length, and what follows the request's head is no body of it.
 *
 * DESIGN: to curl it is an upload that does not end. Two things need care. What is sent before the
 * answer has begun is lost, for the other side takes the connection over only then: sending waits
 * for the answer's head. And curl says nothing of the other side's end while it waits for more to
 * send; it only stops looking at the descriptor, which is taken for that end. */
#include <string.h>

#include "base/mem.h"
#include "http/client_internal.h"

#define ENDLESS     ((curl_off_t)1 << 62)
#define SENDING_MAX (8 * 1024 * 1024)

static size_t on_read(char *data, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    const size_t room = size * count;
    const size_t n = call->sending.len < room ? call->sending.len : room;

    if (call->cancelled)
        return CURL_READFUNC_ABORT;
    if (call->over)
        return 0;
    if (n == 0) {
        call->send_waits = true;
        return CURL_READFUNC_PAUSE;
    }
    memcpy(data, call->sending.data, n);
    mem_wipe(call->sending.data, n);
    buf_consume(&call->sending, n);
    return n;
}

/* A line of the answer's head; the last one is empty. */
static size_t on_head(char *line, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    long status = 0;

    if (call->cancelled)
        return 0;
    if (call->opened || size * count != 2 || memcmp(line, "\r\n", 2) != 0)
        return size * count;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200 && status < 300) {
        call->opened = call->watched = true;
        call->on_open(call->arg);
    } else if (status >= 300) {
        call->over = true;
        http_client_sweep(call->client);
    }
    return size * count;
}

void http_duplex_set(struct http_call *call, void (*on_open)(void *arg))
{
    CURL *easy = call->easy;

    call->on_open = on_open;
    buf_init(&call->sending, SENDING_MAX);
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
    curl_easy_setopt(easy, CURLOPT_READDATA, call);
    curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, ENDLESS);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
}

void http_duplex_watched(struct http_call *call, bool watched)
{
    call->watched = watched;
    if (call->opened && !watched && !call->data_waits)
        http_client_sweep(call->client);
}

void http_duplex_go_on(struct http_call *call)
{
    bool give = call->data_waits && !call->paused;

    if (call->opened && !call->watched && !call->data_waits)
        call->over = true;
    if (!give && !(call->send_waits && (call->over || call->sending.len)))
        return;
    if (give)
        call->data_waits = false;
    call->send_waits = false;
    curl_easy_pause(call->easy, call->data_waits ? CURLPAUSE_RECV : CURLPAUSE_CONT);
}

int http_call_send(struct http_call *call, const void *data, size_t len, struct err *err)
{
    if (buf_add(&call->sending, data, len) < 0)
        return err_set(err, ERR_LIMIT, "the other side takes nothing: %zu bytes wait to be sent",
                       call->sending.len);
    http_client_sweep(call->client);
    return 0;
}

void http_call_pause(struct http_call *call, bool pause)
{
    call->paused = pause;
    if (!pause)
        http_client_sweep(call->client);
}
