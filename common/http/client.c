#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "http/client_internal.h"

/* DESIGN: after curl's docs/examples/hiperfifo.c. curl says which descriptors it waits for and for
 * how long; the loop tells it what happened. Inside its callbacks curl allows no other call, so a
 * call that is cancelled there is only marked, and taken away by a timer.
 *
 * Files are read and written here on the loop, a buffer at a time: what is sent was mostly just
 * made and is still in memory, the kernel is told to read ahead, and a write goes to memory first.
 */

#define TIMEOUT_DEFAULT_MS 30000
#define CONNECT_MAX_MS     10000
#define LIMIT_DEFAULT      (8 * 1024 * 1024)
#define CONNECTIONS_MAX    64L
#define FILE_BUFFER        (256 * 1024L) /* bytes of a file at a time */

struct http_client {
    struct loop *loop;
    CURLM *multi;
    struct loop_timer *timer; /* curl's */
    struct loop_timer *sweep;
    bool inside; /* curl is on the stack */
    LIST_HEAD(, http_call) calls;
};

/* A descriptor that curl waits for. */
struct watched {
    struct http_client *client;
    struct loop_fd *watch;
    curl_socket_t fd;
};

static void call_free(struct http_call *call)
{
    if (call->client)
        LIST_REMOVE(call, link);
    if (!call->smtp) {
        curl_multi_remove_handle(call->client->multi, call->easy);
        curl_easy_cleanup(call->easy);
    }
    curl_slist_free_all(call->headers);
    if (call->body)
        mem_wipe(call->body, call->body_len);
    free(call->body);
    if (call->wipe)
        mem_wipe(call->answer.data, call->answer.cap);
    buf_release(&call->answer);
    buf_release(&call->sending);
    free(call);
}

/* ---- what came of a call ---- */

static enum err_code code_of(CURLcode code)
{
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
    case CURLE_SSL_CACERT_BADFILE:
        return ERR_INVALID;
    case CURLE_OPERATION_TIMEDOUT:
        return ERR_TIMEOUT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_LOGIN_DENIED:
    case CURLE_USE_SSL_FAILED:
        return ERR_DENIED;
    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
        return ERR_INTERNAL;
    default:
        return ERR_UNAVAILABLE;
    }
}

static const char *response_header(const struct http_response *response, const char *name)
{
    struct curl_header *header;

    if (!response->impl)
        return NULL;
    if (curl_easy_header(response->impl, name, 0, CURLH_HEADER, -1, &header) != CURLHE_OK)
        return NULL;
    return header->value;
}

static void fill_http(struct http_response *response, const struct http_call *call, CURLcode code)
{
    const char *text = *call->error ? call->error : curl_easy_strerror(code);
    long status = 0;

    response->impl = call->easy;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK || call->ended_by_reader)
        response->status = (int)status;
    else if (call->file_err.code)
        response->err = call->file_err;
    else if (call->answer.overflow)
        err_set(&response->err, ERR_LIMIT, "the answer is larger than %zu bytes",
                call->answer.limit);
    else
        err_set(&response->err, code_of(code), "%s", text);
}

/* A server that refuses is an answer: its status, and its words as the body. */
static void fill_smtp(struct http_response *response, struct http_call *call, CURLcode code)
{
    const long status = call->mail_status;
    const char *text = *call->error ? call->error : curl_easy_strerror(code);

    if (code == CURLE_OK) {
        response->status = 250;
    } else if (status >= 400 && code != CURLE_OPERATION_TIMEDOUT) {
        response->status = (int)status;
        buf_reset(&call->answer);
        buf_adds(&call->answer, text);
    } else {
        err_set(&response->err, code_of(code), "%s", text);
    }
}

void http_call_end(struct http_call *call, CURLcode code)
{
    struct http_response response = {.header = response_header};

    if (call->smtp)
        fill_smtp(&response, call, code);
    else
        fill_http(&response, call, code);
    response.body = buf_cstr(&call->answer);
    response.len = call->answer.len;
    response.saved = call->saved;
    call->finished = true;
    if (!call->cancelled)
        call->done(&response, call->arg);
    call_free(call);
}

