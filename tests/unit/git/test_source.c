/* Checkouts with submodules, with what Git LFS keeps, with a .git, and of a part of the history. */
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "git/source.h"
#include "repo.h"

struct scene {
    struct fixture *f;
    struct git_cache *cache;
    struct git_source_opts opts;
};

static int begin(void **state)
{
    if (setup(state) != 0)
        return -1;
    struct scene *s = mem_alloc(sizeof(*s));
    s->f = *state;
    char *dir = mem_printf("%s/state/cache", s->f->dir);
    s->cache = git_cache_new(s->f->loop, dir);
    free(dir);
    *state = s;
    return 0;
}

static int end(void **state)
{
    struct scene *s = *state;
    void *fixture = s->f;

    git_cache_free(s->cache);
    free(s);
    return teardown(&fixture);
}

/* Checks a commit out into <dir>/<name>, as the scene's options say, and waits for it. */
static void source(struct scene *s, const char *commit, const char *name)
{
    struct fixture *f = s->f;
    struct git_source *source;
    char path[256];

    snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    assert_int_equal(file_mkdirs(path, 0755, NULL), 0);
    s->opts.remote = f->remote;
    s->opts.commit = commit;
    s->opts.dir = path;
    s->opts.done = on_update;
    s->opts.arg = f;
    assert_int_equal(git_source_checkout(&source, s->cache, &s->opts, &f->err), 0);
    wait_answer(f);
}

static void fails(struct scene *s, enum err_code code, const char *const *words)
{
    assert_err(s->f, code);
    for (; *words; words++) {
        if (!strstr(s->f->err.msg, *words))
            fail_msg("no '%s' in: %s", *words, s->f->err.msg);
    }
}
#define FAILS(s, code, ...) fails(s, code, (const char *const[]){__VA_ARGS__, NULL})

/* Makes <dir>/<name>, a repository with a file of its name. */
static void repository(struct fixture *f, const char *name)
{
    sh(f,
       "mkdir ../%s; cd ../%s; git init -q -b main; echo %s >%s; git add -A; git commit -q -m %s",
       name, name, name, name, name);
}

#define ADD "git -c protocol.file.allow=always submodule --quiet add "

/* ---- submodules ---- */

static void submodules_come_with_theirs_as_git_brings_them(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;

    repository(f, "inner");
    repository(f, "lib");
    sh(f, "cd ../lib; " ADD "../inner deep/inner; git commit -q -m inner");
    const char *head = sh_line(f,
                               ADD "../lib vendor/lib; " ADD "-- file://%s/inner 'a b'; git commit "
                                   "-q -m libs; git rev-parse main",
                               f->dir);
    s->opts.submodules = true;
    source(s, head, "out");
    assert_ok(f);
    sh(f, "cd ..; git -c protocol.file.allow=always clone -q --recurse-submodules remote wanted; "
          "diff -r -x .git wanted out; test -e out/vendor/lib/deep/inner/inner; "
          "test -z \"$(find out -name .git)\"");
}

static void a_submodule_that_nobody_asked_for_is_an_empty_folder(void **state)
{
    struct scene *s = *state;

    repository(s->f, "lib");
    source(s, sh_line(s->f, ADD "../lib lib; git commit -q -m lib; git rev-parse main"), "out");
    assert_ok(s->f);
    assert_string_equal(sh_line(s->f, "ls -A ../out/lib | wc -l"), "0");
}

static void a_submodule_is_checked_out_at_the_commit_that_its_parent_names(void **state)
{
    struct scene *s = *state;

    repository(s->f, "lib");
    const char *head = sh_line(s->f, ADD "../lib lib; git commit -q -m lib; git rev-parse main");
    sh(s->f, "cd ../lib; echo newer >lib; git commit -qam newer");
    s->opts.submodules = true;
    source(s, head, "out");
    assert_ok(s->f);
    assert_string_equal(sh_line(s->f, "cat ../out/lib/lib"), "lib");
}

