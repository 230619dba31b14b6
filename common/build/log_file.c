/* DESIGN: the whole log of the attempt, as the host is given it, goes into a file without a name
 * beside the place, from where it is stored at the end. A worker writes it, piece by piece, so that
 * a slow disk holds up neither the loop nor the live log. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "build/internal.h"
#include "store/artifact_store.h"

#define LOG_MAX   (64ULL * 1024 * 1024)
#define PIECE_MIN (256 * 1024)
#define CUT       "\nThe log was cut here: it is longer than 64 MiB\n"

struct log_file {
    struct build *build;
    int fd;
    struct buf pending, writing;
    bool busy; /* a worker has `writing` */
    bool mid_line, cut;
    uint64_t size;
    struct sha256_sum *sum;
    char sha256[SHA256_HEX_SIZE];
    struct err err; /* of the first write that failed */
    struct artifact_call *call;
    void (*done)(struct build *build);
};

void log_file_open(struct build *build)
{
    struct err err = {0};
    if (!build->env->artifacts)
        return;
    int fd = place_file(build, &err);
    if (fd < 0) {
        build_mark(build, "The whole log is not kept: %s", err.msg);
        return;
    }
    struct log_file *file = mem_alloc(sizeof(*file));
    file->build = build;
    file->fd = fd;
    file->sum = sha256_sum_new();
    buf_init(&file->pending, LOG_MAX + 4096);
    buf_init(&file->writing, LOG_MAX + 4096);
    build->log_file = file;
}

/* ---- writing ---- */

static void write_piece(struct build *build)
{
    struct log_file *file = build->log_file;
    for (size_t at = 0; at < file->writing.len && file->err.code == ERR_NONE;) {
        ssize_t n = write(file->fd, file->writing.data + at, file->writing.len - at);
        if (n < 0 && errno != EINTR)
            err_errno(&file->err, errno, "cannot write it");
        at += n > 0 ? (size_t)n : 0;
    }
    sha256_sum_add(file->sum, file->writing.data, file->writing.len);
}

static void store(struct log_file *file);

static void on_written(struct build *build)
{
    struct log_file *file = build->log_file;
    file->busy = false;
    buf_reset(&file->writing);
    if (file->pending.len >= PIECE_MIN || (file->done && file->pending.len)) {
        struct buf full = file->pending;
        file->pending = file->writing;
        file->writing = full;
        file->busy = true;
        build_work(build, write_piece, on_written);
    } else if (file->done) {
        store(file);
    }
}

static void add(struct log_file *file, const char *data, size_t len)
{
    if (file->cut || len == 0)
        return;
    if (file->size + len > LOG_MAX) {
        len = (size_t)(LOG_MAX - file->size);
        file->cut = true;
    }
    (void)buf_add(&file->pending, data, len);
    file->size += len;
    if (file->cut) {
        (void)buf_adds(&file->pending, CUT);
        file->size += strlen(CUT);
    }
    file->mid_line = data[len ? len - 1 : 0] != '\n';
    if (!file->busy && file->pending.len >= PIECE_MIN)
        on_written(file->build);
}

void log_file_add(struct log_file *file, const char *data, size_t len)
{
    if (file && !file->done)
        add(file, data, len);
}

void log_file_mark(struct log_file *file, const char *line)
{
    if (!file || file->done)
        return;
    if (file->mid_line)
        add(file, "\n", 1);
    add(file, line, strlen(line));
    add(file, "\n", 1);
}

/* ---- storing ---- */

static void end(struct log_file *file, const struct err *err)
{
    struct build *build = file->build;
    char line[ERR_MSG_MAX + 64];
    if (err->code != ERR_NONE) {
        snprintf(line, sizeof(line), "The whole log is not kept: %s", err->msg);
        build->host.ops->mark(build->host.data, line);
    }
    file->done(build);
}

static char *key_of(const struct build *build)
{
    return mem_printf("logs/%s/%llu/%s.%u.log", build->request->pipeline,
                      (unsigned long long)build->request->release, build->host.run_id,
                      (unsigned)build->host.attempt);
}

static void on_stored(const struct artifact_answer *answer, const struct err *err, void *arg)
{
    struct log_file *file = arg;
    struct build *build = file->build;
    file->call = NULL;
    if (err->code == ERR_NONE) {
        char *key = key_of(build);
        struct kept kept = {.name = "log",
                            .key = key,
                            .size = answer->size,
                            .kind = GANTRY__V1__STORED_FILE_KIND__STORED_FILE_KIND_LOG};
        memcpy(kept.sha256, file->sha256, sizeof(kept.sha256));
        keep_note(build, &kept);
        free(key);
    }
    end(file, err);
}

static void store(struct log_file *file)
{
    struct build *build = file->build;
    sha256_sum_end(file->sum, file->sha256);
    file->sum = NULL;
    if (file->err.code != ERR_NONE) {
        end(file, &file->err);
        return;
    }
    char *key = key_of(build);
    file->call =
        artifact_put_soon(build->env->artifacts, key, file->fd, file->size, on_stored, file);
    free(key);
}

void log_file_store(struct build *build, void (*done)(struct build *build))
{
    struct log_file *file = build->log_file;
    if (!file || !file->size) {
        done(build);
        return;
    }
    file->done = done;
    if (!file->busy)
        on_written(build);
}

void log_file_cancel(struct build *build)
{
    struct log_file *file = build->log_file;
    if (!file)
        return;
    artifact_call_cancel(file->call);
    file->call = NULL;
}

void log_file_free(struct build *build)
{
    struct log_file *file = build->log_file;
    if (!file)
        return;
    log_file_cancel(build);
    if (file->sum)
        sha256_sum_end(file->sum, file->sha256);
    close(file->fd);
    buf_release(&file->pending);
    buf_release(&file->writing);
    free(file);
    build->log_file = NULL;
}
