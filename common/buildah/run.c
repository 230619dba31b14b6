#include "buildah/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

#define OUTPUT_MAX (16 * 1024 * 1024)
#define PUSHED_MAX (1024 * 1024)

void say(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("docker: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

void say_all(const struct strv *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        say("%s", lines->items[i]);
}

int become(const struct strv *argv)
{
    execvp(argv->items[0], argv->items);
    say("cannot start '%s': %s", argv->items[0], strerror(errno));
    return DOCKER_FAILED;
}

static int wait_for(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return DOCKER_FAILED;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static pid_t start(const struct strv *argv, int output)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        if (output >= 0)
            dup2(output, STDOUT_FILENO);
        _exit(become(argv));
    }
    if (pid < 0)
        say("cannot start '%s': %s", argv->items[0], strerror(errno));
    return pid;
}

int run(const struct strv *argv)
{
    pid_t pid = start(argv, -1);
    return pid < 0 ? DOCKER_FAILED : wait_for(pid);
}

int run_read(const struct strv *argv, struct buf *out)
{
    char chunk[16 * 1024];
    int ends[2];
    ssize_t n;
    buf_init(out, OUTPUT_MAX);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        say("cannot make a pipe: %s", strerror(errno));
        return DOCKER_FAILED;
    }
    pid_t pid = start(argv, ends[1]);
    close(ends[1]);
    while (pid > 0 &&
           ((n = read(ends[0], chunk, sizeof(chunk))) > 0 || (n < 0 && errno == EINTR))) {
        if (n > 0)
            buf_add(out, chunk, (size_t)n);
    }
    close(ends[0]);
    return pid < 0 ? DOCKER_FAILED : wait_for(pid);
}

int run_into(const struct strv *argv, const char *path)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0) {
        say("cannot write '%s': %s", path, strerror(errno));
        return DOCKER_FAILED;
    }
    pid_t pid = start(argv, fd);
    close(fd);
    return pid < 0 ? DOCKER_FAILED : wait_for(pid);
}

static char *config_path(const char *name)
{
    const char *dir = getenv("DOCKER_CONFIG");
    const char *home = getenv("HOME");
    if (!str_empty(dir))
        return mem_printf("%s/%s", dir, name);
    return mem_printf("%s/.docker/%s", str_empty(home) ? "/root" : home, name);
}

void add_registry_options(struct strv *argv, bool auth)
{
    const char *certs = getenv("GANTRY_REGISTRY_CERTS");
    if (!str_empty(certs))
        strv_addf(argv, "--cert-dir=%s", certs);
    if (!auth || !str_empty(getenv("REGISTRY_AUTH_FILE")))
        return;
    char *path = config_path("config.json");
    if (access(path, F_OK) == 0)
        strv_addf(argv, "--authfile=%s", path);
    free(path);
}

/* Reads what build_sandbox_shared() writes: a [[registry]] with location and insecure, in this
 * order, a host with or without its port. */
static bool is_insecure(const char *conf, const char *host)
{
    static const char key[] = "location = \"";
    bool found = false;
    for (const char *p = strstr(conf, key); p && !found; p = strstr(p, key)) {
        p += strlen(key);
        size_t len = strcspn(p, "\"");
        found = strncmp(p, host, len) == 0 && (host[len] == '\0' || host[len] == ':') &&
                str_starts(p + len, "\"\ninsecure = true");
    }
    return found;
}

void add_insecure_option(struct strv *argv, const char *name)
{
    const char *path = getenv("CONTAINERS_REGISTRIES_CONF");
    struct buf conf;
    char *host = docker_registry(name);
    if (!str_empty(path) && file_read(&conf, path, PUSHED_MAX, NULL) == 0) {
        if (is_insecure(buf_cstr(&conf), host))
            strv_add(argv, "--tls-verify=false");
        buf_release(&conf);
    }
    free(host);
}

char *temporary(bool folder, struct err *err)
{
    const char *parent = getenv("TMPDIR");
    char *path = mem_printf("%s/gantry-docker-XXXXXX", str_empty(parent) ? "/var/tmp" : parent);
    bool made;
    if (folder) {
        made = mkdtemp(path) != NULL;
    } else {
        int fd = mkostemp(path, O_CLOEXEC);
        made = fd >= 0;
        if (made)
            close(fd);
    }
    if (made)
        return path;
    err_errno(err, errno, "cannot make '%s'", path);
    free(path);
    return NULL;
}

void temporary_remove(char *path)
{
    if (path)
        (void)file_remove_tree(path, NULL);
    free(path);
}

/* Beside the logins; a line an image: "ID REPOSITORY@DIGEST". */
void pushed_add(const char *image, const char *repository, const char *digest)
{
    char *dir = config_path("");
    char *path = config_path("pushed");
    (void)file_mkdirs(dir, 0700, NULL);
    FILE *f = fopen(path, "ae");
    if (f) {
        fprintf(f, "%s %s@%s\n", image, repository, digest);
        fclose(f);
    }
    free(path);
    free(dir);
}

char *pushed_read(void)
{
    struct buf text;
    char *path = config_path("pushed");
    char *lines =
        file_read(&text, path, PUSHED_MAX, NULL) == 0 ? buf_detach(&text) : mem_strdup("");
    buf_release(&text);
    free(path);
    return lines;
}