static void a_submodule_that_is_not_to_be_updated_stays_empty(void **state)
{
    struct scene *s = *state;

    repository(s->f, "lib");
    s->opts.submodules = true;
    source(s,
           sh_line(s->f, ADD "../lib lib; git config -f .gitmodules submodule.lib.update none; "
                             "git commit -qam lib; git rev-parse main"),
           "out");
    assert_ok(s->f);
    assert_string_equal(sh_line(s->f, "ls -A ../out/lib | wc -l"), "0");
}

static void the_second_checkout_asks_nobody(void **state)
{
    struct scene *s = *state;

    repository(s->f, "lib");
    const char *head = sh_line(s->f, ADD "../lib lib; git commit -q -m lib; git rev-parse main");
    s->opts.submodules = s->opts.clone = true;
    source(s, head, "one");
    assert_ok(s->f);
    sh(s->f, "cd ..; mkdir gone; mv remote lib gone");
    source(s, head, "two");
    assert_ok(s->f);
    sh(s->f, "diff -r -x .git ../one ../two");
}

/* A commit with this .gitmodules, a submodule at each of `paths`, and whatever else `script` adds.
 */
static const char *crafted(struct fixture *f, const char *modules, const char *paths,
                           const char *script)
{
    return sh_line(f,
                   "git rm -q -r --cached . >/dev/null; rm -f .gitmodules; printf '%s' "
                   ">.gitmodules; git add .gitmodules; for p in %s; do git update-index --add "
                   "--cacheinfo 160000,$(git rev-parse HEAD),$p; done; %s; git commit -q -m evil; "
                   "git rev-parse HEAD",
                   modules, paths, script);
}

static void a_hostile_submodule_is_refused_by_name(void **state)
{
    static const struct {
        const char *modules, *paths, *script;
        const char *words[3];
    } cases[] = {
        {"[submodule \"evil\"]\\npath=x\\nurl=ext::sh -c touch pwned", "x", ":", {"evil", "blank"}},
        {"[submodule \"evil\"]\\npath=x\\nurl=ext::sh", "x", ":", {"evil", "https, ssh, git"}},
        {"[submodule \"evil\"]\\npath=x\\nurl=fd::17", "x", ":", {"evil", "https, ssh, git"}},
        {"[submodule \"evil\"]\\npath=x\\nurl=-u./payload", "x", ":", {"evil", "dash"}},
        {"[submodule \"evil\"]\\npath=x\\nurl=ssh://-oProxyCommand=x/y",
         "x",
         ":",
         {"evil", "host"}},
        {"[submodule \"evil\"]\\npath=x\\nurl=https://u:secret@h/y",
         "x",
         ":",
         {"evil", "password"}},
        {"[submodule \"evil\"]\\npath=x\\nurl=local", "x", ":", {"evil", "https, ssh, git"}},
        {"[submodule \"evil\"]\\npath=-x\\nurl=./y", "x", ":", {"evil", "'-x'", "dash"}},
        {"[submodule \"evil\"]\\npath=../x\\nurl=./y", "x", ":", {"evil", "'../x'", "leads out"}},
        {"[submodule \"evil\"]\\npath=a/../../x\\nurl=./y", "x", ":", {"evil", "leads out"}},
        {"[submodule \"evil\"]\\npath=/x\\nurl=./y", "x", ":", {"evil", "'/x'", "leads out"}},
        {"[submodule \"evil\"]\\npath=link/x\\nurl=./y",
         "x",
         "ln -s /tmp link; git add link",
         {"evil", "link/x", "symbolic link"}},
        {"[submodule \"evil\"]\\npath=x\\nurl=./y\\nbranch=--upload-pack=x",
         "x",
         ":",
         {"evil", "branch", "dash"}},
        {"[submodule \"evil\"]\\npath=x\\nurl=./y\\nupdate=!touch pwned",
         "x",
         ":",
         {"evil", "command"}},
        {"[submodule \"../../hooks\"]\\npath=x\\nurl=./y", "x", ":", {"../../hooks", "leads out"}},
        {"[submodule \"-x\"]\\npath=x\\nurl=./y", "x", ":", {"'-x'", "dash"}},
        {"[submodule \"evil\"]\\npath=x\\n", "x", ":", {"'x'", "no url"}},
        {"[submodule \"evil\"]\\npath=y\\nurl=./y", "x", ":", {"'x'", "no url"}},
        {"[submodule \"evil\"\\n", "x", ":", {".gitmodules", "cannot be read"}},
        {"", "x", "git rm -q --cached .gitmodules", {"'x'", "no file .gitmodules"}},
        {"",
         "x",
         "rm .gitmodules; ln -s /etc/passwd .gitmodules; git add .gitmodules",
         {".gitmodules", "no file"}},
    };
    struct scene *s = *state;
    char dir[32];

    s->opts.submodules = true;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(dir, sizeof(dir), "evil%zu", i);
        source(s, crafted(s->f, cases[i].modules, cases[i].paths, cases[i].script), dir);
        assert_err(s->f, ERR_INVALID);
        for (size_t w = 0; w < 3 && cases[i].words[w]; w++) {
            if (!strstr(s->f->err.msg, cases[i].words[w]))
                fail_msg("case %zu lacks '%s': %s", i, cases[i].words[w], s->f->err.msg);
        }
    }
    sh(s->f, "test ! -e /pwned; test -z \"$(find .. -name pwned)\"");
}

