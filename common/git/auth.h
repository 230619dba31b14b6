/* How a secret reaches git without being in argv, the environment or a URL. */
#ifndef GANTRY_GIT_AUTH_H
#define GANTRY_GIT_AUTH_H

#include "git/git.h"

struct git_auth {
    int fd;         /* -1, or a memory file that git inherits as descriptor 3 */
    char *key_file; /* NULL, or the ssh key's; removed by git_auth_release() */
    char *key_dir;  /* made for the key file alone; removed too */
};
#define GIT_AUTH_FD 3

void git_auth_init(struct git_auth *auth);
/* Adds options (-c ...) to `args` and variables to `env` for a remote. */
int git_auth_prepare(struct git_auth *auth, const struct git_remote *remote, struct strv *args,
                     struct strv *env, struct err *err);
void git_auth_release(struct git_auth *auth);

#endif