/* ---- curl and the loop ---- */

static void act(struct http_client *client, curl_socket_t fd, int what)
{
    int running, left;

    client->inside = true;
    curl_multi_socket_action(client->multi, fd, what, &running);
    client->inside = false;
    for (CURLMsg *msg = curl_multi_info_read(client->multi, &left); msg;
         msg = curl_multi_info_read(client->multi, &left)) {
        struct http_call *call = NULL;
        const CURLcode code = msg->data.result;
        if (msg->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&call);
        http_call_end(call, code);
    }
}

static void on_ready(int what, void *arg)
{
    const struct watched *watched = arg;

    act(watched->client, watched->fd,
        (what & LOOP_READ ? CURL_CSELECT_IN : 0) | (what & LOOP_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_timer(void *arg)
{
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
    struct http_client *client = arg;

    (void)multi;
    if (ms < 0)
        loop_timer_cancel(client->timer);
    else
        loop_timer_arm(client->timer, ms);
    return 0;
}

static int set_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_fd)
{
    struct http_client *client = arg;
    struct watched *watched = of_fd;
    struct http_call *call = NULL;
    const int flags =
        (what & CURL_POLL_IN ? LOOP_READ : 0) | (what & CURL_POLL_OUT ? LOOP_WRITE : 0);

    curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&call);
    if (call && call->on_open)
        http_duplex_watched(call, (what & CURL_POLL_IN) != 0);
    if (what == CURL_POLL_REMOVE) {
        if (watched)
            loop_fd_free(watched->watch);
        free(watched);
        curl_multi_assign(client->multi, fd, NULL);
    } else if (watched) {
        loop_fd_watch(watched->watch, flags);
    } else {
        watched = mem_alloc(sizeof(*watched));
        watched->client = client;
        watched->fd = fd;
        watched->watch = loop_fd_new(client->loop, fd, flags, on_ready, watched);
        curl_multi_assign(client->multi, fd, watched);
    }
    return 0;
}

/* curl may give what it kept at once. */
static void go_on(struct http_call *call)
{
    call->client->inside = true;
    http_duplex_go_on(call);
    call->client->inside = false;
}

/* False: it ended at once, and what its owner did about that is done first. */
static bool begin_now(struct http_call *call)
{
    struct http_client *client = call->client;

    call->begin_waits = false;
    if (curl_multi_add_handle(client->multi, call->easy) == CURLM_OK)
        return true;
    http_client_sweep(client);
    http_call_end(call, CURLE_FAILED_INIT);
    return false;
}

static void on_sweep(void *arg)
{
    struct http_client *client = arg;
    struct http_call *call, *next;

    for (call = LIST_FIRST(&client->calls); call; call = next) {
        next = LIST_NEXT(call, link);
        if (call->cancelled && !call->smtp)
            call_free(call);
        else if (call->begin_waits && !begin_now(call))
            return;
        else if (call->on_open || call->data_waits)
            go_on(call);
    }
}

/* A mail whose client goes: its worker ends it and frees it. */
static void leave_to_worker(struct http_call *call)
{
    LIST_REMOVE(call, link);
    call->client = NULL;
    call->cancelled = true;
}

struct http_client *http_client_new(struct loop *loop)
{
    struct http_client *client = mem_alloc(sizeof(*client));

    curl_global_init(CURL_GLOBAL_DEFAULT);
    client->loop = loop;
    client->timer = loop_timer_new(loop, on_timer, client);
    client->sweep = loop_timer_new(loop, on_sweep, client);
    client->multi = curl_multi_init();
    LIST_INIT(&client->calls);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, set_watch);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, CONNECTIONS_MAX);
    return client;
}

void http_client_connections(struct http_client *client, unsigned max)
{
    curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, (long)max);
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    while (!LIST_EMPTY(&client->calls)) {
        struct http_call *call = LIST_FIRST(&client->calls);
        if (call->smtp)
            leave_to_worker(call);
        else
            call_free(call);
    }
    curl_multi_cleanup(client->multi);
    loop_timer_free(client->timer);
    loop_timer_free(client->sweep);
    free(client);
    curl_global_cleanup();
}

