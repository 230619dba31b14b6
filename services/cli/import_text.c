#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "services/cli/import_pipeline.h"

#define LOWER   "abcdefghijklmnopqrstuvwxyz"
#define UPPER   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"
#define IN_NAME LOWER DIGITS

/* ---- names ---- */

void import_slug(char *out, size_t size, const char *text)
{
    size_t len = 0;

    for (; *text && len + 1 < size; text++) {
        char c = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;

        if (strchr(IN_NAME, c))
            out[len++] = c;
        else if (len && out[len - 1] != '-')
            out[len++] = '-';
    }
    while (len && out[len - 1] == '-')
        len--;
    if (!len)
        out[len++] = 'x';
    out[len] = '\0';
}

/* A name is the reader's own: made of what is known, it may stay as it is. */
void import_name(char out[64], const char *text)
{
    char *rest = mem_strdup(text), *at;

    while ((at = strstr(rest, "placeholder-")))
        memmove(at, at + strlen("placeholder-"), strlen(at + strlen("placeholder-")) + 1);
    import_slug(out, 64, rest);
    free(rest);
}

void import_type(char out[64], const char *provider, const char *category)
{
    static const struct {
        const char *provider, *category, *type;
    } known[] = {
        {"CloudFormation", NULL, "cloudformation"},
        {"CloudFormationStackSet", NULL, "cloudformation-stack-set"},
        {"CloudFormationStackInstances", NULL, "cloudformation-stack-instances"},
        {"CodeDeploy", NULL, "codedeploy"},
        {"CodeDeployToECS", NULL, "codedeploy-ecs"},
        {"CodePipeline", NULL, "codepipeline"},
        {"AppConfig", NULL, "appconfig"},
        {"CloudWatchAlarm", NULL, "cloudwatch-alarm"},
        {"Lambda", "Deploy", "lambda-deploy"},
        {"LambdaInvoke", NULL, "lambda"},
        {"S3", "Deploy", "s3-deploy"},
    };
    char spaced[128];
    size_t len = 0;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (str_eq(provider, known[i].provider) &&
            (!known[i].category || str_eq(category, known[i].category))) {
            snprintf(out, 64, "%s", known[i].type);
            return;
        }
    for (const char *p = provider; *p && len + 3 < sizeof(spaced); p++) {
        if (p > provider && strchr(UPPER, *p) && strchr(LOWER, p[-1]))
            spaced[len++] = '-';
        spaced[len++] = *p;
    }
    spaced[len] = '\0';
    import_name(out, spaced);
}

bool import_key(char *out, size_t size, const char *key, bool is_variable)
{
    const char *allowed = is_variable ? LOWER UPPER DIGITS "_" : LOWER UPPER DIGITS "-_.";
    size_t len = 0;

    if (is_variable && *key && strchr(DIGITS, *key))
        out[len++] = '_';
    for (const char *p = key; *p && len + 1 < size && len < 128; p++)
        out[len++] = strchr(allowed, *p) ? *p : is_variable ? '_' : '-';
    if (!len)
        out[len++] = 'x';
    out[len] = '\0';
    return str_eq(out, key);
}

bool import_minutes(const char *minutes, int64_t least, int64_t most, char out[32])
{
    int64_t n;

    if (str_to_i64(minutes, &n) < 0 || n <= 0)
        return false;
    n = n < least ? least : n > most ? most : n;
    if (n % (24 * 60) == 0)
        snprintf(out, 32, "%lldd", (long long)(n / (24 * 60)));
    else if (n % 60 == 0)
        snprintf(out, 32, "%lldh", (long long)(n / 60));
    else
        snprintf(out, 32, "%lldm", (long long)n);
    return true;
}

/* ---- images ---- */

/* Runs of letters and digits joined by single '.', '_' and '-'. */
static void add_part(struct buf *out, const char *part, size_t len)
{
    bool begun = false;
    char joint = 0;

    for (size_t i = 0; i < len; i++) {
        char c = part[i] >= 'A' && part[i] <= 'Z' ? (char)(part[i] - 'A' + 'a') : part[i];

        if (!strchr(IN_NAME, c)) {
            joint = strchr("._-", c) ? c : '-';
            continue;
        }
        if (joint && begun)
            buf_addc(out, joint);
        buf_addc(out, c);
        begun = true;
        joint = 0;
    }
    if (!begun)
        buf_addc(out, 'x');
}

char *import_image(const char *text)
{
    size_t host_len, len;
    const char *slash;
    struct buf out;

    if (str_starts(text, "https://"))
        text += strlen("https://");
    slash = strchrnul(text, '/');
    host_len = (size_t)(slash - text);
    buf_init(&out, 1024);
    for (size_t i = 0; i < host_len && i < 200; i++)
        buf_addc(&out, text[i] != ':' && strchr(LOWER UPPER DIGITS ".-", text[i]) ? text[i] : '-');
    if (!out.len || !strchr(buf_cstr(&out), '.'))
        buf_adds(&out, ".example");
    for (const char *at = slash; *at && out.len < 500; at += len) {
        at++;
        len = strcspn(at, "/");
        buf_addc(&out, '/');
        /* A tag or digest is the build's to set. */
        add_part(&out, at, at[len] ? len : strcspn(at, ":@"));
    }
    if (!*slash)
        buf_adds(&out, "/x");
    return buf_detach(&out);
}