static void a_submodule_among_the_mirrors_is_refused(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;
    char modules[512];

    source(s, sh_line(f, "git rev-parse HEAD"), "out");
    assert_ok(f);
    snprintf(modules, sizeof(modules), "[submodule \"evil\"]\\npath=x\\nurl=%s",
             sh_line(f, "ls -d %s/state/cache/*/*.git", f->dir));
    s->opts.submodules = true;
    source(s, crafted(f, modules, "x", ":"), "evil");
    FAILS(s, ERR_INVALID, "evil", "builder's own");
    snprintf(modules, sizeof(modules), "[submodule \"evil\"]\\npath=x\\nurl=../remote/../%s",
             sh_line(f, "cd ..; ls -d state/cache/*/*.git"));
    source(s, crafted(f, modules, "x", ":"), "again");
    FAILS(s, ERR_INVALID, "evil", "builder's own");
}

static void a_file_is_no_submodule_of_what_came_over_the_network(void **state)
{
    struct scene *s = *state;
    struct server server;

    server_start(&server, s->f, "ann:x", NULL);
    s->f->remote.secret = "ann:x";
    s->f->remote.secret_len = 5;
    s->opts.credentials = "git/token";
    s->opts.submodules = true;
    source(s, crafted(s->f, "[submodule \"evil\"]\\npath=x\\nurl=file:///srv/other", "x", ":"),
           "out");
    FAILS(s, ERR_INVALID, "evil", "file of this machine");
    source(s, crafted(s->f, "[submodule \"evil\"]\\npath=x\\nurl=../../../../x/y", "x", ":"),
           "out2");
    FAILS(s, ERR_INVALID, "evil", "leads out");
    server_stop(&server);
}

static void a_secret_goes_to_its_own_server_alone(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;
    struct server other, own;
    char modules[256];

    repository(f, "lib");
    const char *lib = sh_line(f, "cd ../lib; git rev-parse HEAD");
    server_start(&other, f, "ann:x", NULL);
    server_start(&own, f, "ann:x", NULL);
    f->remote.secret = "ann:x";
    f->remote.secret_len = 5;
    s->opts.credentials = "git/token";
    s->opts.submodules = true;
    source(s,
           sh_line(f,
                   "printf '[submodule \"lib\"]\\npath=lib\\nurl=../lib' >.gitmodules; git add "
                   ".gitmodules; git update-index --add --cacheinfo 160000,%s,lib; git commit -q "
                   "-m lib; git rev-parse HEAD",
                   lib),
           "own");
    assert_ok(f);
    assert_string_equal(sh_line(f, "cat ../own/lib/lib"), "lib");
    snprintf(modules, sizeof(modules), "[submodule \"lib\"]\\npath=lib\\nurl=%.*slib",
             (int)(strlen(other.url) - strlen("remote")), other.url);
    source(s, crafted(f, modules, "lib", ":"), "other");
    FAILS(s, ERR_DENIED, "submodule 'lib'");
    server_stop(&own);
    server_stop(&other);
}

