/* What a Docker engine, or what passes for one, answers: JSON, the lines of a pull, a build and a
 * push, the frames of its streams, and the tar archives of a container's files; and a
 * .dockerignore. The first byte chooses. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "archive/archive.h"
#include "base/file.h"
#include "docker/ignore.h"
#include "docker/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t given;

static void count(const char *data, size_t len, void *arg)
{
    (void)data;
    (void)arg;
    given += len;
}

/* Cut in two anywhere, it says the same. */
static void frames(const char *data, size_t len, size_t cut)
{
    struct docker_frames whole = {0}, parts = {0};
    struct err err = {0};
    given = 0;
    int rc = docker_frames_add(&whole, data, len, count, NULL, &err);
    size_t at_once = given;
    given = 0;
    int rc_parts = docker_frames_add(&parts, data, cut, count, NULL, &err) < 0 ||
                           docker_frames_add(&parts, data + cut, len - cut, count, NULL, &err) < 0
                       ? -1
                       : 0;
    if (rc != rc_parts || given != at_once || at_once > len ||
        (rc == 0 && docker_frames_whole(&whole) != docker_frames_whole(&parts)))
        abort();
}

static int add(struct docker_progress *progress, const char *data, size_t len)
{
    struct err err = {0};
    int rc = docker_progress_add(progress, data, len, &err);
    if (rc < 0 && err.code == ERR_NONE)
        abort();
    return rc;
}

/* Of a pull, whose text nobody reads, a build and a push: cut in two anywhere, they say the same.
 */
static void progress(const char *data, size_t len, size_t cut)
{
    struct docker_progress whole = {.output = count}, parts = {.output = count}, quiet = {0};
    given = 0;
    int rc = add(&whole, data, len);
    size_t at_once = given;
    given = 0;
    int rc_parts = add(&parts, data, cut) < 0 || add(&parts, data + cut, len - cut) < 0 ? -1 : 0;
    if (rc != rc_parts || given != at_once || add(&quiet, data, len) != rc || given != at_once ||
        strcmp(whole.error, parts.error) != 0 || whole.code != parts.code ||
        strcmp(whole.digest, parts.digest) != 0)
        abort();
    if (!memchr(whole.error, '\0', sizeof(whole.error)) || strpbrk(whole.error, "\n\033") ||
        (*whole.digest && strlen(whole.digest) != DOCKER_DIGEST_SIZE - 1))
        abort();
    docker_progress_release(&whole);
    docker_progress_release(&parts);
    docker_progress_release(&quiet);
}

static void json(const char *data, size_t len)
{
    struct docker_answer answer = {0};
    struct strv ids = {0};
    struct err err = {0};
    char said[DOCKER_MESSAGE_MAX];
    int64_t code;
    uint64_t bytes;
    unsigned minor;
    char *id = docker_read_id(data, len, &err);
    if (id && (!*id || strpbrk(id, "/?&#%. ")))
        abort();
    docker_read_message(data, len, said);
    if (!memchr(said, '\0', sizeof(said)) || strpbrk(said, "\n\033"))
        abort();
    (void)docker_read_ids(data, len, &ids, &err);
    (void)docker_read_wait(data, len, &code, &err);
    (void)docker_read_stats(data, len, &answer, &err);
    (void)docker_read_image(data, len, &answer, &err);
    if (docker_read_size(data, len, &bytes, &err) == 0 ? bytes > INT64_MAX : bytes != 0)
        abort();
    if (docker_read_version(data, len, &minor, &err) == 0 && (minor < 25 || minor > 999))
        abort();
    if (answer.cpu_ms < 0)
        abort();
    strv_release(&ids);
    free(id);
}

/* Nothing gets out of the folder, whatever the archive says: beside it nothing is changed. */
static void files(const uint8_t *data, size_t size)
{
    static char dir[] = "/tmp/gantry-fuzz-docker-XXXXXX", inside[64], beside[64];
    static bool made;
    struct archive_unpacked out;
    struct err err = {0};
    struct stat st;
    if (!made) {
        if (!mkdtemp(dir))
            abort();
        snprintf(inside, sizeof(inside), "%s/in", dir);
        snprintf(beside, sizeof(beside), "%s/out", dir);
        made = true;
    }
    if (mkdir(inside, 0700) != 0 || mkdir(beside, 0500) != 0)
        abort();
    int fd = memfd_create("tar", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    const struct archive_untar untar = {
        .dir = inside, .below = "a/b", .limits = {.entries = 200, .bytes = 1 << 20}};
    if (archive_untar(&untar, fd, &out, &err) < 0 && err.code == ERR_NONE)
        abort();
    if (out.bytes > 1 << 20 || stat(beside, &st) != 0 || (st.st_mode & 0777) != 0500 ||
        rmdir(beside) != 0)
        abort();
    close(fd);
    if (file_remove_tree(inside, &err) < 0)
        abort();
}

/* Not the engine's but a repository's: patterns, and a path. A folder's fate is its files'. */
static void ignore(const char *data, size_t len, size_t cut)
{
    struct docker_ignore *patterns = NULL;
    struct err err = {0};
    char path[256], below[260];
    size_t n = len - cut < sizeof(path) - 1 ? len - cut : sizeof(path) - 1;
    memcpy(path, data + cut, n);
    path[n] = '\0';
    snprintf(below, sizeof(below), "%s/x", path);
    if (docker_ignore_new(&patterns, data, cut, &err) < 0)
        return;
    if (docker_ignored(patterns, path) && !docker_ignore_has_exceptions(patterns) &&
        !docker_ignored(patterns, below))
        abort();
    docker_ignore_free(patterns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const char *text = (const char *)data + 2;
    size_t len = size - 2, cut = len ? data[1] % (len + 1) : 0;
    switch (data[0] % 5) {
    case 0:
        frames(text, len, cut);
        break;
    case 1:
        progress(text, len, cut);
        break;
    case 2:
        json(text, len);
        break;
    case 3:
        files(data + 2, size - 2);
        break;
    default:
        ignore(text, len, cut);
    }
    return 0;
}
