/* Effects in a handler's own tests, on your machine: what a test gives, and what came of it. Link fake.c. */
#ifndef PELTON_FAKE_H
#define PELTON_FAKE_H

#include "pelton.h"

/* Begins anew: nothing is given, nothing was done. */
void pelton_fake_reset(void);

/* Gives a value of the configuration. */
void pelton_fake_config(const char *name, const char *value);

/* Puts a value into a store; null is the one called "default". */
void pelton_fake_state(const char *store, const char *key, const char *value);

/* Answers one request of this method and URL; several for the same are used in their order. */
void pelton_fake_http(const char *method, const char *url, int status, const char *body);

/* Has one request of this method and URL fail with a code, as "connection-timeout". */
void pelton_fake_http_fails(const char *method, const char *url, const char *code);

/* Answers one statement that has this text in it, whatever the spaces, with rows or a number of them; several for the same
 * are used in their order. The rows are copied. */
void pelton_fake_sql(const char *statement, const pelton_sql_rows *rows);
void pelton_fake_sql_affected(const char *statement, uint64_t affected);

/* Has one fail with the database's code, as "23514", or with one of Pelton's, as "refused"; the constraint is null where it
 * is none. After the database's the transaction is over. */
void pelton_fake_sql_fails(const char *statement, const char *code, const char *constraint);

/* A request that was sent. Text ends with a zero. */
typedef struct {
    const char *method, *url;
    pelton_bytes body;
    const pelton_header *headers;
    size_t header_count;
} pelton_fake_request;

/* A message that was sent. */
typedef struct {
    const char *target;
    pelton_bytes key, body;
    const pelton_header *headers;
    size_t header_count;
    uint64_t delay_ms;
} pelton_fake_message;

/* A statement that was run or staged. */
typedef struct {
    const char *database, *text;
    pelton_sql_value *parameters;
    size_t count;
    bool is_staged;
} pelton_fake_statement;

/* The requests and the messages that were sent, and the statements, by their order from 0; null where there was none. */
const pelton_fake_request *pelton_fake_request_at(size_t number);
const pelton_fake_statement *pelton_fake_statement_at(size_t number);
const pelton_fake_message *pelton_fake_message_at(size_t number);

/* What a store has at a key, as text; null where there is nothing. */
const char *pelton_fake_state_at(const char *store, const char *key);

#endif
