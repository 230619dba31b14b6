/* A server that answers as it is told and keeps what it was asked. Every test has one, a loop, and
 * an environment in which nothing of AWS's is set but the fake's address and a pair of keys. */
#ifndef GANTRY_TESTS_AWS_FAKE_H
#define GANTRY_TESTS_AWS_FAKE_H

#include "aws/aws.h"
#include "base/buf.h"
#include "base/str.h"
#include "loop/loop.h"
#include "tests/unit/unit.h"

#define FAKE_MAX 64

struct fake_answer {
    int status;
    const char *body;   /* NULL: empty */
    const char *header; /* "Name: value"; NULL: none */
    const char *to;     /* given to what has this in its body, in any order; NULL: by its turn */
};

struct fake {
    struct loop *loop;
    struct http_server *server;
    struct aws *aws;
    char url[64];
    char dir[64];
    struct fake_answer answers[FAKE_MAX]; /* given one after the other, the last one for ever */
    size_t answer_count;
    /* "METHOD path?query": what came, and headers of it as "name: value" lines. */
    struct strv asked, headers, bodies;
    size_t hold; /* the request, from 1 on, that gets no answer and sets `held`; 0: none */
    bool done, held;
    struct err err;
};

int fake_setup(void **state);
int fake_teardown(void **state);
void fake_answer(struct fake *fake, int status, const char *body);
void fake_answer_to(struct fake *fake, const char *part, const char *body); /* 200 */
/* The client; made at its first use, so that a test can set variables before. */
struct aws *fake_aws(struct fake *fake);
void fake_wait(struct fake *fake); /* until fake->done */
void fake_put_file(struct fake *fake, const char *name, const char *text);
/* The value of a header of the request `i`, "" if it had none. The test frees. */
char *fake_header(const struct fake *fake, size_t i, const char *name);

#define FAKE_TEST(test) cmocka_unit_test_setup_teardown(test, fake_setup, fake_teardown)

#endif