void http_client_sweep(struct http_client *client)
{
    loop_timer_arm(client->sweep, 0);
}

struct loop *http_client_loop(struct http_client *client)
{
    return client->loop;
}

/* ---- files ---- */

static size_t on_file_read(char *data, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    const uint64_t left = call->upload.size - call->sent;
    const size_t room = left < size * count ? (size_t)left : size * count;
    ssize_t n;

    if (call->cancelled)
        return CURL_READFUNC_ABORT;
    if (room == 0)
        return 0;
    do
        n = pread(call->upload.fd, data, room, (off_t)(call->upload.offset + call->sent));
    while (n < 0 && errno == EINTR);
    if (n <= 0) {
        if (n < 0)
            err_errno(&call->file_err, errno, "the file that is sent cannot be read");
        else
            err_set(&call->file_err, ERR_CONFLICT,
                    "the file that is sent was cut to %llu bytes meanwhile",
                    (unsigned long long)(call->upload.offset + call->sent));
        return CURL_READFUNC_ABORT;
    }
    call->sent += (uint64_t)n;
    return (size_t)n;
}

/* curl begins again, when a kept connection turned out to be closed. */
static int on_file_seek(void *arg, curl_off_t offset, int origin)
{
    struct http_call *call = arg;

    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > call->upload.size)
        return CURL_SEEKFUNC_FAIL;
    call->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static int save(struct http_call *call, const char *data, size_t len)
{
    if (len > call->download.size - call->saved)
        return err_set(&call->file_err, ERR_LIMIT, "the answer is larger than %llu bytes",
                       (unsigned long long)call->download.size);
    while (len > 0) {
        const ssize_t n =
            pwrite(call->download.fd, data, len, (off_t)(call->download.offset + call->saved));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(&call->file_err, errno, "the answer cannot be written to its file");
        data += n;
        len -= (size_t)n;
        call->saved += (uint64_t)n;
    }
    return 0;
}

static bool is_saved(const struct http_call *call)
{
    long status = 0;

    if (call->to_file)
        curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
}

static void set_files(struct http_call *call, const struct http_call_opts *opts)
{
    CURL *easy = call->easy;

    if (opts->upload) {
        call->upload = *opts->upload;
        posix_fadvise(call->upload.fd, (off_t)call->upload.offset, (off_t)call->upload.size,
                      POSIX_FADV_SEQUENTIAL);
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_file_read);
        curl_easy_setopt(easy, CURLOPT_READDATA, call);
        curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_file_seek);
        curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
        curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->upload.size);
        curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, FILE_BUFFER);
    }
    if (opts->download) {
        call->download = *opts->download;
        call->to_file = true;
        curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, FILE_BUFFER);
    }
    if (opts->stall_ms > 0) {
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)((opts->stall_ms + 999) / 1000));
    }
}

/* ---- calls ---- */

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    const size_t len = size * count;

    if (call->cancelled)
        return 0;
    if (call->paused) {
        call->data_waits = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (call->on_data && (!call->on_open || call->opened)) {
        call->ended_by_reader = call->on_data(data, len, call->arg) != 0;
        return call->ended_by_reader ? 0 : len;
    }
    if (is_saved(call))
        return save(call, data, len) == 0 ? len : 0;
    return buf_add(&call->answer, data, len) == 0 ? len : 0;
}

struct http_call *http_call_new(struct http_client *client, const char *url, const char *ca_file,
                                int64_t timeout_ms, size_t limit, http_done_fn *done, void *arg)
{
    struct http_call *call = mem_alloc(sizeof(*call));
    const long total = timeout_ms == 0 ? TIMEOUT_DEFAULT_MS : timeout_ms < 0 ? 0 : (long)timeout_ms;
    CURL *easy = call->easy = curl_easy_init();

    call->client = client;
    call->done = done;
    call->arg = arg;
    buf_init(&call->answer, limit ? limit : LIMIT_DEFAULT);
    LIST_INSERT_HEAD(&client->calls, call, link);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, total);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     total > 0 && total < CONNECT_MAX_MS ? total : (long)CONNECT_MAX_MS);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    if (!str_empty(ca_file))
        curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file);
    return call;
}

