#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "oci/oci.h"
#include "services/cli/build.h"

#define PARENT     "/var/tmp"
#define PREFIX     "gantry-build-"
#define CLOSING_MS 60000

/* As a builder has them by default. */
#define PROCESSES       4096
#define DISK_BYTES      (20ull << 30)
#define FREE_DISK_BYTES (1ull << 30)

/* ---- what runs that were killed left ---- */

/* What is in its sandboxes can belong to subordinate ids: moved to where the pool clears up. */
static void adopt(const char *left, const char *into)
{
    char *from = mem_printf("%s/sandbox", left);
    DIR *dir = opendir(from);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        char *old = mem_printf("%s/%s", from, e->d_name);
        char *new = mem_printf("%s/%s", into, e->d_name);
        (void)rename(old, new);
        free(old);
        free(new);
    }
    if (dir)
        closedir(dir);
    free(from);
}

/* Those of this process's user that nobody holds. */
static void sweep(const char *own, const char *into)
{
    DIR *dir = opendir(PARENT);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct stat st;
        if (!str_starts(e->d_name, PREFIX) ||
            fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(st.st_mode) ||
            st.st_uid != geteuid())
            continue;
        char *path = mem_printf(PARENT "/%s", e->d_name);
        char *lock = mem_printf("%s/lock", path);
        int fd = str_eq(path, own) ? -1 : open(lock, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
            if (into)
                adopt(path, into);
            (void)file_remove_tree(path, NULL);
        }
        if (fd >= 0)
            close(fd);
        free(lock);
        free(path);
    }
    if (dir)
        closedir(dir);
}

/* ---- with the rights of the caller ---- */

static int make_dir(struct build_machine *m, struct err *err)
{
    char dir[] = PARENT "/" PREFIX "XXXXXX";
    if (!mkdtemp(dir))
        return err_errno(err, errno, "cannot make a folder in " PARENT);
    m->dir = mem_strdup(dir);
    char *lock = mem_printf("%s/lock", dir);
    m->lock = open(lock, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    free(lock);
    if (m->lock < 0 || flock(m->lock, LOCK_EX | LOCK_NB) != 0)
        return err_errno(err, errno, "cannot lock the folder '%s'", dir);
    m->source = mem_printf("%s/source", dir);
    return 0;
}

int build_machine_open(struct build_machine *m, struct loop *loop,
                       const struct build_options *options, struct err *err)
{
    struct passwd *pw = NULL;
    *m = (struct build_machine){
        .loop = loop, .lock = -1, .program = -1, .docker = -1, .uid = (uid_t)-1, .gid = (gid_t)-1};
    m->program = sandbox_open_program(NULL, err);
    m->docker = sandbox_open_docker(NULL, err);
    if (m->program < 0 || m->docker < 0)
        return -1;
    if (geteuid() == 0) {
        pw = getpwnam(options->user);
        if (!pw || pw->pw_uid == 0) /* it tells what to do, and changes nothing then */
            return sandbox_become_user(options->user, err);
        m->uid = pw->pw_uid;
        m->gid = pw->pw_gid;
        sweep(NULL, NULL);
    }
    return make_dir(m, err);
}

/* ---- as the builder's user ---- */

static int start_pool(struct build_machine *m, const struct build_options *options,
                      const char *hidden, struct err *err)
{
    struct strv hide = {0};
    char *shared = mem_printf("%s/shared", m->dir);
    char *dir = mem_printf("%s/sandbox", m->dir);
    int rc = file_mkdirs(dir, 0700, err);
    if (rc == 0) {
        sweep(m->dir, dir);
        const struct build_shared tools = {
            .dir = shared, .insecure_registries = &options->insecure, .docker = m->docker};
        rc = build_sandbox_shared(&tools, err);
    }
    strv_add(&hide, m->dir);
    if (!str_starts(m->dir, hidden))
        strv_add(&hide, hidden);
    const struct sandbox_conf conf = {.dir = dir,
                                      .program = m->program,
                                      .network = str_eq(options->network, "host"),
                                      .hide = &hide,
                                      .shared = shared};
    if (rc == 0)
        rc = sandbox_pool_new(&m->pool, m->loop, &conf, err);
    strv_release(&hide);
    free(shared);
    free(dir);
    return rc;
}

int build_machine_start(struct build_machine *m, const struct build_options *options,
                        const char *hide, struct err *err)
{
    if (m->uid != (uid_t)-1 && chown(m->dir, m->uid, m->gid) != 0)
        return err_errno(err, errno, "cannot give '%s' to the user '%s'", m->dir, options->user);
    if (sandbox_become_user(options->user, err) < 0 || start_pool(m, options, hide, err) < 0)
        return -1;
    const struct oci_conf oci = {.insecure = &options->insecure};
    m->env = (struct build_env){.loop = m->loop,
                                .driver = build_driver_sandbox(m->loop, m->pool),
                                .registry = oci_client_new(m->loop, &oci),
                                .limits = {.memory_bytes = options->memory_bytes,
                                           .processes = PROCESSES,
                                           .disk_bytes = DISK_BYTES,
                                           .free_disk_bytes = FREE_DISK_BYTES}};
    return 0;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

void build_machine_close(struct build_machine *m)
{
    bool closed = false;
    if (m->env.registry)
        oci_client_free(m->env.registry);
    if (m->pool) {
        sandbox_pool_close(m->pool, on_closed, &closed);
        loop_run_for(m->loop, CLOSING_MS, &closed);
    }
    build_driver_free(m->env.driver);
    sandbox_pool_free(m->pool);
    if (m->dir)
        (void)file_remove_tree(m->dir, NULL);
    if (m->lock >= 0)
        close(m->lock);
    if (m->program >= 0)
        close(m->program);
    if (m->docker >= 0)
        close(m->docker);
    free(m->source);
    free(m->dir);
    *m = (struct build_machine){.lock = -1, .program = -1, .docker = -1};
}
