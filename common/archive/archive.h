/* Zip archives of what a build left, and what is kept between builds back from one. Blocking:
 * worker threads.
 *
 * A build can have written anything: links that lead out, names that mean another place to a shell,
 * a terminal or Windows, pipes, a folder that is its own parent. Files are opened below the folder
 * that they may be in and nowhere else (openat2(2), RESOLVE_BENEATH), also while somebody still
 * changes it. An archive is not trusted more, whoever says that it made it. Format: APPNOTE.TXT
 * 6.3, by libarchive; entries have UTF-8 names, Unix modes, times in seconds. */
#ifndef GANTRY_ARCHIVE_ARCHIVE_H
#define GANTRY_ARCHIVE_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/sha256.h"
#include "base/str.h"

struct files; /* buildspec/files.h */

#define ARCHIVE_DEPTH_MAX 200  /* folders */
#define ARCHIVE_NAME_MAX  4000 /* bytes of a path */
#define ARCHIVE_NOTES_MAX 20   /* kept of what was left out; the rest is counted */

/* Where what a build sees is on this machine: what it sees below `inside` (absolute; "": where
 * relative paths begin) is the folder `below` of the tree's. A file is not looked for outside of
 * its mount. */
struct archive_mount {
    const char *inside, *below;
};
struct archive_tree {
    const char *dir;                    /* absolute, ours; what is below it is the build's */
    const struct archive_mount *mounts; /* of two that fit, the one with the longer `inside` */
    size_t mount_count;
};

/* What was meant and is not there: "dist/x: a link that leads out of ...". Zero-initialise. */
struct archive_left {
    struct strv notes;
    uint64_t count;
};
void archive_left_release(struct archive_left *left);

/* ---- what is there ---- */

struct archive_found {
    const char *path; /* as files.h has them; UTF-8 without control characters and backslashes */
    const char *name; /* of files_match() */
    int fd;           /* open for reading, a regular file; -1: a link */
    const char *link; /* where it leads: to a path below that of all names; NULL: a file */
    uint64_t size;
    mode_t mode; /* 0777 at most */
    int64_t modified_s;
};
struct archive_walk {
    const struct archive_tree *tree;
    const struct files *files;
    bool keep_links; /* else what they lead to, where that is in the same mount */
    /* By path. -1 with *err ends the walk. */
    int (*each)(const struct archive_found *found, void *arg, struct err *err);
    void *arg;
    const volatile bool *stop; /* true: ends with ERR_CONFLICT; NULL: never */
};
/* Calls `each` for every file that is meant. At most 1,000,000 files and folders are looked at:
 * ERR_LIMIT. That nothing is there is no error. */
int archive_walk(const struct archive_walk *walk, struct archive_left *left, struct err *err);

/* ---- writing ---- */

struct archive_limits {
    uint64_t entries; /* 0: 500,000 */
    uint64_t bytes;   /* of all files, unpacked; 0: 16 GiB */
};

struct archive_item {
    char *name;
    char *link; /* NULL: a file */
    uint64_t size;
    unsigned mode;
    char sha256[SHA256_HEX_SIZE]; /* of the bytes, or of where the link leads */
};
struct archive_packed {
    struct archive_item *items;
    size_t count;
    uint64_t bytes; /* of all files */
    uint64_t size;  /* of the archive */
    char sha256[SHA256_HEX_SIZE];
    struct archive_left left;
};

struct archive_pack {
    const struct archive_tree *tree;
    const struct files *files;
    bool keep_links;
    /* Names are whole paths, src/<relative> and abs/<absolute>, so that archive_unpack() puts files
     * back where they were; else those of files_match(), of which the first counts. */
    bool whole;
    int level; /* of deflate: 1 to 9 */
    struct archive_limits limits;
    const volatile bool *stop; /* as above */
};
/* Writes to the empty file `fd`, which stays the caller's. *out is initialised here; release it
 * also after an error. No file: an empty archive. */
int archive_pack(const struct archive_pack *pack, int fd, struct archive_packed *out,
                 struct err *err);
void archive_packed_release(struct archive_packed *packed);
/* {"sha256", "size", "files": [{"path", "size", "sha256", "mode"} or {"path", "link"}]}; the caller
 * releases. */
int archive_manifest(const struct archive_packed *packed, struct buf *out, struct err *err);

/* ---- reading ---- */

struct archive_unpack {
    const struct archive_tree *tree;
    bool whole; /* as above; else all names are below the mount "" */
    struct archive_limits limits;
    const volatile bool *stop;
};
struct archive_unpacked {
    uint64_t files, bytes;
};
/* Reads the seekable file `fd` from its beginning. What is there is replaced, but for folders.
 * Refused whole (ERR_INVALID, ERR_LIMIT), with what was written before left where it is: names that
 * are absolute, have "..", a backslash or a control character, are no UTF-8 or lie in no mount;
 * links that lead out; writing through a link; anything that is neither file, folder nor link;
 * encrypted entries; a wrong checksum; more than the limits say, whatever the headers do. */
int archive_unpack(const struct archive_unpack *unpack, int fd, struct archive_unpacked *out,
                   struct err *err);

/* ---- whole folders, to a container and back: tar ---- */

/* A folder or file, and what it is called in the archive. */
struct archive_part {
    const char *below; /* of `dir` */
    const char *name;  /* relative */
};
enum archive_skip {
    ARCHIVE_KEEP,
    ARCHIVE_SKIP,    /* it alone: what is in a folder is asked for */
    ARCHIVE_SKIP_ALL /* with all that is in it */
};
struct archive_tar {
    const char *dir; /* absolute, ours; nobody else writes below it meanwhile */
    const struct archive_part *parts;
    size_t part_count;
    /* Of what lies in a part, by its name in the archive; NULL: all is kept. */
    enum archive_skip (*skip)(const char *name, void *arg);
    void *arg;
    struct archive_limits limits;
    const volatile bool *stop;
};
/* Writes all that is there to the empty file `fd`, as root's; parts that are not there are left
 * out. Links are links. *size: of the archive. */
int archive_tar(const struct archive_tar *tar, int fd, uint64_t *size, struct err *err);

struct archive_untar {
    const char *dir; /* absolute, ours; nobody else writes below it meanwhile */
    const char
        *below; /* what the archive's first part becomes: a path below `dir` that is not there
                 */
    struct archive_limits limits;
    const volatile bool *stop;
};
/* Reads the seekable file `fd` from its beginning: one file or folder and what is in it. Links are
 * made as they are, wherever they lead, and never followed; devices, pipes and sockets are left
 * out. What leads out of the folder is refused: ERR_INVALID. */
int archive_untar(const struct archive_untar *untar, int fd, struct archive_unpacked *out,
                  struct err *err);

#endif