static struct http_call *begin(struct http_call *call, struct err *err)
{
    CURLMcode code = CURLM_OK;

    if (call->client->inside) {
        call->begin_waits = true;
        http_client_sweep(call->client);
    } else {
        code = curl_multi_add_handle(call->client->multi, call->easy);
    }
    if (code == CURLM_OK)
        return call;
    err_set(err, ERR_INTERNAL, "the call cannot be begun: %s", curl_multi_strerror(code));
    call_free(call);
    return NULL;
}

static bool has_header(const char *const *headers, const char *name)
{
    const size_t len = strlen(name);

    for (; headers && *headers; headers++) {
        if (strncasecmp(*headers, name, len) == 0 && (*headers)[len] == ':')
            return true;
    }
    return false;
}

/* 0, or -1: a value would break out of its line. */
static int set_headers(struct http_call *call, const struct http_call_opts *opts, struct err *err)
{
    for (const char *const *header = opts->headers; header && *header; header++) {
        if (strpbrk(*header, "\r\n"))
            return err_set(err, ERR_INVALID, "a header holds a line break");
        call->headers = curl_slist_append(call->headers, *header);
    }
    /* curl's own ideas: a form's type, and to ask before it sends. */
    if (!has_header(opts->headers, "Content-Type"))
        call->headers = curl_slist_append(call->headers, "Content-Type:");
    call->headers = curl_slist_append(call->headers, "Expect:");
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    return 0;
}

static void set_method(struct http_call *call, const struct http_call_opts *opts)
{
    const char *method = opts->method ? opts->method : "GET";

    if (str_eq(method, "HEAD")) {
        curl_easy_setopt(call->easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (!opts->upload && !opts->on_open &&
        (opts->body || str_eq(method, "POST") || str_eq(method, "PUT"))) {
        call->body_len = opts->body ? opts->body_len : 0;
        call->body = mem_alloc(call->body_len + 1);
        if (call->body_len > 0)
            memcpy(call->body, opts->body, call->body_len);
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)call->body_len);
        curl_easy_setopt(call->easy, CURLOPT_POSTFIELDS, call->body);
    }
    curl_easy_setopt(call->easy, CURLOPT_CUSTOMREQUEST, method);
}

struct http_call *http_call(struct http_client *client, const struct http_call_opts *opts,
                            http_done_fn *done, void *arg, struct err *err)
{
    if (str_empty(opts->url)) {
        err_set(err, ERR_INVALID, "no URL is given");
        return NULL;
    }
    struct http_call *call =
        http_call_new(client, opts->url, opts->ca_file, opts->timeout_ms, opts->limit, done, arg);
    call->on_data = opts->on_data;
    if (opts->wipe) {
        /* A buffer that grows leaves copies behind. */
        call->wipe = true;
        buf_extend(&call->answer, call->answer.limit);
        buf_reset(&call->answer);
    }
    curl_easy_setopt(call->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(call->easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(call->easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(call->easy, CURLOPT_USERAGENT, "gantry/" GANTRY_VERSION);
    if (set_headers(call, opts, err) != 0) {
        call_free(call);
        return NULL;
    }
    if (!str_empty(opts->unix_socket))
        curl_easy_setopt(call->easy, CURLOPT_UNIX_SOCKET_PATH, opts->unix_socket);
    if (opts->on_open)
        http_duplex_set(call, opts->on_open);
    set_files(call, opts);
    set_method(call, opts);
    return begin(call, err);
}

void http_call_cancel(struct http_call *call)
{
    struct http_client *client = call->client;

    if (call->finished)
        return;
    call->cancelled = true;
    if (call->smtp)
        return;
    if (client->inside)
        loop_timer_arm(client->sweep, 0);
    else
        call_free(call);
}
