#include <sys/queue.h>

#include "base/buf.h"
#include "base/mem.h"
#include "build/internal.h"
#include "git/source.h"
#include "secret/secret.h"

struct checkout {
    LIST_ENTRY(checkout) link;
    struct git_source *source;
    void (*done)(const struct err *err, void *arg);
    void *arg;
};

struct build_sources {
    struct git_cache *cache;
    char *secrets_dir, *ssh_dir, *ca_file;
    int64_t git_timeout_ms;
    bool trust_owner;
    LIST_HEAD(, checkout) checkouts; /* under way */
};

static void finish(const struct err *err, void *arg)
{
    struct checkout *co = arg;
    void (*done)(const struct err *, void *) = co->done;
    void *done_arg = co->arg;
    LIST_REMOVE(co, link);
    free(co);
    done(err, done_arg);
}

struct checkout *checkout_start(struct build_sources *sources, const Gantry__V1__Revision *revision,
                                const char *dir, void (*done)(const struct err *err, void *arg),
                                void *arg, struct err *err)
{
    struct checkout *co = mem_alloc(sizeof(*co));
    struct buf secret = {0};
    int rc = 0;
    if (revision->credentials[0])
        rc = secret_read(&secret, sources->secrets_dir, revision->credentials, err);
    const struct git_source_opts opts = {.remote = {.url = revision->git,
                                                    .secret = secret.data,
                                                    .secret_len = secret.len,
                                                    .timeout_ms = sources->git_timeout_ms,
                                                    .ssh_dir = sources->ssh_dir,
                                                    .ca_file = sources->ca_file,
                                                    .trust_owner = sources->trust_owner},
                                         .credentials = revision->credentials,
                                         .commit = revision->commit,
                                         .dir = dir,
                                         .submodules = revision->submodules,
                                         .lfs = revision->lfs,
                                         .clone = revision->clone,
                                         .depth = revision->depth,
                                         .done = finish,
                                         .arg = co};
    if (rc == 0)
        rc = git_source_checkout(&co->source, sources->cache, &opts, err);
    if (revision->credentials[0])
        secret_release(&secret);
    if (rc < 0) {
        free(co);
        return NULL;
    }
    co->done = done;
    co->arg = arg;
    LIST_INSERT_HEAD(&sources->checkouts, co, link);
    return co;
}

int checkout_login(const struct build_sources *sources, const Gantry__V1__Revision *revision,
                   struct git_login *out, struct err *err)
{
    struct buf secret = {0};
    const bool has = revision->credentials[0] != '\0';
    *out = (struct git_login){0};
    if (has && secret_read(&secret, sources->secrets_dir, revision->credentials, err) < 0) {
        secret_release(&secret);
        return -1;
    }
    const struct git_remote remote = {
        .url = revision->git, .secret = secret.data, .secret_len = secret.len};
    int rc = git_login_read(out, &remote, err);
    if (has)
        secret_release(&secret);
    return rc;
}

bool checkout_cancel(struct checkout *co)
{
    if (!git_source_cancel(co->source))
        return false;
    LIST_REMOVE(co, link);
    free(co);
    return true;
}

/* ---- life ---- */

struct build_sources *build_sources_new(struct loop *loop, const struct build_sources_conf *conf)
{
    struct build_sources *sources = mem_alloc(sizeof(*sources));
    char *dir = mem_printf("%s/git", conf->dir);
    sources->cache = git_cache_new(loop, dir);
    sources->ssh_dir = mem_printf("%s/ssh", conf->dir);
    sources->secrets_dir = mem_strdup(conf->secrets_dir);
    sources->ca_file = mem_strdup(conf->ca_file);
    sources->git_timeout_ms = conf->git_timeout_ms;
    sources->trust_owner = conf->trust_owner;
    LIST_INIT(&sources->checkouts);
    free(dir);
    return sources;
}

void build_sources_free(struct build_sources *sources)
{
    if (!sources)
        return;
    git_cache_free(sources->cache);
    /* Their builds have ended; what is left of those goes with the answer. */
    const struct err err = {.code = ERR_CONFLICT, .msg = "the builder stops"};
    for (struct checkout *co; (co = LIST_FIRST(&sources->checkouts));)
        finish(&err, co);
    free(sources->secrets_dir);
    free(sources->ssh_dir);
    free(sources->ca_file);
    free(sources);
}
