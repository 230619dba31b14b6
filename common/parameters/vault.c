#include "parameters/vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "aws/kms.h"
#include "base/mem.h"
#include "base/str.h"
#include "secret/master.h"

#define KMS_PREFIX "kms:"
#define TRIES      3 /* of a job that meets rotations by others */

/* DESIGN: a job is a worker's turn, or several where KMS has to be asked between: it ends its turn
 * saying what it needs, the loop asks, and it takes another turn with the answer. One job at a
 * time, so `open` belongs to the job that runs. */

enum need { NEED_NOTHING, NEED_KMS_OPEN, NEED_KMS_NEW };

struct vault {
    struct loop *loop;
    struct aws *aws;
    char *dir, *secrets_dir;
    char *masters[2];         /* now and before; the second may be NULL */
    struct secret_store open; /* key_id "" until it is */
    struct job *running;
    struct aws_call *kms; /* under way for it */
    struct loop_timer *start;
    STAILQ_HEAD(, job) waiting;
};

struct job {
    STAILQ_ENTRY(job) link;
    struct vault *vault; /* freed not before the job that runs */
    bool orphan;         /* the vault was freed meanwhile; the loop's alone */
    vault_work_fn *work; /* NULL: rotate */
    vault_done_fn *done;
    void (*drop)(void *arg);
    void *arg;
    struct err err;
    enum need need;
    struct secret_seal seal;  /* to be opened, or KMS's of `fresh` */
    struct secret_store made; /* opened or made by KMS */
    bool has_made;
    unsigned kms_tried; /* of masters */
};

static bool is_kms(const char *master)
{
    return master && str_starts(master, KMS_PREFIX);
}

static void job_free(struct job *job)
{
    secret_seal_release(&job->seal);
    mem_wipe(&job->made, sizeof(job->made));
    free(job);
}

/* ---- a worker's turn ---- */

static int use(struct vault *vault, struct job *job)
{
    vault->open = job->made;
    mem_wipe(&job->made, sizeof(job->made));
    job->has_made = false;
    return 0;
}

/* By the files among the masters. */
static int open_by_file(struct vault *vault, const struct secret_seal *seal, struct err *err)
{
    struct secret_master master;
    struct err last = {0};
    bool any = false;
    int rc = -1;

    for (size_t i = 0; i < 2 && rc < 0; i++) {
        if (!vault->masters[i] || is_kms(vault->masters[i]))
            continue;
        rc = secret_master_read(&master, vault->secrets_dir, vault->masters[i], &last);
        if (rc == 0)
            rc = secret_master_open(&master, seal, &vault->open, vault->dir, &last);
        mem_wipe(&master, sizeof(master));
        if (rc < 0 && (!any || last.code != ERR_DENIED))
            *err = last;
        any = true;
    }
    if (rc == 0)
        return 0;
    vault->open.key_id[0] = '\0';
    if (!any)
        return err_set(
            err, ERR_DENIED,
            "the secret store in '%s' was sealed under a master key in a file (%s); give "
            "it as old-master-key and rotate",
            vault->dir, seal->master);
    return -1;
}

static int seal_new(struct vault *vault, struct job *job, const struct secret_store *of,
                    struct err *err)
{
    struct secret_master master;

    secret_seal_release(&job->seal);
    secret_store_make(&job->made, vault->dir, of);
    if (is_kms(vault->masters[0])) {
        job->need = NEED_KMS_NEW;
        return -1;
    }
    if (secret_master_read(&master, vault->secrets_dir, vault->masters[0], err) < 0)
        return -1;
    secret_master_seal(&master, &job->made, &job->seal);
    mem_wipe(&master, sizeof(master));
    job->has_made = true;
    return 0;
}

/* The store is open, or is made; -1 also where KMS is needed. */
static int open_store(struct vault *vault, struct job *job, struct err *err)
{
    struct secret_seal seal;
    int rc;

    if (secret_seal_read(&seal, vault->dir, err) < 0) {
        if (err->code != ERR_NOT_FOUND)
            return -1;
        if (!job->has_made && seal_new(vault, job, NULL, err) < 0)
            return -1;
        rc = secret_store_create(&job->made, &job->seal, err);
        return rc < 0 ? -1 : use(vault, job);
    }
    if (str_eq(seal.key_id, vault->open.key_id) && str_eq(seal.store_id, vault->open.store_id)) {
        secret_seal_release(&seal);
        return 0;
    }
    if (job->has_made && str_eq(seal.key_id, job->made.key_id)) {
        secret_seal_release(&seal);
        return use(vault, job);
    }
    if (is_kms(seal.master)) {
        secret_seal_release(&job->seal);
        job->seal = seal;
        job->need = NEED_KMS_OPEN;
        job->has_made = false;
        return -1;
    }
    rc = open_by_file(vault, &seal, err);
    secret_seal_release(&seal);
    return rc;
}

