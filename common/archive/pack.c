#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archive/internal.h"
#include "base/map.h"
#include "base/mem.h"

#define CHUNK        (128 * 1024)
#define ENTRIES_MAX  500000
#define BYTES_MAX    (16ull * 1024 * 1024 * 1024)
#define MANIFEST_MAX (512ull * 1024 * 1024)

struct packer {
    const struct archive_pack *conf;
    struct archive_packed *out;
    struct archive *zip;
    struct archive_entry *entry;
    int fd;
    struct sha256_sum *sum; /* of the archive */
    struct map *names;      /* of what is in it so far */
    size_t cap;
    char *chunk;
    bool failed; /* what is still written is not */
};

static la_ssize_t write_out(struct archive *zip, void *arg, const void *data, size_t len)
{
    struct packer *p = arg;
    const char *at = data;
    for (size_t left = p->failed ? 0 : len; left;) {
        ssize_t n = write(p->fd, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            archive_set_error(zip, errno, "cannot write the archive: %s", strerror(errno));
            return -1;
        }
        at += n;
        left -= (size_t)n;
    }
    sha256_sum_add(p->sum, data, len);
    p->out->size += len;
    return (la_ssize_t)len;
}

static int zip_failed(const struct packer *p, struct err *err)
{
    const char *said = archive_error_string(p->zip);
    return err_set(err, ERR_IO, "%s", said ? said : "the archive cannot be written");
}

/* ---- one file ---- */

static char *name_of(const struct packer *p, const struct archive_found *found)
{
    if (!p->conf->whole)
        return mem_strdup(found->name);
    return mem_printf(*found->path == '/' ? "abs%s" : "src/%s", found->path);
}

static struct archive_item *add_item(struct packer *p, char *name,
                                     const struct archive_found *found)
{
    struct archive_packed *out = p->out;
    if (out->count == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 64;
        out->items = mem_realloc(out->items, p->cap, sizeof(*out->items));
    }
    struct archive_item *item = &out->items[out->count++];
    *item = (struct archive_item){
        .name = name, .link = mem_strdup(found->link), .size = found->size, .mode = found->mode};
    map_set(p->names, name, p);
    return item;
}

static int write_header(struct packer *p, const struct archive_item *item, int64_t modified_s,
                        struct err *err)
{
    archive_entry_clear(p->entry);
    archive_entry_set_pathname_utf8(p->entry, item->name);
    archive_entry_set_filetype(p->entry, item->link ? AE_IFLNK : AE_IFREG);
    archive_entry_set_perm(p->entry, item->mode);
    archive_entry_set_size(p->entry, item->link ? 0 : (int64_t)item->size);
    if (item->link)
        archive_entry_set_symlink_utf8(p->entry, item->link);
    else
        archive_entry_set_mtime(p->entry, modified_s, 0);
    return archive_write_header(p->zip, p->entry) == ARCHIVE_OK ? 0 : zip_failed(p, err);
}

static int write_bytes(struct packer *p, struct archive_item *item, int fd, struct err *err)
{
    struct sha256_sum *sum = sha256_sum_new();
    uint64_t left = item->size;
    int rc = 0;
    while (left && rc == 0) {
        ssize_t n = read(fd, p->chunk, left < CHUNK ? (size_t)left : CHUNK);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_errno(err, errno, "cannot read '%.300s'", item->name);
        else if (n == 0)
            rc =
                err_set(err, ERR_CONFLICT, "'%.300s' became shorter while it was read", item->name);
        else if (p->conf->stop && *p->conf->stop)
            rc = err_set(err, ERR_CONFLICT, "it was stopped");
        else if (archive_write_data(p->zip, p->chunk, (size_t)n) != n)
            rc = zip_failed(p, err);
        else
            sha256_sum_add(sum, p->chunk, (size_t)n);
        left -= n > 0 ? (uint64_t)n : 0;
    }
    sha256_sum_end(sum, item->sha256);
    return rc;
}

static int check_limits(const struct packer *p, const struct archive_found *found, struct err *err)
{
    const struct archive_limits *limits = &p->conf->limits;
    uint64_t entries = limits->entries ? limits->entries : ENTRIES_MAX;
    uint64_t bytes = limits->bytes ? limits->bytes : BYTES_MAX;
    if (p->out->count >= entries)
        return err_set(err, ERR_LIMIT, "there are more than %llu files",
                       (unsigned long long)entries);
    if (found->size > bytes || p->out->bytes > bytes - found->size)
        return err_set(err, ERR_LIMIT, "the files have more than %llu MiB",
                       (unsigned long long)(bytes >> 20));
    return 0;
}

