/* The files that are built into the program: the page and the OpenAPI document (embed.cmake). */
#ifndef GANTRY_CONSOLE_PAGE_H
#define GANTRY_CONSOLE_PAGE_H

#include <stddef.h>

struct http_request;

struct page_file {
    const char *path; /* as it is asked for */
    const char *type;
    const char *etag;           /* quoted */
    const unsigned char *plain; /* for a client that takes no gzip */
    size_t plain_len;
    const unsigned char *gzip;
    size_t gzip_len;
};

extern const struct page_file page_files[]; /* ended by a NULL path */

/* NULL: there is none. */
const struct page_file *page_file(const char *path);
/* 200 or 304; file NULL: 404. */
void page_reply(struct http_request *req, const struct page_file *file);

#endif
