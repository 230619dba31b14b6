#include "tests/component/console/rest.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define WAIT_MS 30000

void rest_begin(struct rest *rest, struct service *service)
{
    *rest = (struct rest){
        .service = service, .client = http_client_new(service->loop), .token = REST_ADMIN};
}

void rest_end(struct rest *rest)
{
    http_client_free(rest->client);
}

/* ---- calls ---- */

static void take_header(const struct http_response *response, const char *name, char *out,
                        size_t size)
{
    const char *value = response->header(response, name);

    snprintf(out, size, "%s", value ? value : "");
}

static void on_reply(const struct http_response *response, void *arg)
{
    struct reply *reply = arg;

    reply->status = response->status;
    reply->done = true;
    if (response->status == 0)
        return;
    reply->len = response->len;
    reply->body = mem_dup(response->body ? response->body : "", response->len + 1);
    reply->json = json_loadb(reply->body, reply->len, JSON_DECODE_ANY, NULL);
    take_header(response, "ETag", reply->etag, sizeof(reply->etag));
    take_header(response, "Location", reply->location, sizeof(reply->location));
    take_header(response, "Gantry-Next-Offset", reply->next, sizeof(reply->next));
    take_header(response, "Retry-After", reply->retry, sizeof(reply->retry));
    take_header(response, "Content-Type", reply->type, sizeof(reply->type));
}

/* "Name: value" strings ended by NULL; release with strv_release(). */
static struct strv headers_of(const struct rest *rest, const struct ask *ask, const char *last_id)
{
    struct strv headers = {0};

    if (rest->token)
        strv_addf(&headers, "Authorization: Bearer %s", rest->token);
    if (last_id)
        strv_addf(&headers, "Last-Event-ID: %s", last_id);
    if (ask && ask->body)
        strv_addf(&headers, "Content-Type: %s", ask->type ? ask->type : "application/json");
    for (size_t i = 0; ask && i < 4 && ask->headers[i]; i++)
        strv_add(&headers, ask->headers[i]);
    return headers;
}

struct reply *rest_send(struct rest *rest, const char *path, const struct ask *ask)
{
    struct reply *reply = mem_alloc(sizeof(*reply));
    struct strv headers = headers_of(rest, ask, NULL);
    char *url = mem_printf("http://127.0.0.1:%d%s", rest->service->port, path);
    struct http_call_opts opts = {.url = url, .headers = (const char *const *)headers.items};
    struct err err = {.code = ERR_NONE};

    if (ask) {
        opts.method = ask->method;
        opts.body = ask->body;
        opts.body_len = ask->body ? strlen(ask->body) : 0;
    }
    if (!http_call(rest->client, &opts, on_reply, reply, &err))
        fail_msg("%s", err.msg);
    free(url);
    strv_release(&headers);
    return reply;
}

void rest_wait(struct rest *rest, struct reply *reply)
{
    loop_run_for(rest->service->loop, WAIT_MS, &reply->done);
    assert_true(reply->done);
}

struct reply *rest_call(struct rest *rest, const char *path, const struct ask *ask)
{
    struct reply *reply = rest_send(rest, path, ask);

    rest_wait(rest, reply);
    return reply;
}

struct reply *rest_get(struct rest *rest, const char *path)
{
    return rest_call(rest, path, NULL);
}

struct reply *rest_post(struct rest *rest, const char *path, const char *json)
{
    return rest_call(rest, path, &(struct ask){.method = "POST", .body = json});
}

void rest_release(struct reply *reply)
{
    json_decref(reply->json);
    free(reply->body);
    free(reply);
}

const json_t *json_at(const json_t *json, const char *path)
{
    struct strv parts = {0};
    uint64_t index;

    strv_split(&parts, path, '.');
    for (size_t i = 0; i < parts.count && json; i++) {
        if (json_is_array(json) && str_to_u64(parts.items[i], &index) == 0)
            json = json_array_get(json, index);
        else
            json = json_object_get(json, parts.items[i]);
    }
    strv_release(&parts);
    return json;
}

const char *reply_text(const struct reply *reply, const char *path)
{
    const char *text = json_string_value(json_at(reply->json, path));

    return text ? text : "";
}

