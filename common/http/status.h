#ifndef GANTRY_HTTP_STATUS_H
#define GANTRY_HTTP_STATUS_H

/* The reason phrase of a status (RFC 9110, 15; RFC 6585); "Unknown" for others. */
const char *http_status_text(int status);

#endif