/* ---- texts ---- */

static bool is_hidden(uint32_t c)
{
    return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7f && c < 0xa0) || c == 0x2028 ||
           c == 0x2029 || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) ||
           c == 0xfeff || c == 0xfffe || c == 0xffff;
}

static size_t character(const char *text, uint32_t *value)
{
    unsigned char c = (unsigned char)*text;
    size_t len = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;

    if (strnlen(text, len) < len || !str_is_utf8(text, len))
        return 0;
    *value = len == 1 ? c : c & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++)
        *value = *value << 6 | ((unsigned char)text[i] & 0x3fu);
    return len;
}

void import_clean(char *text)
{
    char *to = text;

    while (*text) {
        uint32_t value = 0;
        size_t len = character(text, &value);

        if (!len || is_hidden(value)) {
            *to++ = len ? ' ' : '?';
            text += len ? len : 1;
            continue;
        }
        memmove(to, text, len);
        to += len;
        text += len;
    }
    *to = '\0';
}

static const struct import_action *find_namespace(const struct import_pipeline *p, const char *name)
{
    for (size_t i = 0; i < p->action_count; i++)
        if (*p->actions[i].namespace && str_eq(p->actions[i].namespace, name))
            return &p->actions[i];
    return NULL;
}

static char *of_source(const struct import_action *a, const char *name)
{
    static const char *const same[] = {"FullRepositoryName", "RepositoryName", "RepositoryUri"};
    const char *branch = import_branch(a);

    if (str_eq(name, "CommitId"))
        return mem_printf("{{revisions.%s}}", a->as_name);
    if (str_eq(name, "BranchName") && *branch && !strchr(branch, '{'))
        return mem_strdup(branch);
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        const char *value = import_get_text(a->config, i ? same[i] : "FullRepositoryId");

        if (str_eq(name, same[i]) && *value && !strchr(value, '{'))
            return mem_strdup(value);
    }
    return NULL;
}

static bool is_plain(const char *name)
{
    return *name && strlen(name) < 100 && !name[strspn(name, LOWER UPPER DIGITS "-_.")];
}

/* What #{NAMESPACE.NAME} is here; NULL: nothing. The caller frees. */
static char *value_of(struct import_pipeline *p, const struct import_action *a, size_t stage_index,
                      const char *namespace, const char *name)
{
    const struct import_action *from = find_namespace(p, namespace);
    const char *variable = json_string_value(json_object_get(p->variables, name));

    if (str_eq(namespace, "variables"))
        return variable ? mem_printf("{{variables.%s}}", variable) : NULL;
    if (str_eq(namespace, "codepipeline") && str_eq(name, "PipelineExecutionId"))
        return mem_strdup("{{pipeline}}-{{release.number}}");
    if (!from || !is_plain(name) || from == a)
        return NULL;
    if (from->as == AS_SOURCE)
        return of_source(from, name);
    if (from->as == AS_APPROVAL ||
        !(a ? import_is_before(from, a) : from->stage_index < stage_index))
        return NULL;
    if (from->image && (str_eq(name, "ECRImageDigestId") || str_eq(name, "ImageDigest")))
        return mem_printf("{{artifacts.%s.digest}}", from->as_name);
    if (from->image && str_eq(name, "ImageURI"))
        return mem_printf("{{artifacts.%s.image}}", from->as_name);
    if (str_eq(from->category, "Source"))
        return NULL;
    return mem_printf("{{actions.%s.%s}}", from->as_name, name);
}

/* "{{" would be a name of Gantry's own, wherever the first brace came from. */
static void add_plain(struct buf *out, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '{' && out->len && out->data[out->len - 1] == '{')
            buf_addc(out, ' ');
        buf_addc(out, text[i]);
    }
}

static void add_variable(struct import_pipeline *p, const struct import_action *a,
                         size_t stage_index, struct buf *out, const char *whole)
{
    const char *dot = strchr(whole, '.');
    char *namespace = mem_strndup(whole, dot ? (size_t)(dot - whole) : strlen(whole));
    char *value = value_of(p, a, stage_index, namespace, dot ? dot + 1 : "");
    char *origin;

    if (!value) {
        origin = mem_printf("#{%.200s}", whole);
        value = mem_strdup(import_placeholder(p->imp, origin, whole, NULL));
        free(origin);
    }
    if (out->len && out->data[out->len - 1] == '{' && *value == '{')
        buf_addc(out, ' ');
    buf_adds(out, value);
    free(value);
    free(namespace);
}

char *import_text(struct import_pipeline *p, const struct import_action *a, size_t stage_index,
                  const char *text)
{
    const char *open, *close;
    char *result;
    struct buf out;

    buf_init(&out, 8 * IMPORT_TEXT_MAX);
    while ((open = strstr(text, "#{")) && (close = strchr(open, '}'))) {
        char *whole = mem_strndup(open + 2, (size_t)(close - open - 2));

        add_plain(&out, text, (size_t)(open - text));
        add_variable(p, a, stage_index, &out, whole);
        free(whole);
        text = close + 1;
    }
    add_plain(&out, text, strlen(text));
    result = buf_detach(&out);
    import_clean(result);
    return result;
}
