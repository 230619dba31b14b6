#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "services/cli/cli.h"

static json_t *list_of(const struct strv *items)
{
    json_t *out = json_array();

    for (size_t i = 0; i < items->count; i++)
        json_array_append_new(out, json_string(items->items[i]));
    return out;
}

int cmd_token_create(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("token create");
    struct strv words = {0}, roles = {0}, groups = {0};
    const char *email = "", *person = "", *expires = "";
    const struct cli_flag flags[] = {
        {"role", 'r', FLAG_LIST, &roles, "ROLE",
         "viewer, developer, approver, operator or admin; may be repeated"},
        {"group", 'g', FLAG_LIST, &groups, "GROUP", "a group that approvals name; may be repeated"},
        {"email", 'e', FLAG_STR, &email, "ADDRESS",
         "you vouch that it is theirs: `not: author` compares it"},
        {"person", 'p', FLAG_STR, &person, "NAME", "as shown to others"},
        {"expires", 0, FLAG_STR, &expires, "DURATION",
         "how long it lives, e.g. 90d; for ever otherwise"},
        {0},
    };
    struct api_call call = {.service = API_APPROVER, .method = "POST", .path = "/api/v1/tokens"};
    struct api_reply reply = {0};
    int rc = cli_args(cli, self, argc, argv, flags, &words, 1, 1);

    if (rc == 0 && roles.count == 0) {
        cli_usage_error(self, "a token needs at least one --role");
        rc = -1;
    }
    if (rc != 0) {
        rc = rc > 0 ? EXIT_DONE : EXIT_USAGE;
        goto out;
    }
    call.json = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "name", words.items[0], "person",
                          person, "email", email, "expires", expires, "roles", list_of(&roles),
                          "groups", list_of(&groups));
    rc = api_send(cli, &call, &reply);
    if (rc == 0 && cli->json)
        print_json(reply.json);
    else if (rc == 0)
        printf("%s\n", jstr(reply.json, "token"));
    api_reply_release(&reply);
out:
    strv_release(&words);
    strv_release(&roles);
    strv_release(&groups);
    return rc;
}

static void cell_list(struct table *table, const json_t *items)
{
    struct buf text;
    const json_t *item;
    size_t i;

    buf_init(&text, 4096);
    json_array_foreach(items, i, item)
        buf_addf(&text, "%s%s", i ? ", " : "", json_string_value(item));
    table_cell(table, NULL, "%s", buf_cstr(&text));
    buf_release(&text);
}

int cmd_token_list(struct cli *cli, int argc, char **argv)
{
    static const char *const columns[] = {"NAME",   "PERSON", "E-MAIL", "ROLES",
                                          "GROUPS", "MADE",   NULL};
    const struct cli_command *self = cli_command("token list");
    struct api_call call = {.service = API_APPROVER, .path = "/api/v1/tokens"};
    struct api_reply reply = {0};
    struct strv words = {0};
    struct table *table;
    const json_t *token;
    char made[40];
    size_t i;
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 0, 0);

    if (rc != 0)
        return rc > 0 ? EXIT_DONE : EXIT_USAGE;
    rc = api_send(cli, &call, &reply);
    if (rc != 0 || cli->json) {
        if (rc == 0)
            print_json(reply.json);
        goto out;
    }
    table = table_new(columns);
    json_array_foreach(jget(reply.json, "tokens"), i, token)
    {
        table_cell(table, "strong", "%s", jstr(token, "name"));
        table_cell(table, NULL, "%s", jstr(token, "person"));
        table_cell(table, NULL, "%s", jstr(token, "email"));
        cell_list(table, jget(token, "roles"));
        cell_list(table, jget(token, "groups"));
        table_cell(table, "quiet", "%s", ago(jnum(token, "createdMs"), made));
    }
    table_print(table, cli->color);
out:
    api_reply_release(&reply);
    return rc;
}

int cmd_token_delete(struct cli *cli, int argc, char **argv)
{
    const struct cli_command *self = cli_command("token delete");
    struct api_call call = {.service = API_APPROVER, .method = "DELETE"};
    struct api_reply reply = {0};
    struct strv words = {0};
    char path[256], *name;
    int rc = cli_args(cli, self, argc, argv, NULL, &words, 1, 1);

    if (rc != 0) {
        strv_release(&words);
        return rc > 0 ? EXIT_DONE : EXIT_USAGE;
    }
    name = api_segment(words.items[0]);
    snprintf(path, sizeof path, "/api/v1/tokens/%.200s", name);
    call.path = path;
    rc = api_send(cli, &call, &reply);
    if (rc == 0)
        printf("token %s deleted\n", words.items[0]);
    free(name);
    api_reply_release(&reply);
    strv_release(&words);
    return rc;
}
