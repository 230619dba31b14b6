/* A server that answers as it is told and keeps what it was asked. */
#ifndef GANTRY_TESTS_KUBERNETES_FAKE_H
#define GANTRY_TESTS_KUBERNETES_FAKE_H

#include "base/str.h"
#include "kubernetes/kubernetes.h"
#include "tests/unit/unit.h"

#define FAKE_MAX 32

struct fake_answer {
    int status;
    const char *body;
    size_t len;         /* 0: strlen(body) */
    const char *header; /* "Name: value"; NULL: none */
    bool open;          /* what follows does not come: the answer stays open */
};

struct fake {
    struct loop *loop;
    struct http_server *server;
    struct kubernetes *kubernetes;
    char url[64], dir[64];
    struct fake_answer answers[FAKE_MAX]; /* one after the other; then requests wait for ever */
    size_t answer_count;
    struct strv asked;  /* "METHOD path?query" */
    struct strv tokens; /* the Authorization header of each */
    struct strv bodies;
    bool done;
    struct err err;
};

int fake_setup(void **state);
int fake_teardown(void **state);
/* Its answer. */
struct fake_answer *fake_answer(struct fake *fake, int status, const char *body);
void fake_put_token(struct fake *fake, const char *token);
void fake_wait(struct fake *fake); /* until fake->done */

#define FAKE_TEST(test) cmocka_unit_test_setup_teardown(test, fake_setup, fake_teardown)

#endif
