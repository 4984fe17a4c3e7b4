/* What the files of the SDK that do effects share. Not for handlers. */
#ifndef PELTON_EFFECTS_H
#define PELTON_EFFECTS_H

#include "pelton.h"

/* The header by which the host is told which message a request belongs to. It takes it out. */
#define PELTON_MESSAGE_HEADER "pelton-message"

/* What an empty value points to: it is not null, and takes no memory. */
static char pelton_empty[1] __attribute__((unused));

/* Makes `CODE: words`, which is kept until the next one. */
__attribute__((format(printf, 2, 3))) const char *pelton_failed(const char *code, const char *words, ...);

/* What a database says besides; data is null where there is none. It is copied. Each statement begins with none. */
void pelton_sql_said(pelton_bytes constraint, pelton_bytes detail);

static inline const char *pelton_store(const char *store) { return store != NULL ? store : "default"; }

/* The method of a request. */
static inline const char *pelton_method(const pelton_http_request *request) {
    if (request->method != NULL) return request->method;
    return request->body.data != NULL ? "POST" : "GET";
}

/* How long the URL is without its query, where secrets may stand. */
static inline int pelton_shown(const char *url) {
    int length = 0;
    while (url[length] != 0 && url[length] != '?' && url[length] != '#') length++;
    return length;
}

#endif