int64_t reply_num(const struct reply *reply, const char *path)
{
    return json_integer_value(json_at(reply->json, path));
}

void rest_until(struct rest *rest, const char *path, const char *value, const char *wanted)
{
    const int64_t until = clock_mono_ms() + WAIT_MS;
    char got[256] = "";

    while (clock_mono_ms() < until) {
        struct reply *reply = rest_get(rest, path);
        const json_t *json = json_at(reply->json, value);
        if (json_is_integer(json))
            snprintf(got, sizeof(got), "%lld", (long long)json_integer_value(json));
        else
            snprintf(got, sizeof(got), "%s", json_is_string(json) ? json_string_value(json) : "");
        rest_release(reply);
        if (str_eq(got, wanted))
            return;
        loop_run_for(rest->service->loop, 20, NULL);
    }
    fail_msg("%s: %s is '%s', not '%s'", path, value, got, wanted);
}

/* ---- streams ---- */

static void add_frame(struct feed *feed, char *text)
{
    struct frame frame = {0};
    struct strv lines = {0};

    strv_split(&lines, text, '\n');
    for (size_t i = 0; i < lines.count; i++) {
        const char *line = lines.items[i];
        if (str_starts(line, "event: "))
            frame.name = mem_strdup(line + 7);
        else if (str_starts(line, "id: "))
            frame.id = mem_strdup(line + 4);
        else if (str_starts(line, "data: "))
            frame.data = json_loads(line + 6, 0, NULL);
    }
    strv_release(&lines);
    if (!frame.name) { /* a heartbeat */
        free(frame.id);
        json_decref(frame.data);
        return;
    }
    feed->frames = mem_realloc(feed->frames, feed->count + 1, sizeof(*feed->frames));
    feed->frames[feed->count++] = frame;
}

static int on_data(const char *data, size_t len, void *arg)
{
    struct feed *feed = arg;
    char *end;

    buf_add(&feed->text, data, len);
    while ((end = strstr(buf_cstr(&feed->text), "\n\n"))) {
        *end = '\0';
        add_frame(feed, feed->text.data);
        buf_consume(&feed->text, (size_t)(end - feed->text.data) + 2);
    }
    return 0;
}

static void on_end(const struct http_response *response, void *arg)
{
    struct feed *feed = arg;

    feed->status = response->status;
    feed->ended = true;
    feed->call = NULL;
}

void feed_open(struct feed *feed, struct rest *rest, const char *path, const char *last_id)
{
    struct strv headers = headers_of(rest, NULL, last_id);
    char *url = mem_printf("http://127.0.0.1:%d%s", rest->service->port, path);
    const struct http_call_opts opts = {.url = url,
                                        .headers = (const char *const *)headers.items,
                                        .timeout_ms = -1,
                                        .on_data = on_data};
    struct err err = {.code = ERR_NONE};

    memset(feed, 0, sizeof(*feed));
    feed->rest = rest;
    buf_init(&feed->text, 8 * 1024 * 1024);
    feed->call = http_call(rest->client, &opts, on_end, feed, &err);
    if (!feed->call)
        fail_msg("%s", err.msg);
    free(url);
    strv_release(&headers);
}

void feed_close(struct feed *feed)
{
    if (feed->call)
        http_call_cancel(feed->call);
    for (size_t i = 0; i < feed->count; i++) {
        free(feed->frames[i].name);
        free(feed->frames[i].id);
        json_decref(feed->frames[i].data);
    }
    free(feed->frames);
    buf_release(&feed->text);
}

void feed_wait(struct feed *feed, size_t count)
{
    const int64_t until = clock_mono_ms() + WAIT_MS;

    while (feed->count < count && !feed->ended && clock_mono_ms() < until)
        loop_run_for(feed->rest->service->loop, 5, NULL);
    if (feed->count < count)
        fail_msg("%zu events came, not %zu", feed->count, count);
}

void feed_wait_end(struct feed *feed)
{
    loop_run_for(feed->rest->service->loop, WAIT_MS, &feed->ended);
    assert_true(feed->ended);
}
