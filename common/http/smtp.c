/* DESIGN: mail goes by a worker thread: curl 7.88 waits for the answers to a mail's end and to QUIT
 * in loops of its own (smtp_done(), smtp_disconnect()), in the multi interface too. QUIT is sent
 * when the handle is freed, so the worker does that as well. */
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/str.h"
#include "http/client_internal.h"

/* curl puts an address into a command line of the protocol. */
static bool is_address(const char *address)
{
    if (str_empty(address) || !strchr(address, '@'))
        return false;
    for (const char *c = address; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f || *c == '<' || *c == '>')
            return false;
    }
    return true;
}

static int check_addresses(const struct smtp_opts *opts, struct err *err)
{
    if (!is_address(opts->from))
        return err_set(err, ERR_INVALID, "'%s' is not a mail address",
                       opts->from ? opts->from : "");
    for (const char *const *to = opts->to; *to; to++) {
        if (!is_address(*to))
            return err_set(err, ERR_INVALID, "'%s' is not a mail address", *to);
    }
    return opts->to[0] ? 0 : err_set(err, ERR_INVALID, "a mail needs a recipient");
}

static size_t on_upload(char *data, size_t size, size_t count, void *arg)
{
    struct http_call *call = arg;
    const size_t left = call->body_len - call->body_at;
    const size_t n = left < size * count ? left : size * count;

    memcpy(data, call->body + call->body_at, n);
    call->body_at += n;
    return n;
}

static int on_progress(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
                       curl_off_t up)
{
    struct http_call *call = arg;

    (void)down_all;
    (void)down;
    (void)up_all;
    (void)up;
    return call->cancelled ? 1 : 0;
}

static void set_mail(struct http_call *call, const struct smtp_opts *opts)
{
    static const long tls[] = {CURLUSESSL_NONE, CURLUSESSL_TRY, CURLUSESSL_ALL};
    CURL *easy = call->easy;

    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(easy, CURLOPT_USE_SSL, tls[opts->tls < 0 || opts->tls > 2 ? 2 : opts->tls]);
    if (!str_empty(opts->user)) {
        curl_easy_setopt(easy, CURLOPT_USERNAME, opts->user);
        curl_easy_setopt(easy, CURLOPT_PASSWORD, opts->password ? opts->password : "");
    }
    curl_easy_setopt(easy, CURLOPT_MAIL_FROM, opts->from);
    for (const char *const *to = opts->to; *to; to++)
        call->headers = curl_slist_append(call->headers, *to);
    curl_easy_setopt(easy, CURLOPT_MAIL_RCPT, call->headers);
    call->body = mem_dup(opts->message, opts->message_len);
    call->body_len = opts->message_len;
    curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_upload);
    curl_easy_setopt(easy, CURLOPT_READDATA, call);
    curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, call);
}

/* The mail has its answer: a server that keeps the one to QUIT back would hold the thread for two
 * minutes, which no option of curl shortens. Where nothing more can be read curl does not wait. */
static void hang_up(CURL *easy)
{
    curl_socket_t fd = CURL_SOCKET_BAD;

    if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK && fd != CURL_SOCKET_BAD)
        shutdown(fd, SHUT_RD);
    curl_easy_cleanup(easy);
}

static void mail_work(void *arg)
{
    struct http_call *call = arg;

    call->mail_code = call->cancelled ? CURLE_ABORTED_BY_CALLBACK : curl_easy_perform(call->easy);
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &call->mail_status);
    hang_up(call->easy);
    call->easy = NULL;
}

static void mail_done(void *arg)
{
    struct http_call *call = arg;

    http_call_end(call, call->mail_code);
}

struct http_call *smtp_send(struct http_client *client, const struct smtp_opts *opts,
                            http_done_fn *done, void *arg, struct err *err)
{
    if (str_empty(opts->url)) {
        err_set(err, ERR_INVALID, "no mail server is given");
        return NULL;
    }
    if (check_addresses(opts, err) != 0)
        return NULL;
    struct http_call *call =
        http_call_new(client, opts->url, opts->ca_file, opts->timeout_ms, 0, done, arg);
    call->smtp = true;
    set_mail(call, opts);
    loop_work(http_client_loop(client), mail_work, mail_done, call);
    return call;
}
