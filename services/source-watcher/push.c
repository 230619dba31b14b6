#include "push.h"

#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "git/git.h"

/* GitHub has cut the list at 20 in some of its products and says nowhere in the payload whether it
 * did: a list that long may be cut. */
#define GITHUB_COMMITS_CUT 20
#define EMAIL_MAX          254
#define PATHS_MAX          1000
#define PATHS_BYTES_MAX    (64 * 1024)

static const char *text(const json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));

    return value ? value : "";
}

/* At most size - 1 bytes, cut between characters. */
static void copy(char *out, size_t size, const char *s, const char *until)
{
    size_t len = strcspn(s, until);

    if (len >= size) {
        len = size - 1;
        while (len > 0 && (s[len] & 0xc0) == 0x80)
            len--;
    }
    memcpy(out, s, len);
    out[len] = '\0';
}

static bool is_zero(const char *commit)
{
    return commit[0] && strspn(commit, "0") == strlen(commit);
}

static int take_commit(char out[65], const json_t *root, const char *key, struct err *err)
{
    const char *value = text(root, key);

    out[0] = '\0';
    if (is_zero(value))
        return 0;
    if (!git_commit_is_name(value))
        return err_set(err, ERR_INVALID, "'%s' is no full commit name", key);
    copy(out, 65, value, "");
    return 0;
}

static int take_ref(struct push *push, const char *ref, struct err *err)
{
    if (!str_starts(ref, "refs/") || strlen(ref) >= sizeof(push->ref))
        return err_set(err, ERR_INVALID, "'ref' is no full ref of at most 255 bytes");
    for (const char *p = ref; *p; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f)
            return err_set(err, ERR_INVALID, "'ref' has a blank or a control character in it");
    }
    copy(push->ref, sizeof(push->ref), ref, "");
    return 0;
}

static void take_urls(struct push *push, const json_t *repository, const char *const *keys)
{
    for (; *keys; keys++) {
        char *identity = git_url_identity(text(repository, *keys));
        if (identity && !strv_has(&push->identities, identity))
            strv_add(&push->identities, identity);
        free(identity);
    }
}

static int take_repository(struct push *push, const json_t *root, struct err *err)
{
    static const char *const repository[] = {"clone_url", "ssh_url",      "git_url",     "html_url",
                                             "url",       "git_http_url", "git_ssh_url", NULL};
    static const char *const project[] = {"git_http_url", "git_ssh_url", "http_url", "ssh_url",
                                          "web_url",      "url",         NULL};

    take_urls(push, json_object_get(root, "repository"), repository);
    take_urls(push, json_object_get(root, "project"), project);
    if (push->identities.count == 0)
        return err_set(err, ERR_INVALID, "it names no repository's URL");
    return 0;
}

/* False: nobody that an approval could be compared with. */
static bool add_person(struct push *push, const json_t *person)
{
    const char *email = text(person, "email");
    char lower[EMAIL_MAX + 1];
    size_t len;

    while (isspace((unsigned char)*email))
        email++;
    len = strlen(email);
    while (len > 0 && isspace((unsigned char)email[len - 1]))
        len--;
    if (len == 0 || len > EMAIL_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        lower[i] = (char)tolower((unsigned char)email[i]);
    lower[len] = '\0';
    if (!strv_has(&push->people, lower))
        strv_add(&push->people, lower);
    return true;
}

static bool add_people(struct push *push, const json_t *commit)
{
    const bool author = add_person(push, json_object_get(commit, "author"));

    return add_person(push, json_object_get(commit, "committer")) && author;
}

static void take_message(struct push *push, const json_t *commit)
{
    const char *message = text(commit, "message");

    free(push->message);
    push->message = mem_strdup(message);
    while (*message == '\n')
        message++;
    copy(push->subject, sizeof(push->subject), message, "\r\n");
    str_disarm(push->subject);
}

/* ---- paths ---- */

struct listing {
    struct push *push;
    struct map *seen;
    size_t bytes;
};

/* False: the name may not be what it seems: one that is no UTF-8, or written with escapes. */
static bool add_path(struct listing *listing, const char *path)
{
    if (str_empty(path) || *path == '"' || strstr(path, "\xef\xbf\xbd"))
        return false;
    if (map_get(listing->seen, path))
        return true;
    listing->bytes += strlen(path) + 1;
    if (listing->push->paths.count == PATHS_MAX || listing->bytes > PATHS_BYTES_MAX)
        return false;
    map_set(listing->seen, path, listing);
    strv_add(&listing->push->paths, path);
    return true;
}

/* False: not all that the commit touches is listed. A merge is listed in different ways by
 * different forges, often with nothing; nor does a commit say that it is one, but by its message.
 */
static bool add_paths(struct listing *listing, const json_t *commit)
{
    static const char *const keys[] = {"added", "removed", "modified"};
    const json_t *path;
    size_t i, count = 0;

    if (str_starts(text(commit, "message"), "Merge "))
        return false;
    for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++) {
        const json_t *list = json_object_get(commit, keys[k]);
        count += json_array_size(list);
        json_array_foreach(list, i, path)
        {
            if (!add_path(listing, json_string_value(path)))
                return false;
        }
    }
    return count > 0;
}