static int take(const struct archive_found *found, void *arg, struct err *err)
{
    struct packer *p = arg;
    char *name = name_of(p, found);
    if (map_get(p->names, name)) {
        if (p->out->left.count++ < ARCHIVE_NOTES_MAX)
            strv_addf(&p->out->left.notes, "%.300s: another file is '%.300s' already", found->path,
                      name);
        free(name);
        return 0;
    }
    if (check_limits(p, found, err) < 0) {
        free(name);
        return -1;
    }
    struct archive_item *item = add_item(p, name, found);
    if (item->link)
        sha256_hex(item->link, strlen(item->link), item->sha256);
    p->out->bytes += item->size;
    if (write_header(p, item, found->modified_s, err) < 0)
        return -1;
    return item->link ? 0 : write_bytes(p, item, found->fd, err);
}

/* ---- the whole ---- */

static int open_zip(struct packer *p, struct err *err)
{
    char level[32];
    snprintf(level, sizeof(level), "%d", p->conf->level);
    p->zip = archive_write_new();
    p->entry = archive_entry_new();
    if (!p->zip || !p->entry)
        return err_set(err, ERR_INTERNAL, "libarchive has no memory");
    if (archive_write_set_format_zip(p->zip) != ARCHIVE_OK ||
        archive_write_set_format_option(p->zip, "zip", "hdrcharset", "UTF-8") != ARCHIVE_OK ||
        archive_write_set_format_option(p->zip, "zip", "compression-level", level) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(p->zip, 1) != ARCHIVE_OK ||
        archive_write_open(p->zip, p, NULL, write_out, NULL) != ARCHIVE_OK)
        return zip_failed(p, err);
    return 0;
}

int archive_pack(const struct archive_pack *pack, int fd, struct archive_packed *out,
                 struct err *err)
{
    struct packer p = {.conf = pack, .out = out, .fd = fd};
    struct text_locale locale;
    *out = (struct archive_packed){0};
    text_locale_set(&locale);
    p.sum = sha256_sum_new();
    p.names = map_new(NULL);
    p.chunk = mem_alloc(CHUNK);
    const struct archive_walk walk = {.tree = pack->tree,
                                      .files = pack->files,
                                      .keep_links = pack->keep_links,
                                      .each = take,
                                      .arg = &p,
                                      .stop = pack->stop};
    int rc = open_zip(&p, err);
    if (rc == 0)
        rc = archive_walk(&walk, &out->left, err);
    if (rc == 0 && archive_write_close(p.zip) != ARCHIVE_OK)
        rc = zip_failed(&p, err);
    p.failed = rc < 0; /* archive_write_fail() would leave deflate's memory */
    archive_write_free(p.zip);
    archive_entry_free(p.entry);
    text_locale_restore(&locale);
    sha256_sum_end(p.sum, out->sha256);
    map_free(p.names);
    free(p.chunk);
    return rc;
}

void archive_packed_release(struct archive_packed *packed)
{
    for (size_t i = 0; i < packed->count; i++) {
        free(packed->items[i].name);
        free(packed->items[i].link);
    }
    free(packed->items);
    archive_left_release(&packed->left);
    *packed = (struct archive_packed){0};
}

/* ---- the manifest ---- */

static json_t *item_json(const struct archive_item *item)
{
    if (item->link)
        return json_pack("{s:s, s:s}", "path", item->name, "link", item->link);
    char mode[8];
    snprintf(mode, sizeof(mode), "%04o", item->mode);
    return json_pack("{s:s, s:I, s:s, s:s}", "path", item->name, "size", (json_int_t)item->size,
                     "sha256", item->sha256, "mode", mode);
}

static int add_text(const char *text, size_t len, void *out)
{
    return buf_add(out, text, len);
}

int archive_manifest(const struct archive_packed *packed, struct buf *out, struct err *err)
{
    int rc = 0;
    buf_init(out, MANIFEST_MAX);
    buf_addf(out, "{\"sha256\":\"%s\",\"size\":%llu,\"files\":[", packed->sha256,
             (unsigned long long)packed->size);
    for (size_t i = 0; i < packed->count && rc == 0; i++) {
        json_t *json = item_json(&packed->items[i]);
        buf_adds(out, i ? ",\n" : "\n");
        rc = json ? json_dump_callback(json, add_text, out, JSON_COMPACT) : -1;
        json_decref(json);
    }
    return rc == 0 && buf_adds(out, "\n]}\n") == 0
               ? 0
               : err_set(err, ERR_LIMIT, "the list of the files is too long");
}
