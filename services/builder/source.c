#include "base/buf.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "builder.h"
#include "git/git.h"
#include "log/log.h"
#include "secret/secret.h"

#define TRIES         5
#define FIRST_WAIT_MS 1000

struct checkout {
    struct builder *builder;
    struct git_mirror *mirror;
    char *url, *commit, *credentials, *dir;
    unsigned tries;
    struct loop_timer *again;
    void (*done)(const struct err *err, void *arg);
    void *arg;
};

static void update(struct checkout *co);

static void finish(struct checkout *co, const struct err *err)
{
    void (*done)(const struct err *, void *) = co->done;
    void *arg = co->arg;
    loop_timer_free(co->again);
    free(co->url);
    free(co->commit);
    free(co->credentials);
    free(co->dir);
    free(co);
    done(err, arg);
}

/* A remote that is away is asked again, 1, 2, 4 and 8 s later. */
static void fail(struct checkout *co, const struct err *err)
{
    if (!err_is_retriable(err) || ++co->tries >= TRIES) {
        finish(co, err);
        return;
    }
    log_warn("a repository is away, trying again", LOG_S("url", co->url), LOG_E(err));
    loop_timer_arm(co->again, FIRST_WAIT_MS << (co->tries - 1));
}

static void on_checked_out(const struct err *err, void *arg)
{
    struct checkout *co = arg;
    /* Written half: the folder is empty no more, so it cannot be tried again. */
    finish(co, err && err->code != ERR_NONE ? err : NULL);
}

static void on_updated(const struct err *err, void *arg)
{
    struct checkout *co = arg;
    struct err why = {0};
    if (err && err->code != ERR_NONE) {
        fail(co, err);
        return;
    }
    if (git_mirror_checkout(co->mirror, co->commit, co->dir, co->builder->conf->git_timeout_ms,
                            on_checked_out, co, &why) < 0)
        finish(co, &why);
}

static void update(struct checkout *co)
{
    struct builder *b = co->builder;
    struct err err = {0};
    struct buf secret = {0};
    char *ssh_dir = mem_printf("%s/ssh", b->dir);
    struct git_remote remote = {.url = co->url,
                                .timeout_ms = b->conf->git_timeout_ms,
                                .ssh_dir = ssh_dir,
                                .trust_owner = b->conf->trust_file_owner};
    int rc = 0;
    if (co->credentials[0]) {
        rc = secret_read(&secret, b->svc->conf.secrets_dir, co->credentials, &err);
        remote.secret = secret.data;
        remote.secret_len = secret.len;
    }
    if (rc == 0)
        rc = git_mirror_update(co->mirror, &remote, co->commit, on_updated, co, &err);
    if (co->credentials[0])
        secret_release(&secret);
    free(ssh_dir);
    if (rc < 0)
        finish(co, &err);
}

static void try_again(void *arg)
{
    update(arg);
}

/* A mirror for each secret's name: a pipeline that names none must not read what another's fetched.
 */
static struct git_mirror *mirror_of(struct builder *b, const char *url, const char *credentials)
{
    char *key = mem_printf("%s\n%s", credentials, url);
    struct git_mirror *mirror = map_get(b->mirrors, key);
    if (!mirror) {
        char hash[SHA256_HEX_SIZE];
        sha256_hex(credentials, strlen(credentials), hash);
        char *dir = mem_printf("%s/git/%.16s", b->dir, hash);
        mirror = git_mirror_new(b->svc->loop, dir, url);
        map_set(b->mirrors, key, mirror);
        free(dir);
    }
    free(key);
    return mirror;
}

struct checkout *checkout_start(struct builder *b, const Gantry__V1__Revision *revision,
                                const char *dir, void (*done)(const struct err *err, void *arg),
                                void *arg, struct err *err)
{
    if (git_url_check(revision->git, err) < 0)
        return NULL;
    if (!git_commit_is_name(revision->commit)) {
        err_set(err, ERR_INVALID, "'%.80s' is no commit", revision->commit);
        return NULL;
    }
    struct checkout *co = mem_alloc(sizeof(*co));
    co->builder = b;
    co->mirror = mirror_of(b, revision->git, revision->credentials);
    co->url = mem_strdup(revision->git);
    co->commit = mem_strdup(revision->commit);
    co->credentials = mem_strdup(revision->credentials);
    co->dir = mem_strdup(dir);
    co->done = done;
    co->arg = arg;
    co->again = loop_timer_new(b->svc->loop, try_again, co);
    /* Never from inside this call: the caller is not ready for an answer. */
    loop_timer_arm(co->again, 0);
    return co;
}