static void take_paths(struct push *push, const json_t *commits)
{
    struct listing listing = {.push = push, .seen = map_new(NULL)};
    const json_t *commit;
    size_t i;

    push->paths_complete = true;
    json_array_foreach(commits, i, commit)
    {
        if (!add_paths(&listing, commit)) {
            push->paths_complete = false;
            break;
        }
    }
    map_free(listing.seen);
}

/* ---- commits ---- */

/* Everything between before and after is listed. */
static bool list_is_whole(enum forge forge, const json_t *root, size_t count)
{
    const json_t *total = json_object_get(root, "total_commits");

    switch (forge) {
    case FORGE_GITHUB:
        return count > 0 && count < GITHUB_COMMITS_CUT;
    case FORGE_GITEA:
        return count > 0 && (size_t)json_integer_value(total) == count;
    case FORGE_GITLAB: /* it names no committers */
        break;
    }
    return false;
}

/* Forges name the annotated tag itself as `after`; what is built is the commit that it names. */
static void take_tagged_commit(struct push *push, const json_t *root)
{
    const char *commits[] = {text(json_object_get(root, "head_commit"), "id"),
                             text(root, "checkout_sha")};

    for (size_t i = 0; i < sizeof(commits) / sizeof(commits[0]); i++) {
        if (git_commit_is_name(commits[i]) && !is_zero(commits[i])) {
            copy(push->after, sizeof(push->after), commits[i], "");
            return;
        }
    }
}

static void take_commits(struct push *push, enum forge forge, const json_t *root)
{
    const json_t *commits = json_object_get(root, "commits");
    const json_t *head = json_object_get(root, "head_commit");
    bool complete = true, head_listed = false;
    const json_t *commit;
    size_t i;

    if (!push->before[0]) { /* a new branch: its head alone */
        complete = str_eq(text(head, "id"), push->after) && add_people(push, head);
        push->people_complete = complete && forge != FORGE_GITLAB;
    }
    json_array_foreach(commits, i, commit)
    {
        const bool is_head = str_eq(text(commit, "id"), push->after);
        if (push->before[0])
            complete = add_people(push, commit) && complete;
        if (is_head)
            take_message(push, commit);
        head_listed = head_listed || is_head;
    }
    if (!head_listed && str_eq(text(head, "id"), push->after))
        take_message(push, head);
    if (push->before[0])
        push->people_complete = complete && head_listed && !push->forced &&
                                list_is_whole(forge, root, json_array_size(commits));
    if (push->people_complete && push->before[0])
        take_paths(push, commits);
}

static void take_pusher(struct push *push, const json_t *root)
{
    const json_t *pusher = json_object_get(root, "pusher");
    const json_t *sender = json_object_get(root, "sender");
    const char *const candidates[] = {text(root, "user_username"),
                                      text(pusher, "login"),
                                      text(pusher, "username"),
                                      text(pusher, "name"),
                                      text(root, "user_name"),
                                      text(sender, "login"),
                                      text(json_object_get(root, "user"), "username")};

    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        if (candidates[i][0]) {
            copy(push->pusher, sizeof(push->pusher), candidates[i], "\r\n");
            str_disarm(push->pusher);
            return;
        }
    }
}