static int rotate(struct vault *vault, struct job *job, struct err *err)
{
    /* What was made for another store, before one of somebody else's was found, does not do. */
    if (!(job->has_made && str_eq(job->made.store_id, vault->open.store_id)) &&
        seal_new(vault, job, &vault->open, err) < 0)
        return -1;
    if (secret_store_rotate(&vault->open, &job->made, &job->seal, err) < 0)
        return -1;
    return use(vault, job);
}

static void job_work(void *arg)
{
    struct job *job = arg;
    struct vault *vault = job->vault;
    int rc = -1;

    for (int i = 0; i < TRIES && rc < 0; i++) {
        job->err = (struct err){0};
        job->need = NEED_NOTHING;
        rc = open_store(vault, job, &job->err);
        if (rc == 0)
            rc = job->work ? job->work(&vault->open, job->arg, &job->err)
                           : rotate(vault, job, &job->err);
        if (rc == 0)
            job->err = (struct err){0}; /* of what was tried on the way */
        if (job->need || job->err.code != ERR_CONFLICT)
            break;
        job->has_made = false;
    }
}

/* ---- the loop ---- */

static void start_next(void *arg);
static void vault_release(struct vault *vault);

static void finish(struct vault *vault, struct job *job)
{
    vault->running = NULL;
    loop_timer_arm(vault->start, 0);
    job->done(&job->err, job->arg);
    job_free(job);
}

static void ask_kms(struct vault *vault, struct job *job);

static void job_done(void *arg)
{
    struct job *job = arg;

    if (job->orphan) {
        job->drop(job->arg);
        vault_release(job->vault);
        job_free(job);
    } else if (job->need) {
        ask_kms(job->vault, job);
    } else {
        finish(job->vault, job);
    }
}

static void on_kms(const struct kms_answer *answer, const struct err *err, void *arg)
{
    struct vault *vault = arg;
    struct job *job = vault->running;
    struct secret_seal *seal = &job->seal;

    vault->kms = NULL;
    if (err->code && job->need == NEED_KMS_OPEN && job->kms_tried < 2 &&
        (err->code == ERR_DENIED || err->code == ERR_INVALID)) {
        job->err = *err;
        ask_kms(vault, job);
        return;
    }
    if (err->code || answer->plain_len != ENVELOPE_KEY_SIZE) {
        if (err->code)
            job->err = *err;
        else
            err_set(&job->err, ERR_INVALID, "KMS opened something else than a key of %d bytes",
                    ENVELOPE_KEY_SIZE);
        err_wrap(&job->err, "the key of the secret store");
        finish(vault, job);
        return;
    }
    if (job->need == NEED_KMS_OPEN) {
        job->made = (struct secret_store){.dir = vault->dir};
        memcpy(job->made.store_id, seal->store_id, ID_SIZE);
        memcpy(job->made.key_id, seal->key_id, ID_SIZE);
        memcpy(job->made.key, answer->plain, ENVELOPE_KEY_SIZE);
        use(vault, job);
        job->kms_tried = 0;
    } else {
        memcpy(job->made.key, answer->plain, ENVELOPE_KEY_SIZE);
        memcpy(seal->store_id, job->made.store_id, ID_SIZE);
        memcpy(seal->key_id, job->made.key_id, ID_SIZE);
        snprintf(seal->master, sizeof(seal->master), KMS_PREFIX "%s",
                 answer->key_id ? answer->key_id : vault->masters[0] + strlen(KMS_PREFIX));
        seal->sealed = mem_dup(answer->sealed, answer->sealed_len);
        seal->sealed_len = answer->sealed_len;
        job->has_made = true;
    }
    loop_work(vault->loop, job_work, job_done, job);
}

