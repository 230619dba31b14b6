/* Files, read and written whole. Blocking: worker threads, or start-up. */
#ifndef GANTRY_BASE_FILE_H
#define GANTRY_BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* Reads a regular file of at most `limit` bytes into *out (initialised here; release it). */
int file_read(struct buf *out, const char *path, size_t limit, struct err *err);
/* Writes beside and renames, so that a reader sees the old or the new; mode as given; fsync of file
 * and folder. */
int file_write(const char *path, const void *data, size_t len, mode_t mode, struct err *err);
int file_mkdirs(const char *path, mode_t mode, struct err *err);
/* Removes a tree without following links; not being there is success. Chmods folders that it must
 * enter. */
int file_remove_tree(const char *path, struct err *err);

#endif
