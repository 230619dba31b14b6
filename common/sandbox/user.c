#include "sandbox/user.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "sandbox/sandbox.h"

#define RANGE_MAX 65536
#define FILE_MAX  (1024 * 1024)

/* "name:first:count"; owner by name or uid. */
static void take_line(char *line, const char *name, const char *uid, struct user_range *best)
{
    struct strv parts = {0};
    uint64_t first, count;
    strv_split(&parts, line, ':');
    if (parts.count == 3 && (str_eq(parts.items[0], name) || str_eq(parts.items[0], uid)) &&
        str_to_u64(parts.items[1], &first) == 0 && str_to_u64(parts.items[2], &count) == 0 &&
        first > 0 && first < UINT32_MAX && count > best->count && count < UINT32_MAX - first)
        *best = (struct user_range){.first = (uint32_t)first, .count = (uint32_t)count};
    strv_release(&parts);
}

static int user_name(char *out, size_t size)
{
    char space[16 * 1024];
    struct passwd pw, *found = NULL;
    if (getpwuid_r(geteuid(), &pw, space, sizeof(space), &found) != 0 || !found)
        return -1;
    snprintf(out, size, "%s", found->pw_name);
    return 0;
}

int user_range_find(const char *file, struct user_range *out, struct err *err)
{
    struct buf text;
    char name[256], uid[16];
    *out = (struct user_range){0};
    snprintf(uid, sizeof(uid), "%u", (unsigned)geteuid());
    if (user_name(name, sizeof(name)) < 0)
        snprintf(name, sizeof(name), "%s", uid);
    if (file_read(&text, file, FILE_MAX, NULL) == 0) {
        char *save = NULL;
        for (char *line = strtok_r(text.data, "\n", &save); line;
             line = strtok_r(NULL, "\n", &save))
            take_line(line, name, uid, out);
        buf_release(&text);
    }
    if (out->count < 1000) {
        bool gid = str_ends(file, "gid");
        return err_set(err, ERR_NOT_FOUND,
                       "%s has no range of at least 1,000 ids for '%s', which builds need; run: "
                       "usermod --add-sub%ss 200000-265535 %s",
                       file, name, gid ? "gid" : "uid", name);
    }
    if (out->count > RANGE_MAX)
        out->count = RANGE_MAX;
    return 0;
}

static int become(const char *user, const gid_t *group, struct err *err)
{
    if (geteuid() != 0) {
        prctl(PR_SET_DUMPABLE, 0);
        return 0;
    }
    char space[16 * 1024];
    struct passwd pw, *found = NULL;
    if (getpwnam_r(user, &pw, space, sizeof(space), &found) != 0 || !found)
        return err_set(
            err, ERR_NOT_FOUND,
            "there is no user '%s' for the builder to become; run: useradd --system "
            "--no-create-home --shell /usr/sbin/nologin %s && usermod "
            "--add-subuids 200000-265535 --add-subgids 200000-265535 %s (or name another: "
            "builder.user, --user)",
            user, user, user);
    if (found->pw_uid == 0)
        return err_set(err, ERR_INVALID,
                       "the user for builds is '%s', which is root; builds never run as root",
                       user);
    if (setgroups(group ? 1 : 0, group) != 0 ||
        setresgid(found->pw_gid, found->pw_gid, found->pw_gid) != 0 ||
        setresuid(found->pw_uid, found->pw_uid, found->pw_uid) != 0)
        return err_errno(err, errno, "cannot become the user '%s'", user);
    if (setuid(0) == 0)
        return err_set(err, ERR_FATAL, "root could be taken back after becoming '%s'", user);
    prctl(PR_SET_DUMPABLE, 0);
    return 0;
}

int sandbox_become_user(const char *user, struct err *err)
{
    return become(user, NULL, err);
}

int sandbox_become_user_in(const char *user, gid_t group, struct err *err)
{
    return become(user, &group, err);
}
