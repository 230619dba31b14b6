#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "secret/ref.h"
#include "services/cli/cli.h"

#define VALUE_MAX (64 * 1024)

/* ---- the value ---- */

/* Reads into the one allocation that is wiped; the caller frees. NULL having said why. */
static char *read_all(int fd, const char *from, size_t *len)
{
    char *value = mem_alloc(VALUE_MAX + 2);
    ssize_t n = 1;

    *len = 0;
    while (n != 0 && *len <= VALUE_MAX) {
        n = read(fd, value + *len, VALUE_MAX + 1 - *len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        *len += (size_t)n;
    }
    if (n < 0)
        cli_fail(0, "%s cannot be read: %s", from, strerror(errno));
    if (n >= 0 && *len > 0 && value[*len - 1] == '\n')
        value[--*len] = '\0';
    if (n >= 0 && *len > VALUE_MAX) {
        cli_fail(0, "%s is larger than %d bytes", from, VALUE_MAX);
        n = -1;
    }
    if (n >= 0 && *len > 0)
        return value;
    if (n >= 0)
        cli_fail(0, "%s is empty", from);
    mem_wipe(value, VALUE_MAX + 2);
    free(value);
    return NULL;
}

static void on_interrupt(int signo)
{
    (void)signo;
}

/* A line from the terminal, without showing it. */
static char *ask(int tty, const char *question, size_t *len)
{
    /* Without SA_RESTART: the read ends, and the terminal shows again what is typed. */
    const struct sigaction interrupted = {.sa_handler = on_interrupt};
    struct sigaction before;
    struct termios shown, hidden;
    char *value;

    if (tcgetattr(tty, &shown) < 0) {
        cli_fail(0, "the terminal cannot be asked: %s", strerror(errno));
        return NULL;
    }
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    sigaction(SIGINT, &interrupted, &before);
    tcsetattr(tty, TCSAFLUSH, &hidden);
    value = mem_alloc(VALUE_MAX + 2);
    /* Asked once what was typed before is gone, so that nothing is lost that answers it. In
     * canonical mode a read gives one line. */
    const ssize_t n =
        write(tty, question, strlen(question)) < 0 ? -1 : read(tty, value, VALUE_MAX + 1);
    tcsetattr(tty, TCSAFLUSH, &shown);
    sigaction(SIGINT, &before, NULL);
    if (write(tty, "\n", 1) < 0 || n < 0) {
        cli_fail(0, "interrupted; nothing was set");
        free(value);
        return NULL;
    }
    *len = (size_t)n;
    if (*len > 0 && value[*len - 1] == '\n')
        value[--*len] = '\0';
    if (*len > 0)
        return value;
    cli_fail(0, "the value is empty");
    free(value);
    return NULL;
}

static void wipe(char *value, size_t len)
{
    if (value)
        mem_wipe(value, len);
    free(value);
}

static char *ask_twice(size_t *len)
{
    const int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    char *value, *again = NULL;
    size_t again_len = 0;

    if (tty < 0) {
        cli_fail(0, "there is no terminal to ask; give the value on standard input or by --file");
        return NULL;
    }
    value = ask(tty, "Value: ", len);
    if (value)
        again = ask(tty, "Once more: ", &again_len);
    if (value && (!again || *len != again_len || memcmp(value, again, again_len) != 0)) {
        if (again)
            cli_fail(0, "the two differ; nothing was set");
        wipe(value, *len);
        value = NULL;
    }
    wipe(again, again_len);
    close(tty);
    return value;
}

static char *read_value(const char *file, size_t *len)
{
    char *value;
    int fd;

    if (file && strcmp(file, "-") != 0) {
        fd = open(file, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            cli_fail(0, "'%s' cannot be read: %s", file, strerror(errno));
            return NULL;
        }
        value = read_all(fd, file, len);
        close(fd);
        return value;
    }
    if (!file && isatty(STDIN_FILENO))
        return ask_twice(len);
    return read_all(STDIN_FILENO, "standard input", len);
}

/* ---- commands ---- */

/* The address of a name; the caller frees. NULL having said why. */
static char *path_of(const char *name)
{
    char *segment, *path;

    name += *name == '/';
    if (!secret_is_name(name)) {
        cli_fail(0, "'%s' is no name: letters, digits and _+=.@- in parts joined by '/'", name);
        return NULL;
    }
    segment = api_segment(name);
    path = mem_printf("/api/v1/secrets/%s", segment);
    free(segment);
    return path;
}

static int send_value(struct cli *cli, const char *name, const char *value, size_t len)
{
    char *path = path_of(name);
    struct api_call call = {.service = API_BUILDER,
                            .method = "PUT",
                            .path = path,
                            .body = value,
                            .body_len = len,
                            .content_type = "application/octet-stream"};
    struct api_reply reply = {0};
    int rc = path ? api_send(cli, &call, &reply) : EXIT_USAGE;

    if (rc == 0 && cli->json)
        print_json(reply.json);
    else if (rc == 0)
        printf("%s set: version %lld\n", jstr(reply.json, "name"),
               (long long)jnum(jget(reply.json, "version"), "number"));
    api_reply_release(&reply);
    free(path);
    return rc;
}

int cmd_secret_set(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("secret set");
    const char *file = NULL;
    const struct cli_flag flags[] = {
        {"file", 'f', FLAG_STR, &file, "FILE", "holds the value; - is standard input"}, {0}};
    struct strv words = {0};
    size_t len = 0;
    char *value = NULL, *path;
    int rc = cli_args(cli, self, argc, argv, flags, &words, 1, 1);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
        goto out;
    }
    /* Before anybody types the value. */
    path = path_of(words.items[0]);
    if (path)
        value = read_value(file, &len);
    free(path);
    rc = value ? send_value(cli, words.items[0], value, len) : EXIT_USAGE;
out:
    wipe(value, len);
    strv_release(&words);
    return rc;
}

