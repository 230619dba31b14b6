/* Files, read and written whole. Blocking: worker threads, or start-up. */
#ifndef GANTRY_BASE_FILE_H
#define GANTRY_BASE_FILE_H

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* Reads a regular file of at most `limit` bytes into *out (initialised here; release it, but after
 * an error there is nothing in it). */
int file_read(struct buf *out, const char *path, size_t limit, struct err *err);
/* The same of a file whose `path` is relative to `folder`: no link is followed out of it.
 * ERR_NOT_FOUND, ERR_LIMIT, ERR_INVALID (no regular file). */
int file_read_beneath(struct buf *out, const char *folder, const char *path, size_t limit,
                      struct err *err);
/* Writes beside and renames, so that a reader sees the old or the new; mode as given; fsync of file
 * and folder. */
int file_write(const char *path, const void *data, size_t len, mode_t mode, struct err *err);
/* A new file, which must not be there yet; not made durable. */
int file_create(const char *path, const void *data, size_t len, mode_t mode, struct err *err);
/* Those above it that are missing let everybody through: another user may have its folder there. */
int file_mkdirs(const char *path, mode_t mode, struct err *err);
/* The folders made in `path` come and go and have nothing to do with each other: a file system that
 * knows such a mark spreads them over the disk. ext4 does not give an inode away within a minute of
 * its removal, and looks through all of those in a folder's own part of the disk for each new file:
 * 20,000 files made where as many were just removed take thirty times as long. Where there is no
 * such mark, nothing is done. */
void file_spread(const char *path);
/* Removes a tree without following links; not being there is success. Chmods folders that it must
 * enter. */
int file_remove_tree(const char *path, struct err *err);
/* The same of what is at `path` relative to `folder`; a link in `path` before its last part is
 * ERR_INVALID, so that nothing outside is removed. */
int file_remove_beneath(const char *folder, const char *path, struct err *err);

#endif
