/* What CodeBuild's images have beside the usual programs, for /bin/sh and GNU's tools. */
#include "build/internal.h"

/* "Amazon S3 caching" and "Use the codebuild-tests-run CLI command" of CodeBuild's guide. Patterns
 * are those of a buildspec: `**` and a slash are any number of folders. */
#define FIND                                                                                       \
    "[ $# -gt 0 ] || { echo \"usage: ${0##*/} PATTERN...\" >&2; exit 2; }\n"                       \
    "cd \"${CODEBUILD_SRC_DIR:-.}\" || exit 1\n"                                                   \
    "wanted=$(for p; do printf '%s\\n' \"${p#./}\"; done | sed -e 's/[.+(){}|^$]/\\\\&/g'"         \
    " -e 's,\\*\\*/,\\x01,g' -e 's,\\*\\*,\\x02,g' -e 's,\\*,[^/]*,g' -e 's,?,[^/],g'"             \
    " -e 's,\\[!,[^,g' -e 's,\\x01,(.*/)?,g' -e 's,\\x02,.*,g' -e 's,^,^,' -e 's,$,$,')\n"         \
    "found=$(find . -name .git -prune -o -type f -print | sed 's,^\\./,,' |"                       \
    " LC_ALL=C grep -E \"$wanted\" | LC_ALL=C sort)\n"                                             \
    "[ \"$found\" ] || { echo \"${0##*/}: no file matches $*\" >&2; exit 1; }\n"

static const char hash_files[] =
    "#!/bin/sh\n"
    "# One SHA-256 over the names and bytes of the files of the source that match.\n" FIND
    "hashes=$(printf '%s\\n' \"$found\" | xargs -d '\\n' sha256sum --) || exit 1\n"
    "printf '%s\\n' \"$hashes\" | sha256sum | cut -c 1-64\n";

static const char glob_search[] =
    "#!/bin/sh\n"
    "# The files of the source that match, a line each.\n" FIND "printf '%s\\n' \"$found\"\n";

const struct build_tool build_tools[] = {
    {"codebuild-hash-files", hash_files}, {"codebuild-glob-search", glob_search}, {NULL, NULL}};