static void submodules_have_a_limit_in_number_and_in_depth(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;

    repository(f, "lib");
    const char *lib = sh_line(f, "cd ../lib; git rev-parse HEAD");
    const char *many =
        sh_line(f,
                "for i in $(seq 51); do printf '[submodule \"m%%d\"]\\npath=m%%d\\nurl=../lib\\n' "
                "$i $i >>.gitmodules; git update-index --add --cacheinfo 160000,%s,m$i; done; git "
                "add .gitmodules; git commit -q -m many; git rev-parse HEAD",
                lib);
    s->opts.submodules = true;
    source(s, many, "many");
    FAILS(s, ERR_LIMIT, "more than 50");
    /* Each commit has the one before it as its submodule. */
    sh(f,
       "git rm -q -r --cached .; printf '[submodule \"me\"]\\npath=me\\nurl=./' >.gitmodules; git "
       "add .gitmodules; git commit -q -m 0; for i in 1 2 3 4 5 6; do git update-index --add "
       "--cacheinfo 160000,$(git rev-parse HEAD),me; git commit -q -m $i; done; git tag six; git "
       "tag "
       "five HEAD~1");
    source(s, sh_line(f, "git rev-parse five"), "deep");
    assert_ok(f);
    sh(f, "test -e ../deep/me/me/me/me/me/.gitmodules");
    source(s, sh_line(f, "git rev-parse six"), "deeper");
    FAILS(s, ERR_LIMIT, "nested deeper than 5");
}

/* ---- a .git ---- */

static void a_clone_has_a_git_of_its_own(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;
    const char *old = sh_line(f, "git tag -a -m one v1; echo two >file; git commit -qam two; git "
                                 "branch side; echo three >file; git commit -qam three; git "
                                 "rev-parse HEAD~1");

    s->opts.clone = true;
    source(s, old, "out");
    assert_ok(f);
    assert_string_equal(sh_line(f, "git -C ../out rev-parse HEAD"), old);
    assert_string_equal(sh_line(f, "git -C ../out describe --dirty | cut -d- -f1,2"), "v1-1");
    assert_string_equal(sh_line(f, "git -C ../out status --porcelain | wc -l"), "0");
    assert_string_equal(sh_line(f, "git -C ../out branch -r | tr -d ' \\n'"),
                        "origin/mainorigin/side");
    assert_string_equal(sh_line(f, "git -C ../out config remote.origin.url"), f->url);
    sh(f, "cd ../out/.git; test ! -e objects/info/alternates; test -z \"$(find . -type f -links "
          "+1)\"; ! grep -r state/cache .; test -z \"$(ls hooks 2>/dev/null)\"");
}

static void a_shallow_clone_goes_back_as_far_as_it_says(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;
    const char *head = sh_line(f, "for i in $(seq 9); do echo $i >file; git commit -qam $i; done; "
                                  "git rev-parse HEAD~1");

    s->opts.clone = true;
    s->opts.depth = 3;
    source(s, head, "out");
    assert_ok(f);
    assert_string_equal(sh_line(f, "git -C ../out rev-list --count HEAD"), "3");
    assert_string_equal(sh_line(f, "git -C ../out status --porcelain | wc -l"), "0");
    assert_string_equal(sh_line(f, "cat ../out/file"), "8");
}

/* ---- depth ---- */

#define COMMITS "git --git-dir=$(ls -d %s/state/cache/*/*.git) rev-list --all --count"

