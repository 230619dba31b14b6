/* What this is and who asks. */
#include <jansson.h>
#include <string.h>

#include "base/str.h"
#include "services/console/console.h"
#include "services/console/page.h"

void rest_version(struct call *call)
{
    const struct console *console = call->console;
    json_t *json = json_pack("{s:s, s:s, s:b}", "name", "gantry", "version", GANTRY_VERSION,
                             "anonymousRead", console->conf.anonymous_read);

    if (!str_empty(console->svc->conf.approver_url))
        json_object_set_new(json, "approverUrl", json_string(console->svc->conf.approver_url));
    if (!str_empty(console->svc->conf.console_url))
        json_object_set_new(json, "consoleUrl", json_string(console->svc->conf.console_url));
    http_reply_json(call->req, 200, json);
}

void rest_whoami(struct call *call)
{
    static const struct {
        enum auth_role role;
        const char *name;
    } roles[] = {{AUTH_VIEWER, "viewer"},
                 {AUTH_DEVELOPER, "developer"},
                 {AUTH_APPROVER, "approver"},
                 {AUTH_OPERATOR, "operator"},
                 {AUTH_ADMIN, "admin"}};
    const struct auth_person *person = &call->person;
    json_t *names = json_array(), *groups = json_array();

    /* With what they imply, so that the page knows which buttons to show. */
    for (size_t i = 0; i < sizeof(roles) / sizeof(*roles); i++) {
        if (auth_may(person, roles[i].role))
            json_array_append_new(names, json_string(roles[i].name));
    }
    for (size_t i = 0; i < person->groups.count; i++)
        json_array_append_new(groups, json_string(person->groups.items[i]));
    http_reply_json(call->req, 200,
                    json_pack("{s:s, s:s, s:s, s:b, s:o, s:o}", "subject", person->subject, "name",
                              person->name, "email", person->email, "anonymous",
                              str_empty(person->subject), "roles", names, "groups", groups));
}

void rest_openapi(struct call *call)
{
    page_reply(call->req, page_file("/api/v1/openapi.json"));
}