static int take_push(struct push *push, enum forge forge, const json_t *root, struct err *err)
{
    if (take_ref(push, text(root, "ref"), err) != 0 ||
        take_commit(push->before, root, "before", err) != 0 ||
        take_commit(push->after, root, "after", err) != 0)
        return -1;
    if (json_is_true(json_object_get(root, "deleted")))
        push->after[0] = '\0';
    if (!push->after[0]) {
        push->nothing = "the branch or tag was deleted";
        return 0;
    }
    push->forced = json_is_true(json_object_get(root, "forced"));
    if (str_starts(push->ref, "refs/tags/"))
        take_tagged_commit(push, root);
    take_commits(push, forge, root);
    /* The list would be that of a branch. */
    if (str_starts(push->ref, "refs/tags/") && push->before[0])
        push->people_complete = push->paths_complete = false;
    return 0;
}

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++) {
        if (str_eq(word, *words))
            return true;
    }
    return false;
}

/* Its commits are asked for from the remote, which alone can say whose they are. */
static int take_pull_request(struct push *push, enum forge forge, const json_t *root,
                             struct err *err)
{
    static const char *const news[] = {"opened", "reopened", "synchronize", "synchronized",
                                       "open",   "reopen",   "update",      NULL};
    const bool gitlab = forge == FORGE_GITLAB;
    const json_t *request = json_object_get(root, gitlab ? "object_attributes" : "pull_request");
    const json_t *number = json_object_get(gitlab ? request : root, gitlab ? "iid" : "number");
    const json_t *head = json_object_get(request, gitlab ? "last_commit" : "head");
    const char *action = text(gitlab ? request : root, "action");
    char ref[64];

    if (!json_is_object(request) || json_integer_value(number) <= 0)
        return err_set(err, ERR_INVALID, "it has no pull request with a number");
    snprintf(ref, sizeof(ref), "refs/%s/%lld/head", gitlab ? "merge-requests" : "pull",
             (long long)json_integer_value(number));
    copy(push->ref, sizeof(push->ref), ref, "");
    /* GitLab says `update` of a new title, too. */
    if (!is_one_of(action, news) || (str_eq(action, "update") && !text(request, "oldrev")[0])) {
        push->nothing = "the pull request has no new commits";
        return 0;
    }
    if (take_commit(push->after, head, gitlab ? "id" : "sha", err) != 0)
        return -1;
    if (!push->after[0])
        return err_set(err, ERR_INVALID, "the pull request names no commit");
    return 0;
}

int push_parse(struct push *push, enum forge forge, enum push_kind kind, const char *json,
               size_t len, struct err *err)
{
    json_error_t problem;
    json_t *root = json_loadb(json, len, 0, &problem);
    int rc = -1;

    if (!root)
        return err_set(err, ERR_INVALID, "it is no JSON (line %d: %s)", problem.line, problem.text);
    if (!json_is_object(root)) {
        err_set(err, ERR_INVALID, "it is no JSON object");
        goto out;
    }
    if (take_repository(push, root, err) != 0)
        goto out;
    take_pusher(push, root);
    rc = kind == PUSH_REF ? take_push(push, forge, root, err)
                          : take_pull_request(push, forge, root, err);
out:
    json_decref(root);
    return rc;
}

void push_release(struct push *push)
{
    strv_release(&push->identities);
    strv_release(&push->people);
    strv_release(&push->paths);
    free(push->message);
    memset(push, 0, sizeof(*push));
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

char *push_form_payload(const char *body, size_t len, size_t *out_len)
{
    static const char key[] = "payload=";
    const char *end = body + len;
    const char *at = body;

    while (at < end &&
           ((size_t)(end - at) < sizeof(key) - 1 || strncmp(at, key, sizeof(key) - 1))) {
        const char *next = memchr(at, '&', (size_t)(end - at));
        if (!next)
            return NULL;
        at = next + 1;
    }
    if (at >= end)
        return NULL;
    at += sizeof(key) - 1;
    char *out = mem_alloc((size_t)(end - at) + 1);
    size_t n = 0;
    for (; at < end && *at != '&'; at++) {
        const int high = *at == '%' && end - at > 2 ? hex_digit(at[1]) : -1;
        const int low = high >= 0 ? hex_digit(at[2]) : -1;
        if (low >= 0) {
            out[n++] = (char)(high * 16 + low);
            at += 2;
        } else {
            out[n++] = *at == '+' ? ' ' : *at;
        }
    }
    *out_len = n;
    return out;
}