static void print_secrets(const struct cli *cli, const json_t *secrets)
{
    static const char *const columns[] = {"NAME", "VERSION", "SIZE", "SET", "BY", NULL};
    struct table *table = table_new(columns);
    const json_t *secret;
    char when[40];
    size_t i;

    json_array_foreach(secrets, i, secret)
    {
        const json_t *versions = jget(secret, "versions");
        const json_t *last = json_array_get(versions, json_array_size(versions) - 1);
        table_cell(table, "strong", "%s", jstr(secret, "name"));
        table_cell(table, NULL, "%lld", (long long)jnum(last, "number"));
        table_cell(table, NULL, "%lld", (long long)jnum(last, "size"));
        table_cell(table, "quiet", "%s", ago(jnum(last, "createdMs"), when));
        table_cell(table, "quiet", "%s", jstr(last, "author"));
    }
    table_print(table, cli->color);
}

static void print_grants(const struct cli *cli, const json_t *grants)
{
    static const char *const columns[] = {"PIPELINE", "MAY READ", "SINCE", "BY", NULL};
    struct table *table = table_new(columns);
    const json_t *grant;
    char when[40];
    size_t i;

    json_array_foreach(grants, i, grant)
    {
        table_cell(table, "strong", "%s", jstr(grant, "pipeline"));
        table_cell(table, NULL, "%s", jstr(grant, "path"));
        table_cell(table, "quiet", "%s", ago(jnum(grant, "createdMs"), when));
        table_cell(table, "quiet", "%s", jstr(grant, "author"));
    }
    table_print(table, cli->color);
}

int cmd_secret_list(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("secret list");
    struct api_call call = {.service = API_BUILDER, .path = "/api/v1/secrets"};
    struct api_reply reply = {0};
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 0, 0);

    if (rc != 0)
        return rc > 0 ? EXIT_DONE : EXIT_USAGE;
    rc = api_send(cli, &call, &reply);
    if (rc == 0 && cli->json) {
        print_json(reply.json);
    } else if (rc == 0) {
        print_secrets(cli, jget(reply.json, "secrets"));
        putchar('\n');
        print_grants(cli, jget(reply.json, "grants"));
    }
    api_reply_release(&reply);
    return rc;
}

/* A call without an answer; says `done` when it went well. */
static int send_plain(struct cli *cli, struct api_call *call, const char *done)
{
    struct api_reply reply = {0};
    int rc;

    call->service = API_BUILDER;
    rc = api_send(cli, call, &reply);
    if (rc == 0)
        printf("%s\n", done);
    api_reply_release(&reply);
    return rc;
}

int cmd_secret_rm(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("secret rm");
    struct api_call call = {.method = "DELETE"};
    struct strv words = {0};
    char *path = NULL, *done = NULL;
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 1, 1);

    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
    } else if (!(path = path_of(words.items[0]))) {
        rc = EXIT_USAGE;
    } else {
        call.path = path;
        done = mem_printf("%s removed", words.items[0]);
        rc = send_plain(cli, &call, done);
    }
    free(done);
    free(path);
    strv_release(&words);
    return rc;
}

int cmd_secret_grant(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("secret grant");
    bool revoke = false;
    const struct cli_flag flags[] = {
        {"revoke", 0, FLAG_BOOL, &revoke, NULL, "take the grant back, as it is listed"}, {0}};
    struct strv words = {0};
    struct api_call call = {.path = "/api/v1/secret-grants"};
    char *path = NULL, *done = NULL, *pipeline, *glob;
    int rc = cli_args(cli, self, argc, argv, flags, &words, 2, 2);

    if (rc != 0) {
        strv_release(&words);
        return rc > 0 ? EXIT_DONE : EXIT_USAGE;
    }
    pipeline = api_segment(words.items[0]);
    glob = api_segment(words.items[1]);
    if (revoke) {
        path = mem_printf("/api/v1/secret-grants?pipeline=%s&path=%s", pipeline, glob);
        call.method = "DELETE";
        call.path = path;
    } else {
        call.method = "POST";
        call.json = json_pack("{s:s, s:s}", "pipeline", words.items[0], "path", words.items[1]);
    }
    done = mem_printf(revoke ? "%s may no longer read %s by this grant" : "%s may read %s",
                      words.items[0], words.items[1]);
    rc = send_plain(cli, &call, done);
    free(done);
    free(path);
    free(pipeline);
    free(glob);
    strv_release(&words);
    return rc;
}

int cmd_secret_rotate(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("secret rotate");
    struct api_call call = {.method = "POST", .path = "/api/v1/secrets/rotate"};
    struct strv words = {0};
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 0, 0);

    if (rc != 0)
        return rc > 0 ? EXIT_DONE : EXIT_USAGE;
    return send_plain(cli, &call, "rotated: every value's key is sealed anew");
}
