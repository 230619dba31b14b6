/* What builds left in the artifact store: a list, or one file of it. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "services/cli/cli.h"

#define DOWNLOAD_MS (60 * 60 * 1000)

/* ---- a list ---- */

/* Calls `each` for all that is kept, of each action's last run that kept something. True from it
 * ends. */
static bool each_file(const json_t *release,
                      bool (*each)(const json_t *action, const json_t *run, const json_t *file,
                                   void *arg),
                      void *arg)
{
    const json_t *stage, *action, *file;
    size_t i, j, k;

    json_array_foreach(jget(release, "stages"), i, stage)
    {
        json_array_foreach(jget(stage, "actions"), j, action)
        {
            const json_t *runs = jget(action, "runs"), *run = NULL;

            for (k = json_array_size(runs); k > 0 && !run; k--) {
                const json_t *one = json_array_get(runs, k - 1);
                if (json_array_size(jget(jget(one, "finished"), "files")))
                    run = one;
            }
            json_array_foreach(jget(jget(run, "finished"), "files"), k, file)
            {
                if (each(action, run, file, arg))
                    return true;
            }
        }
    }
    return false;
}

static bool add_row(const json_t *action, const json_t *run, const json_t *file, void *arg)
{
    struct table *table = arg;
    struct buf words;

    (void)run;
    buf_init(&words, 8192);
    kept_size_words(file, &words);
    table_cell(table, "strong", "%s", jstr(file, "name"));
    table_cell(table, NULL, "%s", jstr(action, "name"));
    table_cell(table, NULL, "%s", buf_cstr(&words));
    table_cell(table, "quiet", "%s", jstr(file, "key"));
    buf_release(&words);
    return false;
}

static bool add_json(const json_t *action, const json_t *run, const json_t *file, void *arg)
{
    json_t *entry = json_copy((json_t *)file);

    json_object_set_new(entry, "action", json_string(jstr(action, "name")));
    json_object_set_new(entry, "runId", json_string(jstr(run, "runId")));
    json_array_append_new(arg, entry);
    return false;
}

static void print_list(const struct cli *cli, const json_t *release)
{
    static const char *const columns[] = {"NAME", "ACTION", "SIZE", "KEY", NULL};

    if (cli->json) {
        json_t *all = json_array();
        each_file(release, add_json, all);
        print_json(all);
        json_decref(all);
    } else {
        struct table *table = table_new(columns);
        each_file(release, add_row, table);
        table_print(table, cli->color);
    }
}

/* ---- one file ---- */

struct wanted {
    const char *name, *action; /* action NULL: any */
    const json_t *run, *file;
};

static bool is_wanted(const json_t *action, const json_t *run, const json_t *file, void *arg)
{
    struct wanted *wanted = arg;

    if (strcmp(jstr(file, "name"), wanted->name) != 0 ||
        (wanted->action && strcmp(jstr(action, "name"), wanted->action) != 0))
        return false;
    wanted->run = run;
    wanted->file = file;
    return true;
}

struct download {
    int fd;
    uint64_t size;
    struct sha256_sum *sum;
    int error; /* errno of a write */
};

static int on_data(const char *data, size_t len, void *arg)
{
    struct download *download = arg;

    for (size_t at = 0; at < len;) {
        ssize_t n = write(download->fd, data + at, len - at);
        if (n < 0 && errno != EINTR) {
            download->error = errno;
            return -1;
        }
        at += n > 0 ? (size_t)n : 0;
    }
    download->size += len;
    sha256_sum_add(download->sum, data, len);
    return 0;
}

/* Nothing is at `to` until all of it is there and is what the release says. */
static int fetch(struct cli *cli, const struct wanted *wanted, const char *to)
{
    char hash[SHA256_HEX_SIZE];
    char *name = api_segment(wanted->name), *part = mem_printf("%s.part", to);
    char *path = mem_printf("/api/v1/runs/%s/files/%s", jstr(wanted->run, "runId"), name);
    struct download download = {.sum = sha256_sum_new()};
    struct api_reply reply = {0};
    const struct api_call call = {.path = path,
                                  .accept = "application/zip, text/plain",
                                  .timeout_ms = DOWNLOAD_MS,
                                  .on_data = on_data,
                                  .arg = &download};
    int rc;

    download.fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (download.fd < 0)
        rc = cli_fail(EXIT_USAGE, "cannot write '%s': %s", part, strerror(errno));
    else
        rc = api_send(cli, &call, &reply);
    sha256_sum_end(download.sum, hash);
    if (download.fd >= 0 && close(download.fd) != 0 && !download.error)
        download.error = errno;
    if (rc == 0 && download.error)
        rc = cli_fail(EXIT_BAD_END, "cannot write '%s': %s", part, strerror(download.error));
    else if (rc == 0 && strcmp(hash, jstr(wanted->file, "sha256")) != 0)
        rc = cli_fail(EXIT_BAD_END, "what came of '%s' is not what was kept (%llu bytes)",
                      wanted->name, (unsigned long long)download.size);
    else if (rc == 0 && rename(part, to) != 0)
        rc = cli_fail(EXIT_BAD_END, "cannot make '%s': %s", to, strerror(errno));
    if (rc != 0 && download.fd >= 0)
        unlink(part);
    api_reply_release(&reply);
    free(path);
    free(part);
    free(name);
    return rc;
}

/* The last part of its key. */
static const char *own_name(const json_t *file)
{
    const char *key = jstr(file, "key"), *slash = strrchr(key, '/');

    return slash ? slash + 1 : key;
}

static int get_one(struct cli *cli, const json_t *release, const char *release_name,
                   struct wanted *wanted, const char *to)
{
    if (!each_file(release, is_wanted, wanted))
        return cli_fail(EXIT_NOT_FOUND,
                        "%s has kept no '%s'; `gantry artifacts %s` lists what it has",
                        release_name, wanted->name, release_name);
    if (!to)
        to = own_name(wanted->file);
    int rc = fetch(cli, wanted, to);
    if (rc == 0 && !cli->json)
        printf("%s\n", to);
    return rc;
}

int cmd_artifacts(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("artifacts");
    struct wanted wanted = {0};
    const char *to = NULL;
    const struct cli_flag flags[] = {
        {"to", 'O', FLAG_STR, &to, "FILE", "where it goes (its own name, here)"},
        {"action", 'a', FLAG_STR, &wanted.action, "ACTION", "of this action alone"},
        {0},
    };
    struct api_reply reply = {0};
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, flags, &words, 1, 2);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
        goto out;
    }
    rc = api_get_release(cli, &reply, words.items[0]);
    if (rc != 0)
        goto out;
    if (words.count == 1) {
        print_list(cli, reply.json);
    } else {
        wanted.name = words.items[1];
        rc = get_one(cli, reply.json, words.items[0], &wanted, to);
    }
out:
    api_reply_release(&reply);
    strv_release(&words);
    return rc;
}
