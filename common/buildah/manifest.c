/* Lists of images: docker manifest, docker buildx imagetools. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/mem.h"
#include "buildah/run.h"

static const struct option options[] = {{"all", 0, false, KEEP, NULL},
                                        {"amend", 'a', false, TAKE, NULL},
                                        {"arch", 0, true, TAKE, NULL},
                                        {"insecure", 0, false, DROP, NULL},
                                        {"os", 0, true, TAKE, NULL},
                                        {"os-version", 0, true, TAKE, NULL},
                                        {"os-features", 0, true, TAKE, NULL},
                                        {"purge", 'p', false, TAKE, NULL},
                                        {"variant", 0, true, TAKE, NULL},
                                        {"tag", 't', true, TAKE, NULL},
                                        {"verbose", 'v', false, DROP, NULL},
                                        {"raw", 0, false, DROP, NULL},
                                        {0}};

static void begin(struct strv *argv, const char *verb)
{
    strv_add(argv, "buildah");
    strv_add(argv, "manifest");
    strv_add(argv, verb);
}

static int add_member(const char *list, const char *member)
{
    struct strv argv = {0};
    struct buf id;
    begin(&argv, "add");
    add_registry_options(&argv, true);
    add_insecure_option(&argv, member);
    strv_add(&argv, list);
    strv_addf(&argv, "docker://%s", member);
    int rc = run_read(&argv, &id);
    buf_release(&id);
    strv_release(&argv);
    return rc;
}

static int quietly(const char *verb, const char *list)
{
    struct strv argv = {0};
    struct buf nothing;
    begin(&argv, verb);
    strv_add(&argv, list);
    int rc = run_read(&argv, &nothing);
    buf_release(&nothing);
    strv_release(&argv);
    return rc;
}

/* The members are in the registry, as Docker has it. */
static int create(const char *list, char *const *members, size_t count, const struct words *w)
{
    bool exists = quietly("exists", list) == 0;
    int rc = exists && words_get(w, "amend") ? 0 : quietly("create", list);
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = add_member(list, members[i]);
        if (rc != 0 && !exists)
            (void)quietly("rm", list);
    }
    if (rc == 0)
        printf("Created manifest list %s\n", list);
    return rc;
}

/* buildah wants the member's digest. */
static int annotate(const char *list, const char *member, const struct words *w)
{
    static const char *const names[] = {"arch", "os", "os-version", "os-features", "variant"};
    struct strv argv = {0};
    begin(&argv, "annotate");
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *value = words_get(w, names[i]);
        if (value)
            strv_addf(&argv, "--%s=%s", names[i], value);
    }
    strv_add(&argv, list);
    strv_addf(&argv, "docker://%s", member);
    int rc = run(&argv);
    strv_release(&argv);
    return rc;
}

/* buildah 1.28 forgets an error of the push when it writes the digest's file: so once for the push,
 * and once more, when all is there, for the digest. */
int push_list(const char *name, const struct strv *more, char **digest)
{
    struct strv argv = {0};
    struct buf text;
    struct err err = {0};
    *digest = NULL;
    char *file = temporary(false, &err);
    if (!file) {
        say("%s", err.msg);
        return DOCKER_FAILED;
    }
    begin(&argv, "push");
    strv_add(&argv, "--all");
    add_registry_options(&argv, true);
    add_insecure_option(&argv, name);
    size_t before = argv.count;
    strv_add(&argv, name);
    strv_addf(&argv, "docker://%s", name);
    int rc = run(&argv);
    struct strv again = {0};
    for (size_t i = 0; i < argv.count; i++) {
        if (i == before) {
            strv_addf(&again, "--digestfile=%s", file);
            strv_add(&again, "--quiet");
            for (size_t n = 0; more && n < more->count; n++)
                strv_add(&again, more->items[n]);
        }
        strv_add(&again, argv.items[i]);
    }
    if (rc == 0)
        rc = run(&again);
    if (rc == 0 && file_read(&text, file, 256, NULL) == 0) {
        if (str_starts(buf_cstr(&text), "sha256:"))
            *digest = mem_strndup(buf_cstr(&text), strcspn(buf_cstr(&text), "\r\n "));
        buf_release(&text);
    }
    temporary_remove(file);
    strv_release(&again);
    strv_release(&argv);
    return rc;
}

static int push(const char *list, const struct words *w)
{
    struct strv more = {0};
    char *digest = NULL;
    if (words_get(w, "purge"))
        strv_add(&more, "--rm");
    int rc = push_list(list, &more, &digest);
    if (rc == 0 && digest)
        puts(digest);
    free(digest);
    strv_release(&more);
    return rc;
}

static int pass(const char *verb, char *const *names, size_t count)
{
    struct strv argv = {0};
    begin(&argv, verb);
    for (size_t i = 0; i < count; i++)
        strv_add(&argv, names[i]);
    return become(&argv);
}

static int dispatch(const char *verb, const struct words *w)
{
    char *const *names = w->rest.items;
    size_t count = w->rest.count;
    if (str_eq(verb, "create") && count >= 2)
        return create(names[0], names + 1, count - 1, w);
    if (str_eq(verb, "annotate") && count == 2)
        return annotate(names[0], names[1], w);
    if (str_eq(verb, "push") && count >= 1)
        return push(names[0], w);
    if ((str_eq(verb, "inspect") && count == 1) || (str_eq(verb, "rm") && count >= 1))
        return pass(verb, names, count);
    say("manifest: create LIST IMAGE..., annotate LIST IMAGE, push LIST, inspect LIST or rm LIST");
    return DOCKER_FAILED;
}

int manifest_command(const char *const *argv)
{
    struct words w = {0};
    struct err err = {0};
    int rc = DOCKER_FAILED;
    const char *verb = argv[0] ? argv[0] : "";
    if (words_parse(&w, options, argv + (argv[0] != NULL), false, &err) < 0)
        say("manifest %s: %s", verb, err.msg);
    else
        rc = dispatch(verb, &w);
    words_release(&w);
    return rc;
}

/* create -t TAG IMAGE...: made and pushed at once; inspect NAME. */
int imagetools_command(const char *const *argv)
{
    struct words w = {0};
    struct err err = {0};
    int rc = DOCKER_FAILED;
    if (argv[0] && words_parse(&w, options, argv + 1, false, &err) < 0) {
        say("buildx imagetools: %s", err.msg);
    } else if (str_eq(argv[0], "create") && words_get(&w, "tag") && w.rest.count >= 1) {
        const char *list = words_get(&w, "tag");
        rc = create(list, w.rest.items, w.rest.count, &w);
        if (rc == 0)
            rc = push(list, &w);
    } else if (str_eq(argv[0], "inspect") && w.rest.count == 1) {
        rc = pass("inspect", w.rest.items, 1);
    } else {
        say("buildx imagetools: create --tag NAME IMAGE..., or inspect NAME");
    }
    words_release(&w);
    return rc;
}