static void of_a_deep_history_only_a_part_is_fetched(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;
    const char *head = sh_line(
        f, "for i in $(seq 20); do git commit -q --allow-empty -m $i; done; git rev-parse HEAD~5");

    s->opts.depth = 2;
    source(s, head, "one");
    assert_ok(f);
    assert_string_equal(sh_line(f, COMMITS, f->dir), "2");
    source(s, sh_line(f, "git rev-parse HEAD~15"), "two");
    assert_ok(f);
    assert_string_equal(sh_line(f, COMMITS, f->dir), "4");
    assert_string_equal(sh_line(f, "cat ../two/file"), "one");
}

static void where_no_commit_is_given_by_name_all_is_fetched(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;
    struct server server;
    const char *head = sh_line(
        f, "for i in $(seq 20); do git commit -q --allow-empty -m $i; done; git rev-parse HEAD~5");

    server_start(&server, f, "ann:x", "old");
    f->remote.secret = "ann:x";
    f->remote.secret_len = 5;
    s->opts.credentials = "git/token";
    s->opts.depth = 2;
    source(s, head, "one");
    server_stop(&server);
    assert_ok(f);
    assert_string_equal(sh_line(f, COMMITS, f->dir), "21");
    assert_string_equal(sh_line(f, "cat ../one/file"), "one");
}

/* ---- Git LFS ---- */

/* Commits a pointer to `content` at `path`, and keeps that where git-lfs does. */
static void keep(struct fixture *f, const char *path, const char *content)
{
    sh(f,
       "oid=$(printf '%s' | sha256sum | cut -c1-64); d=.git/lfs/objects/$(echo $oid | cut -c1-2)/"
       "$(echo $oid | cut -c3-4); mkdir -p $d $(dirname %s); printf '%s' >$d/$oid; printf 'version "
       "https://git-lfs.github.com/spec/v1\\noid sha256:%%s\\nsize %%d\\n' $oid $(printf '%s' | wc "
       "-c) >%s; echo '* filter=lfs' >.gitattributes; git -c filter.lfs.clean=cat add -A; git -c "
       "filter.lfs.clean=cat commit -q -m %s",
       content, path, content, content, path, path);
}

static void files_take_the_place_of_their_pointers(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;

    keep(f, "large", "a large file");
    sh(f, "chmod +x large; git -c filter.lfs.clean=cat commit -qam run");
    keep(f, "deep/er/other", "another");
    char *head = mem_strdup(sh_line(f, "cp large copy; git -c filter.lfs.clean=cat add -A; git -c "
                                       "filter.lfs.clean=cat commit -q -m c; git rev-parse HEAD"));
    source(s, head, "pointers");
    assert_ok(f);
    sh(f, "diff large ../pointers/large");
    s->opts.lfs = true;
    source(s, head, "out");
    assert_ok(f);
    assert_string_equal(sh_line(f, "cat ../out/large"), "a large file");
    assert_string_equal(sh_line(f, "cat ../out/copy"), "a large file");
    assert_string_equal(sh_line(f, "cat ../out/deep/er/other"), "another");
    assert_string_equal(sh_line(f, "stat -c %%a ../out/large ../out/deep/er/other | tr '\\n' ' '"),
                        "755 644 ");
    assert_string_equal(sh_line(f, "cat ../out/file"), "one");
    sh(f, "mv ../remote ../gone");
    source(s, head, "again");
    assert_ok(f);
    sh(f,
       "diff -r ../out ../again; test -z \"$(ls -d %s/state/cache/*/*.git/lfs/view-* "
       "2>/dev/null)\"",
       f->dir);
    free(head);
}

static void a_server_of_objects_is_asked_with_the_secret(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;
    struct server server;

    keep(f, "large", "a large file");
    server_start(&server, f, "ann:pass:word", NULL);
    f->remote.secret = "ann:pass:word";
    f->remote.secret_len = strlen(f->remote.secret);
    s->opts.credentials = "git/token";
    s->opts.lfs = true;
    source(s, sh_line(f, "git rev-parse HEAD"), "out");
    server_stop(&server);
    assert_ok(f);
    assert_string_equal(sh_line(f, "cat ../out/large"), "a large file");
    sh(f, "! grep -r pass:word %s/state/cache", f->dir);
}

