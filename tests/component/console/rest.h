/* The console's REST and streams as its clients use them, on the loop of the service under test. */
#ifndef GANTRY_TEST_REST_H
#define GANTRY_TEST_REST_H

#include <jansson.h>
#include <stdbool.h>

#include "http/client.h"
#include "tests/component/service.h"

#define REST_ADMIN "gty_test-admin" /* console.bootstrap-token */

struct rest {
    struct service *service;
    struct http_client *client;
    const char *token; /* NULL: none is sent */
};
void rest_begin(struct rest *rest, struct service *service);
void rest_end(struct rest *rest);

/* One call; wait for it with rest_wait(). Release with rest_release(). */
struct reply {
    int status;
    char *body;
    size_t len;
    json_t *json; /* NULL: it is none */
    char etag[80], location[128], next[24], retry[16], type[64];
    bool done;
};
struct ask {
    const char *method; /* NULL: GET */
    const char *body, *type;
    const char *headers[4]; /* "Name: value" */
};
struct reply *rest_send(struct rest *rest, const char *path, const struct ask *ask);
void rest_wait(struct rest *rest, struct reply *reply);
void rest_release(struct reply *reply);
struct reply *rest_call(struct rest *rest, const char *path, const struct ask *ask);
struct reply *rest_get(struct rest *rest, const char *path);
struct reply *rest_post(struct rest *rest, const char *path, const char *json);

/* A value by a path like "stages.0.current.release"; "" and 0 where it is not there. */
const char *reply_text(const struct reply *reply, const char *path);
int64_t reply_num(const struct reply *reply, const char *path);
const json_t *json_at(const json_t *json, const char *path);

/* Asks again until the value is there and is `wanted`. */
void rest_until(struct rest *rest, const char *path, const char *value, const char *wanted);

/* ---- server-sent events ---- */

struct frame {
    char *name, *id;
    json_t *data;
};
struct feed {
    struct rest *rest;
    struct http_call *call;
    struct buf text;
    struct frame *frames;
    size_t count;
    bool ended;
    int status;
};
void feed_open(struct feed *feed, struct rest *rest, const char *path, const char *last_id);
void feed_close(struct feed *feed);
/* Waits until there are so many frames. */
void feed_wait(struct feed *feed, size_t count);
void feed_wait_end(struct feed *feed);

#endif
