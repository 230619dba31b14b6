#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "git/mirror.h"

#define OUTPUT_MAX  (16 * 1024 * 1024)
#define PEOPLE_MAX  1000
#define EMAIL_MAX   254 /* RFC 5321, 4.5.3.1.3: what a path can hold */
#define FIELDS      5
#define MESSAGE_MAX (64 * 1024)
/* Side of the range, commit, author, committer, message. */
#define FORMAT "--format=tformat:%m%x00%H%x00%ae%x00%ce%x00%B%x00"

struct range_job {
    struct git_mirror *mirror;
    char *before, *after;
    struct git_range range;
    struct map *seen;
    char *message;
    bool after_seen;
    void (*done)(const struct git_range *range, const struct err *err, void *arg);
    void *arg;
};

static void finish(struct range_job *job, const struct err *err)
{
    if (!job->mirror->dead)
        job->done(err ? NULL : &job->range, err, job->arg);
    mirror_release(job->mirror);
    strv_release(&job->range.people);
    map_free(job->seen);
    free(job->message);
    free(job->before);
    free(job->after);
    free(job);
}

/* An author without an address that somebody could have, or one more than can be carried, could be
 * anybody: the list is then not complete. */
static void add_person(struct range_job *job, const char *email)
{
    char lower[EMAIL_MAX + 1];
    size_t len;

    while (isspace((unsigned char)*email))
        email++;
    len = strlen(email);
    while (len > 0 && isspace((unsigned char)email[len - 1]))
        len--;
    if (len == 0 || len > EMAIL_MAX || !str_is_utf8(email, len)) {
        job->range.complete = false;
        return;
    }
    for (size_t i = 0; i < len; i++)
        lower[i] = (char)tolower((unsigned char)email[i]);
    lower[len] = '\0';
    if (map_get(job->seen, lower))
        return;
    if (job->range.people.count == PEOPLE_MAX) {
        job->range.complete = false;
        return;
    }
    map_set(job->seen, lower, job);
    strv_add(&job->range.people, lower);
}

/* Cut at a character's border; what is no UTF-8, and what str_disarm() does not let pass, becomes
 * '?'. */
static void copy_text(char *out, size_t size, const char *text, bool one_line)
{
    size_t n = 0;

    while (*text && !(one_line && *text == '\n')) {
        size_t len = 1;
        while (len < 4 && (text[len] & 0xc0) == 0x80)
            len++;
        const bool good = str_is_utf8(text, len);
        if (n + len >= size)
            break;
        if (good)
            memcpy(out + n, text, len);
        else
            out[n] = '?';
        n += good ? len : 1;
        text += good ? len : 1;
    }
    out[n] = '\0';
    str_disarm(out);
}

static void set_message(struct range_job *job, const char *text)
{
    while (*text == '\n')
        text++;
    free(job->message);
    job->message = mem_alloc(MESSAGE_MAX);
    copy_text(job->message, MESSAGE_MAX, text, false);
    copy_text(job->range.subject, sizeof(job->range.subject), text, true);
    job->range.message = job->message;
}

static void take_commit(struct range_job *job, char *const field[FIELDS])
{
    if (field[0][0] == '<') {
        job->range.forced = true;
        return;
    }
    add_person(job, field[2]);
    add_person(job, field[3]);
    if (str_eq(field[1], job->after)) {
        job->after_seen = true;
        set_message(job, field[4]);
    }
}

static void parse(struct range_job *job, const struct git_run_result *result)
{
    char *text = mem_dup(result->out, result->out_len + 1);
    char *end = text + result->out_len;

    for (char *at = text; at < end;) {
        char *field[FIELDS];
        int n = 0;
        for (; n < FIELDS && at < end; n++) {
            char *nul = memchr(at, '\0', (size_t)(end - at));
            if (!nul)
                break;
            field[n] = at;
            at = nul + 1;
        }
        if (n < FIELDS)
            break;
        take_commit(job, field);
        while (at < end && *at == '\n')
            at++;
    }
    free(text);
}

static void on_head(const struct git_run_result *result, void *arg)
{
    struct range_job *job = arg;

    struct err err = result->err;

    parse(job, result);
    if (!job->after_seen && err.code == ERR_NONE)
        err_set(&err, ERR_NOT_FOUND, "the mirror does not have commit %s", job->after);
    finish(job, job->after_seen ? NULL : &err);
}

static int run_log(struct range_job *job, const char *range, const char *option,
                   void (*done)(const struct git_run_result *result, void *arg), struct err *err)
{
    const char *const args[] = {"log",
                                "--no-show-signature",
                                "--no-mailmap",
                                "--encoding=UTF-8",
                                FORMAT,
                                option,
                                "--end-of-options",
                                range,
                                "--",
                                NULL};
    const struct git_run_opts opts = {
        .git_dir = job->mirror->path,
        .args = args,
        .out_limit = OUTPUT_MAX,
        .done = done,
        .arg = job,
    };

    return git_run(NULL, job->mirror->loop, &opts, err);
}

static void ask_head(struct range_job *job)
{
    struct err err;

    if (run_log(job, job->after, "--max-count=1", on_head, &err) != 0)
        finish(job, &err);
}

static void on_range(const struct git_run_result *result, void *arg)
{
    struct range_job *job = arg;

    if (!result->ok && result->err.code == ERR_TIMEOUT) {
        finish(job, &result->err);
        return;
    }
    /* The mirror has every commit that a branch reaches: a `before` that it lacks is no ancestor.
     */
    if (!result->ok) {
        job->range.complete = false;
        job->range.forced = job->range.forced || !result->truncated;
    }
    parse(job, result);
    if (job->after_seen)
        finish(job, NULL);
    else
        ask_head(job);
}

int git_mirror_range(struct git_mirror *mirror, const char *before, const char *after,
                     void (*done)(const struct git_range *range, const struct err *err, void *arg),
                     void *arg, struct err *err)
{
    struct range_job *job;
    const bool whole = before && before[0];
    char *range;
    int rc;

    if ((whole && !git_commit_is_name(before)) || !git_commit_is_name(after))
        return err_set(err, ERR_INVALID, "'%.80s'..'%.80s' are no full commit names",
                       before ? before : "", after ? after : "");
    job = mem_alloc(sizeof(*job));
    job->mirror = mirror;
    job->before = mem_strdup(before);
    job->after = mem_strdup(after);
    job->range.complete = true;
    job->range.message = "";
    job->seen = map_new(NULL);
    job->done = done;
    job->arg = arg;
    mirror_hold(mirror);
    range = whole ? mem_printf("%s...%s", before, after) : mem_strdup(after);
    rc = run_log(job, range, whole ? "--left-right" : "--max-count=1", whole ? on_range : on_head,
                 err);
    free(range);
    if (rc != 0) {
        job->done = NULL;
        mirror->holds--;
        map_free(job->seen);
        free(job->before);
        free(job->after);
        free(job);
    }
    return rc;
}
