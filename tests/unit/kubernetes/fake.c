#include "fake.h"

#include <sys/stat.h>

#include "base/file.h"
#include "base/mem.h"
#include "http/server.h"

#define WAIT_MS  20000
#define BODY_MAX (1024 * 1024)

static void on_gone(void *arg)
{
    (void)arg;
}

static void remember(struct fake *fake, struct http_request *req)
{
    static const char *const queries[] = {
        "labelSelector", "watch",     "resourceVersion",   "container", "follow",
        "timestamps",    "sinceTime", "propagationPolicy", NULL};
    char *asked = mem_printf("%s %s", http_req_method(req), http_req_path(req));
    size_t len;

    for (const char *const *name = queries; *name; name++) {
        const char *value = http_req_query(req, *name);
        char *longer = value ? mem_printf("%s %s=%s", asked, *name, value) : mem_strdup(asked);
        free(asked);
        asked = longer;
    }
    strv_add(&fake->asked, asked);
    free(asked);
    const char *token = http_req_header(req, "Authorization");
    strv_add(&fake->tokens, token ? token : "");
    strv_add(&fake->bodies, http_req_body(req, &len));
}

static void on_request(struct http_request *req, void *arg)
{
    struct fake *fake = arg;
    const size_t i = fake->asked.count;

    remember(fake, req);
    if (i >= fake->answer_count) {
        http_req_on_close(req, on_gone, fake);
        return;
    }
    const struct fake_answer *answer = &fake->answers[i];
    const size_t len = answer->len ? answer->len : strlen(answer->body);
    if (answer->header) {
        char *name = mem_strndup(answer->header, strcspn(answer->header, ":"));
        http_reply_header(req, name, answer->header + strlen(name) + 2);
        free(name);
    }
    if (answer->open) {
        http_req_on_close(req, on_gone, fake);
        http_stream_begin(req, answer->status, "application/json");
        http_stream_send(req, answer->body, len);
    } else {
        http_reply(req, answer->status, "application/json", answer->body, len);
    }
}

int fake_setup(void **state)
{
    static const char *const methods[] = {"GET", "POST", "DELETE", NULL};
    struct fake *fake = mem_alloc(sizeof(*fake));
    const struct http_server_conf server = {.listen = "127.0.0.1:0"};

    fake->loop = loop_new(1);
    assert_int_equal(http_server_new(&fake->server, fake->loop, &server, &fake->err), 0);
    for (const char *const *method = methods; *method; method++)
        http_route(fake->server, *method, "/{rest*}", BODY_MAX, on_request, fake);
    snprintf(fake->url, sizeof(fake->url), "http://127.0.0.1:%d", http_server_port(fake->server));
    snprintf(fake->dir, sizeof(fake->dir), "/tmp/gantry-kubernetes-XXXXXX");
    assert_non_null(mkdtemp(fake->dir));
    fake_put_token(fake, "first");
    const struct kubernetes_conf conf = {.loop = fake->loop,
                                         .server = fake->url,
                                         .namespace = "builds",
                                         .account_dir = fake->dir,
                                         .tries = 3};
    assert_int_equal(kubernetes_new(&fake->kubernetes, &conf, &fake->err), 0);
    *state = fake;
    return 0;
}

int fake_teardown(void **state)
{
    struct fake *fake = *state;

    kubernetes_free(fake->kubernetes);
    http_server_free(fake->server);
    loop_free(fake->loop);
    strv_release(&fake->asked);
    strv_release(&fake->tokens);
    strv_release(&fake->bodies);
    file_remove_tree(fake->dir, NULL);
    free(fake);
    return 0;
}

struct fake_answer *fake_answer(struct fake *fake, int status, const char *body)
{
    assert_true(fake->answer_count < FAKE_MAX);
    struct fake_answer *answer = &fake->answers[fake->answer_count++];
    *answer = (struct fake_answer){.status = status, .body = body};
    return answer;
}

void fake_put_token(struct fake *fake, const char *token)
{
    char *path = mem_printf("%s/token", fake->dir);

    assert_int_equal(file_write(path, token, strlen(token), 0600, &fake->err), 0);
    free(path);
}

void fake_wait(struct fake *fake)
{
    loop_run_for(fake->loop, WAIT_MS, &fake->done);
    assert_true(fake->done);
    fake->done = false;
}
