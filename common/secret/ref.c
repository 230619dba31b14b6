#include "secret/ref.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define NAME_MAX_LEN   512
#define REF_MAX        4096
#define VALUE_MAX      (64 * 1024)
#define SECRET_COLONS  6 /* of a secret's ARN: arn:aws:secretsmanager:region:account:secret:name */
#define SSM_COLONS     5 /* arn:aws:ssm:region:account:parameter/name */
#define ARN_SUFFIX_LEN 6

bool secret_is_name(const char *name)
{
    const char *part = name;
    size_t len = 0;

    for (;; len++) {
        const char c = name[len];
        if (c == '/' || c == '\0') {
            const size_t part_len = (size_t)(name + len - part);
            if (part_len == 0 || (part_len <= 2 && strncmp(part, "..", part_len) == 0))
                return false;
            if (c == '\0')
                return len <= NAME_MAX_LEN;
            part = name + len + 1;
        } else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("_+=.@-", c))) {
            return false;
        }
    }
}

/* Where the colon after `count` others is, or the end. */
static const char *after_colons(const char *text, unsigned count)
{
    while (*text && (*text != ':' || count-- > 0))
        text++;
    return text;
}

static int set_name(struct secret_ref *ref, const char *name, struct err *err)
{
    ref->name = mem_strdup(name + (*name == '/'));
    if (secret_is_name(ref->name))
        return 0;
    return err_set(err, ERR_INVALID,
                   "'%.200s' is no name of a parameter or secret: letters, digits and _+=.@- in "
                   "parts joined by '/'",
                   name);
}

int secret_ref_parameter(struct secret_ref *ref, const char *text, struct err *err)
{
    const bool arn = str_starts(text, "arn:");
    const char *selector = after_colons(text, arn ? SSM_COLONS : 0);
    const char *name;
    int rc;

    *ref = (struct secret_ref){0};
    if (strlen(text) > REF_MAX)
        return err_set(err, ERR_INVALID, "the name of a parameter is too long");
    ref->id = mem_strdup(text);
    char *bare = mem_strndup(text, (size_t)(selector - text));
    name = arn ? strstr(bare, ":parameter/") : bare;
    rc = !name ? err_set(err, ERR_INVALID, "'%.200s' is no ARN of a parameter", text)
               : set_name(ref, arn ? name + strlen(":parameter/") : name, err);
    if (*selector && selector[1]) {
        const bool number = strspn(selector + 1, "0123456789") == strlen(selector + 1);
        *(number ? &ref->version : &ref->stage) = mem_strdup(selector + 1);
    }
    free(bare);
    if (rc < 0)
        secret_ref_release(ref);
    return rc;
}

/* "name-AbC123": the name that somebody gave it. */
static char *without_suffix(const char *name)
{
    const size_t len = strlen(name);
    const char *suffix = name + len - ARN_SUFFIX_LEN;

    if (len < ARN_SUFFIX_LEN + 2 || suffix[-1] != '-' || strpbrk(suffix, "/_+=.@-"))
        return NULL;
    return mem_strndup(name, len - ARN_SUFFIX_LEN - 1);
}

static int set_secret(struct secret_ref *ref, struct err *err)
{
    const char *name = ref->id;

    if (str_starts(ref->id, "arn:")) {
        name = strstr(ref->id, ":secret:");
        if (!name)
            return err_set(err, ERR_INVALID, "'%.200s' is no ARN of a secret", ref->id);
        name += strlen(":secret:");
        ref->other = without_suffix(name);
    }
    return set_name(ref, name, err);
}

int secret_ref_secret(struct secret_ref *ref, const char *text, struct err *err)
{
    const char *rest = after_colons(text, str_starts(text, "arn:") ? SECRET_COLONS : 0);
    char **const parts[] = {&ref->json_key, &ref->stage, &ref->version};
    int rc;

    *ref = (struct secret_ref){0};
    if (strlen(text) > REF_MAX)
        return err_set(err, ERR_INVALID, "the name of a secret is too long");
    ref->id = mem_strndup(text, (size_t)(rest - text));
    rc = set_secret(ref, err);
    for (size_t i = 0; i < 3 && *rest; i++) {
        const char *part = rest + 1;
        rest = after_colons(part, 0);
        if (rest > part)
            *parts[i] = mem_strndup(part, (size_t)(rest - part));
    }
    if (rc == 0 && *rest)
        rc = err_set(err, ERR_INVALID,
                     "'%.200s' has too many parts: it is id:json-key:version-stage:version-id",
                     text);
    if (rc < 0)
        secret_ref_release(ref);
    return rc;
}

void secret_ref_release(struct secret_ref *ref)
{
    free(ref->id);
    free(ref->name);
    free(ref->other);
    free(ref->json_key);
    free(ref->stage);
    free(ref->version);
    *ref = (struct secret_ref){0};
}

/* ---- JSON ---- */

void secret_json_wipe(json_t *json)
{
    const char *key;
    json_t *member;
    size_t i;

    if (json_is_string(json))
        mem_wipe((char *)(uintptr_t)json_string_value(json), json_string_length(json));
    json_object_foreach(json, key, member) secret_json_wipe(member);
    json_array_foreach(json, i, member) secret_json_wipe(member);
}

int secret_json_member(struct buf *out, const char *value, size_t len, const char *key,
                       const char *name, struct err *err)
{
    json_t *json = json_loadb(value, len, 0, NULL);
    json_t *member = json_object_get(json, key);
    char *text;
    int rc = 0;

    buf_init(out, VALUE_MAX);
    if (!json_is_object(json)) {
        rc = err_set(err, ERR_INVALID,
                     "the value of '%.200s' is no JSON object, so it has no key '%.100s'", name,
                     key);
    } else if (!member) {
        rc = err_set(err, ERR_NOT_FOUND, "the JSON in '%.200s' has no key '%.100s'", name, key);
    } else if (json_is_string(member)) {
        rc = buf_add(out, json_string_value(member), json_string_length(member));
    } else {
        text = json_dumps(member, JSON_COMPACT | JSON_ENCODE_ANY);
        rc = buf_adds(out, text);
        mem_wipe(text, strlen(text));
        free(text);
    }
    if (json)
        secret_json_wipe(json);
    json_decref(json);
    return rc;
}
