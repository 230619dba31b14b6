#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/internal.h"
#include "base/file.h"
#include "base/mem.h"

#define FILE_MAX (1024 * 1024)

/* AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE, or where AWS's tools keep them. */
static char *path_of(bool credentials)
{
    const char *path = getenv(credentials ? "AWS_SHARED_CREDENTIALS_FILE" : "AWS_CONFIG_FILE");
    const char *home = getenv("HOME");

    if (!str_empty(path))
        return mem_strdup(path);
    if (str_empty(home))
        return NULL;
    return mem_printf("%s/.aws/%s", home, credentials ? "credentials" : "config");
}

static char *trim(char *text)
{
    text += strspn(text, " \t");
    for (size_t len = strlen(text); len > 0 && strchr(" \t\r", text[len - 1]); len--)
        text[len - 1] = '\0';
    return text;
}

/* "[name]"; in the config file "[profile name]", but for "[default]". */
static bool is_section(char *line, const char *profile, bool credentials)
{
    char *end = strrchr(line, ']'), *name;

    if (!end)
        return false;
    *end = '\0';
    name = trim(line + 1);
    if (credentials || str_eq(name, "default"))
        return str_eq(name, profile);
    if (!str_starts(name, "profile") || !strchr(" \t", name[7]))
        return false;
    return str_eq(trim(name + 7), profile);
}

static char *find(char *text, const char *profile, bool credentials, const char *key)
{
    bool inside = false;
    char *rest = text, *line, *value;

    while ((line = strsep(&rest, "\n"))) {
        const bool nested = *line == ' ' || *line == '\t'; /* belongs to the key before: s3 = */
        line = trim(line);
        if (*line == '[')
            inside = is_section(line, profile, credentials);
        if (!inside || nested || *line == '#' || *line == ';' || !(value = strchr(line, '=')))
            continue;
        *value++ = '\0';
        if (strcasecmp(trim(line), key) == 0)
            return mem_strdup(trim(value));
    }
    return NULL;
}

char *profile_value(const char *profile, bool credentials, const char *key)
{
    char *path = path_of(credentials), *found = NULL;
    struct buf text;

    if (path && file_read(&text, path, FILE_MAX, NULL) == 0) {
        if (text.data) {
            found = find(text.data, profile, credentials, key);
            mem_wipe(text.data, text.cap);
        }
        buf_release(&text);
    }
    free(path);
    return found;
}
