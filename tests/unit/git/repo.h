/* A folder with git repositories in it, made by real git, and a loop to try the library on. */
#ifndef GANTRY_TESTS_GIT_REPO_H
#define GANTRY_TESTS_GIT_REPO_H

#include "git/git.h"
#include "tests/unit/unit.h"

struct fixture {
    struct loop *loop;
    char dir[64];      /* everything is below; the remote is in <dir>/remote */
    char mirrors[128]; /* for git_mirror_new() */
    char url[128];     /* file://<dir>/remote */
    struct git_remote remote;
    struct git_mirror *mirror;
    unsigned kinds; /* that ls_remote() asks for: branches and tags */
    /* What the last call answered. */
    bool answered;
    bool failed;
    struct err err;
    struct git_ref *refs;
    size_t ref_count;
    struct git_range range; /* without its message */
    char message[256];
    struct git_paths paths;
};

int setup(void **state); /* with a remote that has one commit on main */
int teardown(void **state);

/* Runs a shell script in <dir>/remote (made when needed) and fails the test if it fails. Authors
 * are ann@example.com unless it says otherwise. */
void sh(struct fixture *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Its output's first line; valid until the next call but three. */
const char *sh_line(struct fixture *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Each waits for its answer, which is in the fixture then. */
void ls_remote(struct fixture *f);
void update(struct fixture *f, const char *commit);
void checkout(struct fixture *f, const char *commit, const char *dir);
void range(struct fixture *f, const char *before, const char *after);
void paths(struct fixture *f, const char *before, const char *after);
void wait_answer(struct fixture *f);
void on_update(const struct err *err, void *arg);

/* tests/unit/git/http_git.py */
struct server {
    pid_t pid;
    int stdin_fd;
    char url[128];
};
/* Serves the fixture's folder; the fixture's remote is there then. how: NULL, or what it says. */
void server_start(struct server *server, struct fixture *f, const char *login, const char *how);
void server_stop(struct server *server);

#define assert_ok(f)                                                                               \
    do {                                                                                           \
        if ((f)->failed)                                                                           \
            fail_msg("%s", (f)->err.msg);                                                          \
    } while (0)
#define assert_err(f, wanted)                                                                      \
    do {                                                                                           \
        assert_true((f)->failed);                                                                  \
        assert_string_equal(err_code_name((f)->err.code), err_code_name(wanted));                  \
    } while (0)

#endif