static void an_object_that_never_ends_is_cut_off(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;
    struct server server;

    keep(f, "large", "a large file");
    server_start(&server, f, "ann:x", "endless");
    f->remote.secret = "ann:x";
    f->remote.secret_len = 5;
    s->opts.credentials = "git/token";
    s->opts.lfs = true;
    source(s, sh_line(f, "git rev-parse HEAD"), "out");
    server_stop(&server);
    assert_true(f->failed);
    assert_string_equal(sh_line(f, "find %s/state/cache -size +1M | wc -l", f->dir), "0");
}

static void an_object_that_is_another_is_refused(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;

    keep(f, "large", "a large file");
    sh(f, "for o in $(find .git/lfs/objects -type f); do printf 'A large file' >$o; done");
    s->opts.lfs = true;
    source(s, sh_line(f, "git rev-parse HEAD"), "out");
    assert_true(f->failed);
    assert_string_equal(sh_line(f, "grep -rl 'A large' ../out %s/state/cache | wc -l", f->dir),
                        "0");
}

static void an_object_that_nobody_has_fails_the_checkout(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;

    keep(f, "large", "a large file");
    sh(f, "rm -r .git/lfs");
    s->opts.lfs = true;
    source(s, sh_line(f, "git rev-parse HEAD"), "out");
    FAILS(s, f->err.code, "lfs");
}

static void the_commits_own_lfsconfig_counts_but_reaches_no_file_of_the_builder(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;

    keep(f, "large", "a large file");
    keep(f, "film", "a film");
    const char *without = sh_line(
        f, "git config -f .lfsconfig lfs.fetchexclude film; git add .lfsconfig; git commit -q -m "
           "without; git rev-parse HEAD");
    s->opts.lfs = true;
    source(s, without, "out");
    assert_ok(f);
    assert_string_equal(sh_line(f, "cat ../out/large"), "a large file");
    sh(f, "diff film ../out/film");
    const char *evil = sh_line(f,
                               "git config -f .lfsconfig lfs.url file://%s/state/cache; git commit "
                               "-qam evil; git rev-parse HEAD",
                               f->dir);
    source(s, evil, "evil");
    FAILS(s, ERR_INVALID, "lfsconfig", "builder's own");
}

static void submodules_have_files_in_lfs_too(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;

    repository(f, "lib");
    sh(f, "mv ../remote ../saved; mv ../lib ../remote");
    keep(f, "large", "of the library");
    sh(f, "mv ../remote ../lib; mv ../saved ../remote");
    s->opts.submodules = s->opts.lfs = true;
    source(s, sh_line(f, ADD "../lib lib; git commit -q -m lib; git rev-parse HEAD"), "out");
    assert_ok(f);
    assert_string_equal(sh_line(f, "cat ../out/lib/large"), "of the library");
}

/* ---- ends ---- */

static void a_source_that_is_dropped_tells_nobody(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;
    const char *head = sh_line(f, "git rev-parse HEAD");
    char dir[256];

    keep(f, "large", "a large file");
    for (int ms = 0; ms < 200; ms += 10) {
        struct git_source *source;
        snprintf(dir, sizeof(dir), "%s/out%d", f->dir, ms);
        assert_int_equal(file_mkdirs(dir, 0755, NULL), 0);
        s->opts = (struct git_source_opts){.remote = f->remote,
                                           .commit = head,
                                           .dir = dir,
                                           .clone = true,
                                           .lfs = true,
                                           .done = on_update,
                                           .arg = f};
        f->answered = false;
        assert_int_equal(git_source_checkout(&source, s->cache, &s->opts, NULL), 0);
        loop_run_for(f->loop, ms, &f->answered);
        if (!f->answered)
            git_source_drop(source);
        f->answered = false;
        loop_run_for(f->loop, 20, NULL);
        assert_false(f->answered);
    }
}

