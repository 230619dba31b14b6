#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "services/cli/cli.h"

#define TOKEN_FILE_MAX 4096

int cli_fail(int code, const char *fmt, ...)
{
    va_list args;

    fputs("gantry: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return code;
}

int cli_usage_error(const struct cli_command *command, const char *fmt, ...)
{
    va_list args;

    fputs("gantry: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, "\nusage: gantry %s %s\n`gantry %s --help` tells more\n", command->name,
            command->usage, command->name);
    return EXIT_USAGE;
}

static void print_flag(FILE *to, const struct cli_flag *flag)
{
    char left[80];

    snprintf(left, sizeof left, "%s%c%s--%s%s%s", flag->letter ? "-" : " ",
             flag->letter ? flag->letter : ' ', flag->letter ? ", " : "  ", flag->name,
             flag->arg ? " " : "", flag->arg ? flag->arg : "");
    fprintf(to, "  %-28s %s\n", left, flag->help);
}

static const struct cli_flag everybodys[] = {
    {"url", 0, FLAG_STR, NULL, "URL", "the console (GANTRY_URL; http://127.0.0.1:8080)"},
    {"approver-url", 0, FLAG_STR, NULL, "URL",
     "the approver (GANTRY_APPROVER_URL; what the console says)"},
    {"builder-url", 0, FLAG_STR, NULL, "URL",
     "the builder, for secrets (GANTRY_BUILDER_URL; http://127.0.0.1:8083)"},
    {"token-file", 0, FLAG_STR, NULL, "FILE", "holds your token (GANTRY_TOKEN, GANTRY_TOKEN_FILE)"},
    {"output", 'o', FLAG_STR, NULL, "FORMAT", "json for machines; tables otherwise"},
    {"no-color", 0, FLAG_BOOL, NULL, NULL, "no colours (NO_COLOR)"},
    {"help", 'h', FLAG_BOOL, NULL, NULL, "this text"},
    {0},
};

void cli_command_help(const struct cli_command *command, const struct cli_flag *flags,
                      bool to_error)
{
    FILE *to = to_error ? stderr : stdout;

    fprintf(to, "usage: gantry %s %s\n\n%s\n", command->name, command->usage, command->summary);
    if (command->details)
        fprintf(to, "\n%s\n", command->details);
    if (flags && flags->name) {
        fputs("\noptions:\n", to);
        for (const struct cli_flag *flag = flags; flag->name; flag++)
            print_flag(to, flag);
    }
    fputs("\noptions of every command:\n", to);
    for (const struct cli_flag *flag = everybodys; flag->name; flag++)
        print_flag(to, flag);
}

static const struct cli_flag *find(const struct cli_flag *flags, const char *name, size_t len,
                                   char letter)
{
    for (; flags && flags->name; flags++)
        if (letter ? flags->letter == letter
                   : strlen(flags->name) == len && strncmp(flags->name, name, len) == 0)
            return flags;
    return NULL;
}

static int read_token_file(struct cli *cli, const char *path)
{
    struct buf text;
    struct err err;

    if (file_read(&text, path, TOKEN_FILE_MAX, &err) < 0)
        return cli_fail(-1, "%s", err.msg);
    free(cli->token);
    cli->token = mem_strndup(buf_cstr(&text), strcspn(buf_cstr(&text), " \t\r\n"));
    mem_wipe(text.data, text.len);
    buf_release(&text);
    return 0;
}

static char *url_of(const char *value)
{
    size_t len = strlen(value);

    while (len && value[len - 1] == '/')
        len--;
    return mem_strndup(value, len);
}

/* An option of every command. 0, 1 for help, -1. */
static int take_everybodys(struct cli *cli, const struct cli_flag *flag, const char *value)
{
    if (strcmp(flag->name, "help") == 0)
        return 1;
    if (strcmp(flag->name, "no-color") == 0) {
        cli->color = false;
    } else if (strcmp(flag->name, "url") == 0) {
        free(cli->url);
        cli->url = url_of(value);
    } else if (strcmp(flag->name, "approver-url") == 0) {
        free(cli->approver_url);
        cli->approver_url = url_of(value);
    } else if (strcmp(flag->name, "builder-url") == 0) {
        free(cli->builder_url);
        cli->builder_url = url_of(value);
    } else if (strcmp(flag->name, "token-file") == 0) {
        return read_token_file(cli, value);
    } else {
        cli->json = strcmp(value, "json") == 0;
        if (!cli->json && strcmp(value, "table") != 0)
            return cli_fail(-1, "there is no output format '%s'; there are table and json", value);
    }
    return 0;
}

static int take(const struct cli_flag *flag, const char *value)
{
    switch (flag->type) {
    case FLAG_BOOL:
        *(bool *)flag->target = true;
        break;
    case FLAG_STR:
        *(const char **)flag->target = value;
        break;
    case FLAG_LIST:
        strv_add(flag->target, value);
        break;
    case FLAG_NUM:
        if (str_to_i64(value, flag->target) < 0)
            return cli_fail(-1, "--%s wants a number, not '%s'", flag->name, value);
        break;
    }
    return 0;
}

/* One option at argv[*at], with its value where it has one; moves *at past them. 0, 1 for help, -1.
 */
static int one_option(struct cli *cli, const struct cli_flag *flags, int argc, char **argv, int *at)
{
    const char *word = argv[(*at)++];
    bool is_long = word[1] == '-';
    const char *name = word + (is_long ? 2 : 1);
    size_t len = is_long ? strcspn(name, "=") : 1;
    const char *value = is_long ? (name[len] ? name + len + 1 : NULL) : (name[1] ? name + 1 : NULL);
    const struct cli_flag *own = find(flags, name, len, is_long ? 0 : *name);
    const struct cli_flag *flag = own ? own : find(everybodys, name, len, is_long ? 0 : *name);

    if (!flag)
        return cli_fail(-1, "there is no option '%s' here", word);
    if (flag->type == FLAG_BOOL && value)
        return cli_fail(-1, "--%s takes no value", flag->name);
    if (flag->type != FLAG_BOOL && !value) {
        if (*at >= argc)
            return cli_fail(-1, "--%s wants a value (%s)", flag->name, flag->arg);
        value = argv[(*at)++];
    }
    return own ? take(own, value) : take_everybodys(cli, flag, value);
}

int cli_args(struct cli *cli, const struct cli_command *command, int argc, char **argv,
             const struct cli_flag *flags, struct strv *words, size_t least, size_t most)
{
    bool options = true;

    for (int at = 0; at < argc;) {
        int rc;

        if (!options || argv[at][0] != '-' || argv[at][1] == 0) {
            strv_add(words, argv[at++]);
            continue;
        }
        if (strcmp(argv[at], "--") == 0) {
            options = false;
            at++;
            continue;
        }
        rc = one_option(cli, flags, argc, argv, &at);
        if (rc == 1)
            cli_command_help(command, flags, false);
        if (rc < 0)
            fprintf(stderr, "`gantry %s --help` tells more\n", command->name);
        if (rc != 0)
            return rc;
    }
    if (words->count >= least && words->count <= most)
        return 0;
    cli_usage_error(command, words->count < least ? "something is missing" : "that is too much");
    return -1;
}

int cli_release_arg(const char *word, char pipeline[64], uint64_t *number)
{
    const char *slash = strchr(word, '/');

    if (slash && slash - word < 64) {
        memcpy(pipeline, word, (size_t)(slash - word));
        pipeline[slash - word] = 0;
        if (str_is_name(pipeline) && str_to_u64(slash + 1, number) == 0 && *number > 0)
            return 0;
    }
    return cli_fail(-1, "'%s' is no release; a release is written PIPELINE/NUMBER, e.g. shop/42",
                    word);
}
