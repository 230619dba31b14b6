#include "git/auth.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/mem.h"
#include "base/str.h"
#include "git/url.h"

#define SECRET_MAX  65536
#define KEY_STALE_S (24 * 3600)
/* A token alone: every forge takes it as the password of any user. */
#define TOKEN_USER "x-access-token"
/* Opened anew by each helper, so that each reads from the beginning; `cat` has no secret in argv.
 */
#define HELPER "!f() { test \"$1\" = get && cat /proc/self/fd/3; }; f"

void git_auth_init(struct git_auth *auth)
{
    *auth = (struct git_auth){.fd = -1};
}

void git_auth_release(struct git_auth *auth)
{
    if (auth->fd >= 0)
        close(auth->fd);
    if (auth->key_file)
        unlink(auth->key_file);
    if (auth->key_dir)
        rmdir(auth->key_dir);
    free(auth->key_file);
    free(auth->key_dir);
    git_auth_init(auth);
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        const ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static void authorities_prepare(const struct git_remote *remote, struct strv *env)
{
    const char *file = remote->ca_file ? remote->ca_file : getenv("GIT_SSL_CAINFO");

    if (!str_empty(file))
        strv_addf(env, "GIT_SSL_CAINFO=%s", file);
}

static bool is_web(const struct git_url *url)
{
    return url->scheme == GIT_HTTPS || url->scheme == GIT_HTTP;
}

int git_login_read(struct git_login *out, const struct git_remote *remote, struct err *err)
{
    const char *secret = remote->secret;
    const size_t len = remote->secret_len;
    struct git_url url;

    *out = (struct git_login){0};
    if (git_url_parse(&url, remote->url, err) != 0)
        return -1;
    if (url.scheme == GIT_SSH)
        return err_set(err, ERR_CONFLICT, "'%s' is fetched by ssh, with a key", remote->url);
    if (!secret || !is_web(&url))
        return err_set(err, ERR_NOT_FOUND, "'%s' is fetched without a login", remote->url);
    if (len > SECRET_MAX)
        return err_set(err, ERR_LIMIT, "the secret for '%s' is larger than 64 KiB", remote->url);
    if (memchr(secret, '\n', len) || memchr(secret, '\0', len))
        return err_set(err, ERR_INVALID, "the secret for '%s' has more than one line", remote->url);
    const char *colon = memchr(secret, ':', len);
    const size_t user_len = colon ? (size_t)(colon - secret) : 0;
    const size_t skipped = colon ? user_len + 1 : 0;
    out->server = mem_printf("%s://%s%s%s", url.scheme == GIT_HTTPS ? "https" : "http", url.host,
                             url.port[0] ? ":" : "", url.port);
    out->user = colon ? mem_strndup(secret, user_len) : mem_strdup(TOKEN_USER);
    out->password = mem_strndup(secret + skipped, len - skipped);
    return 0;
}

void git_login_release(struct git_login *login)
{
    if (login->password)
        mem_wipe(login->password, strlen(login->password));
    free(login->server);
    free(login->user);
    free(login->password);
    *login = (struct git_login){0};
}

static int https_prepare(struct git_auth *auth, const struct git_remote *remote, struct strv *args,
                         struct err *err)
{
    struct git_login login;
    struct buf text;
    int rc = -1;

    if (git_login_read(&login, remote, err) != 0)
        return -1;
    buf_init(&text, 2 * SECRET_MAX);
    auth->fd = memfd_create("git-credential", MFD_CLOEXEC);
    /* The child gets it as descriptor 3 by dup2(), which must not be its own number. */
    if (auth->fd == GIT_AUTH_FD) {
        auth->fd = fcntl(GIT_AUTH_FD, F_DUPFD_CLOEXEC, GIT_AUTH_FD + 1);
        close(GIT_AUTH_FD);
    }
    buf_addf(&text, "username=%s\npassword=%s\n", login.user, login.password);
    if (auth->fd < 0 || write_all(auth->fd, text.data, text.len) != 0) {
        err_errno(err, errno, "cannot hand git the secret for '%s'", remote->url);
        goto out;
    }
    strv_add(args, "-c");
    strv_addf(args, "credential.%s.helper=%s", login.server, HELPER);
    rc = 0;
out:
    git_login_release(&login);
    mem_wipe(text.data, text.len);
    buf_release(&text);
    return rc;
}

/* Those of a process that was killed. */
static void keys_remove_stale(const char *dir)
{
    DIR *stream = opendir(dir);
    struct stat st;

    if (!stream)
        return;
    for (const struct dirent *entry; (entry = readdir(stream));) {
        if (str_starts(entry->d_name, "key-") &&
            fstatat(dirfd(stream), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            clock_now_ms() / 1000 - st.st_mtime > KEY_STALE_S)
            unlinkat(dirfd(stream), entry->d_name, 0);
    }
    closedir(stream);
}

static int key_write(struct git_auth *auth, const struct git_remote *remote, struct err *err)
{
    char id[ID_SIZE];
    int rc = 0;

    id_random(id);
    if (remote->ssh_dir) {
        keys_remove_stale(remote->ssh_dir);
        auth->key_file = mem_printf("%s/key-%s", remote->ssh_dir, id);
    } else {
        auth->key_dir = mem_strdup("/tmp/gantry-git-XXXXXX");
        if (!mkdtemp(auth->key_dir))
            return err_errno(err, errno, "cannot make a folder for an ssh key in /tmp");
        auth->key_file = mem_printf("%s/key", auth->key_dir);
    }
    const int fd = open(auth->key_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write_all(fd, remote->secret, remote->secret_len) != 0 ||
        write_all(fd, "\n", 1) != 0)
        rc = err_errno(err, errno, "cannot write the ssh key file '%s'", auth->key_file);
    if (fd >= 0)
        close(fd);
    return rc;
}

static int ssh_prepare(struct git_auth *auth, const struct git_remote *remote, struct strv *env,
                       struct err *err)
{
    struct buf cmd;

    if (remote->ssh_dir && strpbrk(remote->ssh_dir, "'\"\\\n%$"))
        return err_set(err, ERR_INVALID,
                       "folder '%s' has a character that ssh's options can't hold",
                       remote->ssh_dir);
    /* ssh itself makes no folder for known_hosts, and then takes any key each time. */
    if (remote->ssh_dir && file_mkdirs(remote->ssh_dir, 0700, err) != 0)
        return -1;
    if (remote->secret && key_write(auth, remote, err) != 0)
        return -1;
    buf_init(&cmd, 16384);
    buf_adds(&cmd, "ssh -F /dev/null -o BatchMode=yes -o ConnectTimeout=20 -o ForwardAgent=no"
                   " -o PermitLocalCommand=no");
    if (auth->key_file)
        buf_addf(&cmd, " -o IdentitiesOnly=yes -o 'IdentityFile=\"%s\"'", auth->key_file);
    if (remote->ssh_dir)
        buf_addf(&cmd,
                 " -o StrictHostKeyChecking=accept-new -o 'UserKnownHostsFile=\"%s/known_hosts\"'",
                 remote->ssh_dir);
    else
        buf_adds(&cmd, " -o StrictHostKeyChecking=yes");
    strv_addf(env, "GIT_SSH_COMMAND=%s", buf_cstr(&cmd));
    strv_add(env, "GIT_SSH_VARIANT=ssh");
    buf_release(&cmd);
    return 0;
}

int git_auth_prepare(struct git_auth *auth, const struct git_remote *remote, struct strv *args,
                     struct strv *env, struct err *err)
{
    struct git_url url;

    if (git_url_parse(&url, remote->url, err) != 0)
        return -1;
    if (remote->secret && remote->secret_len > SECRET_MAX)
        return err_set(err, ERR_LIMIT, "the secret for '%s' is larger than 64 KiB", remote->url);
    if (url.scheme == GIT_SSH)
        return ssh_prepare(auth, remote, env, err);
    if (url.scheme == GIT_HTTPS)
        authorities_prepare(remote, env);
    if (remote->secret && is_web(&url))
        return https_prepare(auth, remote, args, err);
    return 0;
}