static void a_source_that_is_cancelled_writes_no_more_or_says_when(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;
    char dir[256];
    int ends[2] = {0};

    keep(f, "large", "a large file");
    char *head = mem_strdup(sh_line(f, "git rev-parse HEAD"));
    for (int ms = 0; ms < 200; ms += 10) {
        struct git_source *source;
        snprintf(dir, sizeof(dir), "%s/out%d", f->dir, ms);
        assert_int_equal(file_mkdirs(dir, 0755, NULL), 0);
        s->opts = (struct git_source_opts){.remote = f->remote,
                                           .commit = head,
                                           .dir = dir,
                                           .clone = true,
                                           .lfs = true,
                                           .done = on_update,
                                           .arg = f};
        f->answered = false;
        assert_int_equal(git_source_checkout(&source, s->cache, &s->opts, NULL), 0);
        loop_run_for(f->loop, ms, &f->answered);
        if (f->answered)
            continue;
        const bool ended = git_source_cancel(source);
        ends[ended]++;
        if (ended) {
            sh(f, "find %s >../before", dir);
            loop_run_for(f->loop, 20, NULL);
            assert_false(f->answered);
            sh(f, "find %s | diff ../before -", dir);
        } else {
            wait_answer(f);
            assert_true(f->failed);
        }
    }
    f->answered = false;
    assert_true(ends[true] > 0); /* at 0 ms nothing has begun */
    free(head);
}

static void a_cache_that_is_freed_in_the_middle_tells_nobody(void **state)
{
    struct scene *s = *state;
    struct fixture *f = s->f;
    struct git_source *source;
    char dir[256];

    snprintf(dir, sizeof(dir), "%s/out", f->dir);
    assert_int_equal(file_mkdirs(dir, 0755, NULL), 0);
    s->opts = (struct git_source_opts){.remote = f->remote,
                                       .commit = sh_line(f, "git rev-parse HEAD"),
                                       .dir = dir,
                                       .done = on_update,
                                       .arg = f};
    assert_int_equal(git_source_checkout(&source, s->cache, &s->opts, NULL), 0);
    loop_run_for(f->loop, 5, NULL);
    git_cache_free(s->cache);
    s->cache = NULL;
    f->answered = false;
    loop_run_for(f->loop, 300, NULL);
    assert_false(f->answered);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(submodules_come_with_theirs_as_git_brings_them),
        TEST(a_submodule_that_nobody_asked_for_is_an_empty_folder),
        TEST(a_submodule_is_checked_out_at_the_commit_that_its_parent_names),
        TEST(a_submodule_that_is_not_to_be_updated_stays_empty),
        TEST(the_second_checkout_asks_nobody),
        TEST(a_hostile_submodule_is_refused_by_name),
        TEST(a_submodule_among_the_mirrors_is_refused),
        TEST(a_file_is_no_submodule_of_what_came_over_the_network),
        TEST(a_secret_goes_to_its_own_server_alone),
        TEST(submodules_have_a_limit_in_number_and_in_depth),
        TEST(a_clone_has_a_git_of_its_own),
        TEST(a_shallow_clone_goes_back_as_far_as_it_says),
        TEST(of_a_deep_history_only_a_part_is_fetched),
        TEST(where_no_commit_is_given_by_name_all_is_fetched),
        TEST(files_take_the_place_of_their_pointers),
        TEST(a_server_of_objects_is_asked_with_the_secret),
        TEST(an_object_that_never_ends_is_cut_off),
        TEST(an_object_that_is_another_is_refused),
        TEST(an_object_that_nobody_has_fails_the_checkout),
        TEST(the_commits_own_lfsconfig_counts_but_reaches_no_file_of_the_builder),
        TEST(submodules_have_files_in_lfs_too),
        TEST(a_source_that_is_dropped_tells_nobody),
        TEST(a_source_that_is_cancelled_writes_no_more_or_says_when),
        TEST(a_cache_that_is_freed_in_the_middle_tells_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
