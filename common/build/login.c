/* env.git-credential-helper: git in the commands is told the login that the source was fetched
 * with, by its own server alone. It is in the commands' environment as values of secrets are, and
 * hidden as those are (secrets.c). */
#include "base/mem.h"
#include "build/internal.h"

#define USER     "GANTRY_GIT_USER"
#define PASSWORD "GANTRY_GIT_PASSWORD"
#define HELPER                                                                                     \
    "!f() { test \"$1\" = get && printf 'username=%s\\npassword=%s\\n' \"$" USER "\" \"$" PASSWORD \
    "\"; }; f"

int login_get(struct build *build, struct err *err)
{
    struct build_sources *sources = build->env->sources;
    struct err none = {0};
    if (!build->spec->git_credentials)
        return 0;
    if (!sources)
        err_set(&none, ERR_NOT_FOUND, "the source is a folder of this machine");
    else if (checkout_login(sources, build->revision, &build->login, &none) == 0)
        return 0;
    if (none.code == ERR_CONFLICT)
        return err_set(err, ERR_INVALID,
                       "env.git-credential-helper: %s, which is not given to the commands: give "
                       "the source an https address and a token, or take the helper out",
                       none.msg);
    if (none.code != ERR_NOT_FOUND)
        return err_set(err, ERR_INVALID, "env.git-credential-helper: %s", none.msg);
    build_mark(build, "env.git-credential-helper: %s: git in the commands has none", none.msg);
    return 0;
}

void login_variables(const struct build *build, struct strv *env)
{
    const struct git_login *login = &build->login;
    if (!login->server)
        return;
    strv_addf(env, USER "=%s", login->user);
    strv_addf(env, PASSWORD "=%s", login->password);
    strv_add(env, "GIT_CONFIG_COUNT=1");
    strv_addf(env, "GIT_CONFIG_KEY_0=credential.%s.helper", login->server);
    strv_add(env, "GIT_CONFIG_VALUE_0=" HELPER);
}

bool login_is_variable(const char *name)
{
    return str_eq(name, USER) || str_eq(name, PASSWORD);
}