static void ask_kms(struct vault *vault, struct job *job)
{
    const bool new = job->need == NEED_KMS_NEW;
    const struct kms_context context[] = {
        {"gantry-secret-store", new ? job->made.store_id : job->seal.store_id}, {NULL, NULL}};
    const char *master = NULL;

    if (new)
        master = vault->masters[0];
    /* The keys that are set, and no other that a changed index might name. */
    while (!new && !master && job->kms_tried < 2) {
        master = vault->masters[job->kms_tried++];
        if (!is_kms(master))
            master = NULL;
    }
    if (!master) {
        if (!job->err.code)
            err_set(&job->err, ERR_DENIED,
                    "the secret store in '%s' was sealed under %s; give that key as old-master-key "
                    "and rotate",
                    vault->dir, job->seal.master);
        finish(vault, job);
        return;
    }
    master += strlen(KMS_PREFIX);
    vault->kms = new ? kms_data_key(vault->aws, master, context, on_kms, vault)
                     : kms_decrypt(vault->aws, master, job->seal.sealed, job->seal.sealed_len,
                                   context, on_kms, vault);
}

static void start_next(void *arg)
{
    struct vault *vault = arg;
    struct job *job = STAILQ_FIRST(&vault->waiting);

    if (vault->running || !job)
        return;
    STAILQ_REMOVE_HEAD(&vault->waiting, link);
    vault->running = job;
    loop_work(vault->loop, job_work, job_done, job);
}

/* ---- the vault ---- */

int vault_new(struct vault **out, const struct vault_conf *conf, struct err *err)
{
    struct vault *vault;
    const char *const masters[] = {conf->master, conf->old_master};

    if (str_empty(conf->master))
        return err_set(err, ERR_INVALID, "no master key is set");
    for (size_t i = 0; i < 2; i++) {
        if (is_kms(masters[i]) && (!conf->aws || str_eq(masters[i], KMS_PREFIX)))
            return err_set(err, ERR_INVALID, "the master key '%s' needs %s", masters[i],
                           conf->aws ? "a key's id, ARN or alias after the colon"
                                     : "AWS's settings");
    }
    vault = mem_alloc(sizeof(*vault));
    vault->loop = conf->loop;
    vault->aws = conf->aws;
    vault->dir = mem_strdup(conf->dir);
    vault->secrets_dir = mem_strdup(conf->secrets_dir);
    vault->masters[0] = mem_strdup(conf->master);
    vault->masters[1] = str_empty(conf->old_master) ? NULL : mem_strdup(conf->old_master);
    vault->start = loop_timer_new(conf->loop, start_next, vault);
    STAILQ_INIT(&vault->waiting);
    *out = vault;
    return 0;
}

static void vault_release(struct vault *vault)
{
    mem_wipe(&vault->open, sizeof(vault->open));
    free(vault->dir);
    free(vault->secrets_dir);
    free(vault->masters[0]);
    free(vault->masters[1]);
    free(vault);
}

void vault_free(struct vault *vault)
{
    struct job *job;

    if (!vault)
        return;
    while ((job = STAILQ_FIRST(&vault->waiting))) {
        STAILQ_REMOVE_HEAD(&vault->waiting, link);
        job->drop(job->arg);
        job_free(job);
    }
    loop_timer_free(vault->start);
    job = vault->running;
    if (job && !vault->kms) {
        /* A worker has it. */
        job->orphan = true;
        return;
    }
    aws_call_cancel(vault->kms);
    if (job) {
        job->drop(job->arg);
        job_free(job);
    }
    vault_release(vault);
}

static void add(struct vault *vault, struct job *job)
{
    job->vault = vault;
    STAILQ_INSERT_TAIL(&vault->waiting, job, link);
    loop_timer_arm(vault->start, 0);
}

void vault_run(struct vault *vault, vault_work_fn *work, vault_done_fn *done,
               void (*drop)(void *arg), void *arg)
{
    struct job *job = mem_alloc(sizeof(*job));

    job->work = work;
    job->done = done;
    job->drop = drop;
    job->arg = arg;
    add(vault, job);
}

bool vault_is_open(const struct vault *vault)
{
    return vault->open.key_id[0] != '\0';
}

void vault_rotate(struct vault *vault, vault_done_fn *done, void (*drop)(void *arg), void *arg)
{
    vault_run(vault, NULL, done, drop, arg);
}
