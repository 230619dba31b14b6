/* DESIGN: Gantry installs no runtime, so what install.runtime-versions asks for is compared with
 * what the place has, by one more text for the shell, in a subshell: only there is known which
 * programs the commands find, whatever the driver is. It writes to the log, and its status counts
 * for nothing. */
#include <string.h>

#include "base/buf.h"
#include "base/id.h"
#include "base/mem.h"
#include "build/internal.h"

#define TEXT_MAX (1024 * 1024)

/* The versions that are here, a line each. */
static const char here[] =
    "here() {\n"
    "case $1 in\n"
    "android) ls \"${ANDROID_HOME:-$ANDROID_SDK_ROOT}/platforms\" | sed -n 's/^android-//p';;\n"
    "docker) docker --version | sed -n 's/.*version \\([0-9][^ ,]*\\).*/\\1/p';;\n"
    "dotnet) dotnet --list-sdks | sed -n 's/^\\([0-9][^ ]*\\).*/\\1/p';;\n"
    "golang) GOTOOLCHAIN=local go version | sed -n 's/.* go\\([0-9][^ ]*\\).*/\\1/p';;\n"
    "java) java -version 2>&1 | sed -n -e 's/\"1\\./\"/' -e 's/.* version "
    "\"\\([^\"]*\\)\".*/\\1/p';;\n"
    "nodejs) node --version | sed -n 's/^v//p';;\n"
    "php) php --version | sed -n 's/^PHP \\([^ ]*\\).*/\\1/p';;\n"
    "python) { python3 --version || python --version; } 2>&1 | sed -n 's/^Python //p';;\n"
    "ruby) ruby --version | sed -n 's/^ruby \\([^ ]*\\).*/\\1/p';;\n"
    "esac\n"
    "}\n";

/* $asked of the runtime $1. 18.x and corretto17 are 18 and 17, of which 17.0.9 is one. */
static const char tell[] =
    "tell() {\n"
    "found=$(here \"$1\" 2>/dev/null)\n"
    "number=${asked%%.[xX]*}\n"
    "number=${number#\"${number%%[0-9]*}\"}\n"
    "fits=\n"
    "for one in $found; do\n"
    "[ \"$asked\" != latest ] || fits=$one\n"
    "case $one in \"$number\"|\"$number\"[!0-9]*) fits=$one;; esac\n"
    "done\n"
    "what=\"$where.$1: $asked is asked for, and\"\n"
    "if [ \"$fits\" ]; then what=\"Runtime $1 $asked: $fits\"\n"
    "elif [ \"$found\" ]; then what=\"$what the build uses what is here: $(echo $found)\"\n"
    "else what=\"$what there is none here: Gantry installs no runtimes\"\n"
    "fi\n"
    "printf '%s\\n' \"$what\"\n"
    "}\n";

static void add_text(struct buf *out, const char *name, const char *text)
{
    char id[ID_SIZE];
    id_random(id);
    buf_addf(out, "IFS= read -r %s <<'GANTRY_%s'\n%s\nGANTRY_%s\n", name, id, text, id);
}

/* A version can be a variable: $NAME or ${NAME}. */
static void add_version(struct buf *out, const char *text)
{
    char *name = mem_strdup(str_starts(text, "$") ? text + 1 : "");
    size_t len = strlen(name);
    if (len > 2 && name[0] == '{' && name[len - 1] == '}') {
        name[len - 1] = '\0';
        memmove(name, name + 1, len - 1);
    }
    if (buildspec_is_variable(name))
        buf_addf(out, "asked=$%s\n", name);
    else
        add_text(out, "asked", text);
    free(name);
}

void runtimes_prepare(struct build *build)
{
    const struct buildspec *spec = build->spec;
    struct buf out;
    if (!spec->runtime_count)
        return;
    buf_init(&out, TEXT_MAX);
    buf_addf(&out, "(\n%s%s", here, tell);
    char *where = mem_printf("%s:%d: warning: phases.install.runtime-versions",
                             build->request->build->buildspec, spec->runtimes_line);
    add_text(&out, "where", where);
    for (size_t i = 0; i < spec->runtime_count; i++) {
        add_version(&out, spec->runtimes[i].value);
        buf_addf(&out, "tell %s\n", spec->runtimes[i].key);
    }
    buf_adds(&out, ") </dev/null\n");
    build->runtimes = build->texts.count;
    build->runtimes_wanted = true;
    strv_add(&build->texts, buf_cstr(&out));
    strv_add(&build->users, "");
    buf_release(&out);
    free(where);
}

static void on_told(struct build *build, const struct build_exit *result)
{
    const char *why = result->limit ? result->limit : result->failed;
    if (result->err.code != ERR_NONE) {
        build_give_back(build, &result->err);
    } else if (why) {
        build_mark(build, "%s", why);
        build_fail(build, PHASE_INSTALL, why, NULL, result->code);
    } else {
        build->runtimes_next(build);
    }
}

void runtimes_tell(struct build *build, void (*next)(struct build *build))
{
    build->runtimes_next = next;
    build->answered = on_told;
    build->place->ops->run(build->place, build->runtimes, plan_succeeding(&build->plan));
}
