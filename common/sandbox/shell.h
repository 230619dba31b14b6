/* One shell in a sandbox that runs commands one after the other, so that a `cd` or a variable lasts
 * (buildspec 0.2). A command that ends the shell itself (`exit 3`, `set -e`) ends with its status;
 * the next command runs in a new shell that takes over exported variables and the working folder.
 * So does a command of another user. Or each command in a shell of its own, to which nothing lasts
 * (buildspec 0.1). Loop thread only. */
#ifndef GANTRY_SANDBOX_SHELL_H
#define GANTRY_SANDBOX_SHELL_H

#include "sandbox/sandbox.h"

struct shell;

struct shell_exit {
    int code;            /* of the command; 128 + signal when a signal ended the shell */
    const char *limit;   /* the reason when a limit ended it, else NULL */
    const char *refused; /* why its user cannot be had, so that it did not run, else NULL */
    struct err err;      /* code other than ERR_NONE: the sandbox failed, nothing can run in it */
};

struct shell_conf {
    const char *program;       /* absolute inside: /bin/sh, /bin/bash */
    const struct strv *env;    /* NAME=value; copied */
    const char *dir;           /* inside, where it begins */
    const struct strv *texts;  /* all commands that it may be told to run */
    const struct strv *users;  /* who runs each of them: names of /etc/passwd inside; "" is who ran
                                  the last one, root at first. NULL: root; copied */
    const struct strv *export; /* names that shell_exported() asks for; valid identifiers */
    bool separate;             /* each command begins as the first: its folder, its variables */
    /* Output as it comes. False: stop reading until shell_resume(). */
    bool (*on_output)(struct shell *shell, const char *data, size_t len, void *arg);
    /* A command ended; all it wrote was given to on_output before. */
    void (*on_done)(struct shell *shell, const struct shell_exit *result, void *arg);
    void *arg;
};

/* The sandbox must live longer. Nothing runs yet. */
int shell_new(struct shell **out, struct loop *loop, struct sandbox *sandbox,
              const struct shell_conf *conf, struct err *err);
/* Runs texts[index]; on_done follows. `succeeding` is CODEBUILD_BUILD_SUCCEEDING in it. */
void shell_run(struct shell *shell, size_t index, bool succeeding);
/* Asks for the exported variables; on_done follows, then shell_exported() has them as NAME=value.
 */
void shell_export(struct shell *shell);
int shell_exported(struct shell *shell, struct strv *out, struct err *err);
void shell_resume(struct shell *shell);
/* Reads what is left in the output without waiting. */
void shell_drain(struct shell *shell);
void shell_free(struct shell *shell);

#endif
