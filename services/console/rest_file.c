/* What is kept of a run in the artifact store, for who asks the console for it. It is fetched into
 * a file without a name first, so that a slow client holds no connection to the store. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "aws/aws.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "events/event.h"
#include "gantry/v1/result.pb-c.h"
#include "services/console/console.h"
#include "services/console/read.h"
#include "store/artifact_store.h"

#define FETCHES_MAX 16

struct file_reader {
    struct aws *aws; /* NULL: none */
    struct artifact_store *store;
    char *dir;
    unsigned fetches;
};

/* ---- settings ---- */

static int start_aws(struct file_reader *files, struct console *console, struct err *err)
{
    const struct aws_conf conf = {.region = console->conf.aws_region,
                                  .endpoint_url = console->conf.aws_endpoint_url,
                                  .profile = console->conf.aws_profile};

    if (!str_starts(console->conf.artifacts, "s3://"))
        return 0;
    return aws_new(&files->aws, console->svc->loop, &conf, err);
}

int file_reader_new(struct console *console, struct err *err)
{
    struct file_reader *files;

    if (str_empty(console->conf.artifacts))
        return 0;
    files = console->files = mem_alloc(sizeof(*files));
    files->dir = mem_printf("%s/console", console->svc->conf.state_dir);
    if (file_mkdirs(files->dir, 0700, err) != 0 || start_aws(files, console, err) != 0)
        return err_wrap(err, "console.artifacts");
    const struct artifact_store_conf conf = {
        .loop = console->svc->loop, .where = console->conf.artifacts, .aws = files->aws};
    if (artifact_store_new(&files->store, &conf, err) != 0) {
        files->store = NULL;
        return err_wrap(err, "console.artifacts");
    }
    return 0;
}

void file_reader_free(struct file_reader *files)
{
    if (!files)
        return;
    artifact_store_free(files->store);
    aws_free(files->aws);
    free(files->dir);
    free(files);
}

/* ---- one fetch ---- */

struct fetch {
    struct file_reader *files;
    struct http_request *req;
    char *name; /* of the file, for who saves it */
    const char *type;
    int fd;
};

static void on_fetched(const struct artifact_answer *answer, const struct err *err, void *arg)
{
    struct fetch *fetch = arg;

    fetch->files->fetches--;
    if (err->code == ERR_NONE) {
        char *header = mem_printf("attachment; filename=\"%s\"", fetch->name);
        http_reply_header(fetch->req, "Content-Disposition", header);
        http_reply_header(fetch->req, "Cache-Control", "no-store");
        http_reply_file(fetch->req, 200, fetch->type, fetch->fd, answer->size);
        free(header);
    } else {
        http_reply_err(fetch->req, err);
        close(fetch->fd);
    }
    free(fetch->name);
    free(fetch);
}

/* The key's last part, in characters that a header can have. */
static char *saved_name(const char *key)
{
    const char *slash = strrchr(key, '/');
    char *name = mem_strdup(slash ? slash + 1 : key);

    for (char *p = name; *p; p++) {
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7E || strchr("\"\\;", *p))
            *p = '_';
    }
    return name;
}

static void begin(struct call *call, const Gantry__V1__StoredFile *file)
{
    struct file_reader *files = call->console->files;
    const bool is_log = file->kind == GANTRY__V1__STORED_FILE_KIND__STORED_FILE_KIND_LOG;
    int fd = open(files->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0) {
        struct err err;
        err_errno(&err, errno, "cannot make a file in '%s'", files->dir);
        http_reply_err(call->req, &err);
        return;
    }
    struct fetch *fetch = mem_alloc(sizeof(*fetch));
    *fetch = (struct fetch){.files = files,
                            .req = call->req,
                            .name = saved_name(file->key),
                            .type = is_log ? "text/plain; charset=utf-8" : "application/zip",
                            .fd = fd};
    files->fetches++;
    artifact_get(files->store, file->key, fd, file->size_bytes, on_fetched, fetch);
}

/* ---- which ---- */

/* Of the run's result; the caller frees. */
static Gantry__V1__Finished *read_finished(struct sqlite_db *db, const char *run_id)
{
    Gantry__V1__Finished *finished = NULL;
    struct sqlite_rows *rows =
        sqlite_select(db, "SELECT finished FROM runs WHERE run_id = ?", SQL_TEXT(run_id));
    size_t len;

    if (sqlite_next(rows) && !sqlite_is_null(rows, 0)) {
        const uint8_t *data = sqlite_blob(rows, 0, &len);
        finished = gantry__v1__finished__unpack(NULL, len, data);
    }
    sqlite_rows_end(rows);
    return finished;
}

void rest_file(struct call *call)
{
    const struct file_reader *files = call->console->files;
    const char *run_id = http_req_param(call->req, "run"),
               *name = http_req_param(call->req, "name");
    const Gantry__V1__StoredFile *file = NULL;
    struct sqlite_db *db;

    if (!files) {
        http_reply_problem(call->req, 404, NULL,
                           "this console does not read the artifact store; set console.artifacts");
        return;
    }
    if (files->fetches >= FETCHES_MAX) {
        http_reply_header(call->req, "Retry-After", "5");
        http_reply_problem(call->req, 503, NULL, "too much is downloaded just now");
        return;
    }
    if (!(db = reader_begin(call)))
        return;
    Gantry__V1__Finished *finished = read_finished(db, run_id);
    if (reader_end(call, db) == 0) {
        for (size_t i = 0; finished && i < finished->n_files && !file; i++) {
            if (str_eq(finished->files[i]->name, name))
                file = finished->files[i];
        }
        if (file)
            begin(call, file);
        else
            http_reply_problem(call->req, 404, NULL,
                               "nothing of that name is kept of that run; its `finished.files` "
                               "has the names");
    }
    if (finished)
        event_free(finished);
}
