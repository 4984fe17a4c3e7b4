/* Effects of a test. What it is given is copied, and freed by pelton_fake_reset. */
#include "fake.h"

#include "effects.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 256 }; /* of each kind, in one test */

typedef struct {
    char *store, *key;
    pelton_bytes value;
} entry;

typedef struct {
    char *method, *url, *body, *error;
    int status;
} answer;

typedef struct {
    char *part, *code, *constraint;
    pelton_sql_rows rows;
} reply;

static struct {
    entry config[MOST], state[MOST];
    answer answers[MOST];
    pelton_fake_request requests[MOST];
    pelton_fake_message messages[MOST];
    reply replies[MOST];
    pelton_fake_statement statements[MOST];
    size_t configs, states, answer_count, request_count, message_count, reply_count, statement_count;
    bool is_over; /* a statement has failed */
} fake;

static void *copied(const void *from, size_t length) {
    char *data = malloc(length + 1);
    if (data == NULL) abort();
    if (length > 0) memcpy(data, from, length);
    data[length] = 0;
    return data;
}

static char *copied_text(const char *from) { return from == NULL ? NULL : copied(from, strlen(from)); }

static pelton_bytes copied_bytes(pelton_bytes from) {
    if (from.data == NULL) return from;
    return (pelton_bytes){copied(from.data, from.length), from.length};
}

/* As what is given to a handler: an empty value takes no memory. */
static pelton_bytes given(pelton_bytes from) {
    return from.data != NULL && from.length == 0 ? (pelton_bytes){pelton_empty, 0} : copied_bytes(from);
}

static pelton_header *copied_headers(const pelton_header *from, size_t count) {
    pelton_header *all = calloc(count + 1, sizeof *all);
    if (all == NULL) abort();
    for (size_t i = 0; i < count; i++)
        all[i] = (pelton_header){copied_bytes(from[i].name), copied_bytes(from[i].value)};
    return all;
}

static void free_headers(const pelton_header *all, size_t count) {
    for (size_t i = 0; i < count; i++) free((void *)all[i].name.data), free((void *)all[i].value.data);
    free((void *)all);
}

static size_t placed(size_t *count) {
    if (*count == MOST) {
        fprintf(stderr, "a test has %d of each kind at most: call pelton_fake_reset between\n", MOST);
        abort();
    }
    return (*count)++;
}

static void free_entries(entry *all, size_t *count) {
    for (size_t i = 0; i < *count; i++) free(all[i].store), free(all[i].key), free((void *)all[i].value.data);
    *count = 0;
}

static void free_answer(answer *one) { free(one->method), free(one->url), free(one->body), free(one->error); }

static void free_values(pelton_sql_value *all, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (all[i].is >= PELTON_SQL_TEXT) free((void *)all[i].of.bytes.data);
    free(all);
}

static void free_reply(reply *one) { free(one->part), free(one->code), free(one->constraint), pelton_sql_free(&one->rows); }

static void free_statements(void) {
    while (fake.reply_count > 0) free_reply(&fake.replies[--fake.reply_count]);
    while (fake.statement_count > 0) {
        pelton_fake_statement *one = &fake.statements[--fake.statement_count];
        free((void *)one->database), free((void *)one->text);
        free_values(one->parameters, one->count);
    }
    fake.is_over = false;
}

void pelton_fake_reset(void) {
    free_statements();
    free_entries(fake.config, &fake.configs);
    free_entries(fake.state, &fake.states);
    while (fake.answer_count > 0) free_answer(&fake.answers[--fake.answer_count]);
    while (fake.request_count > 0) {
        pelton_fake_request *one = &fake.requests[--fake.request_count];
        free((void *)one->method), free((void *)one->url), free((void *)one->body.data);
        free_headers(one->headers, one->header_count);
    }
    while (fake.message_count > 0) {
        pelton_fake_message *one = &fake.messages[--fake.message_count];
        free((void *)one->target), free((void *)one->key.data), free((void *)one->body.data);
        free_headers(one->headers, one->header_count);
    }
}

static entry *found(entry *all, size_t count, const char *store, const char *key) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(all[i].store, store) == 0 && strcmp(all[i].key, key) == 0) return &all[i];
    return NULL;
}

static void put(entry *all, size_t *count, const char *store, const char *key, pelton_bytes value) {
    entry *is = found(all, *count, store, key);
    if (is == NULL) {
        is = &all[placed(count)];
        *is = (entry){copied_text(store), copied_text(key), {NULL, 0}};
    }
    free((void *)is->value.data);
    is->value = copied_bytes(value.data == NULL ? (pelton_bytes){"", 0} : value);
}

void pelton_fake_config(const char *name, const char *value) {
    put(fake.config, &fake.configs, "", name, pelton_text(value));
}

void pelton_fake_state(const char *store, const char *key, const char *value) {
    put(fake.state, &fake.states, pelton_store(store), key, pelton_text(value));
}

void pelton_fake_http(const char *method, const char *url, int status, const char *body) {
    fake.answers[placed(&fake.answer_count)] =
        (answer){copied_text(method), copied_text(url), copied_text(body), NULL, status};
}

void pelton_fake_http_fails(const char *method, const char *url, const char *error) {
    fake.answers[placed(&fake.answer_count)] = (answer){copied_text(method), copied_text(url), NULL, copied_text(error), 0};
}

const pelton_fake_request *pelton_fake_request_at(size_t number) {
    return number < fake.request_count ? &fake.requests[number] : NULL;
}

const pelton_fake_message *pelton_fake_message_at(size_t number) {
    return number < fake.message_count ? &fake.messages[number] : NULL;
}

const char *pelton_fake_state_at(const char *store, const char *key) {
    entry *is = found(fake.state, fake.states, pelton_store(store), key);
    return is == NULL ? NULL : is->value.data;
}

/* ---- what the handler calls ---- */

const char *pelton_http_send(const pelton_http_request *request, pelton_http_response *response) {
    const char *method = pelton_method(request);
    *response = (pelton_http_response){0};
    fake.requests[placed(&fake.request_count)] =
        (pelton_fake_request){copied_text(method), copied_text(request->url), copied_bytes(request->body),
                              copied_headers(request->headers, request->header_count), request->header_count};
    for (size_t i = 0; i < fake.answer_count; i++) {
        answer one = fake.answers[i];
        if (strcmp(one.method, method) != 0 || strcmp(one.url, request->url) != 0) continue;
        fake.answer_count--;
        memmove(&fake.answers[i], &fake.answers[i + 1], (fake.answer_count - i) * sizeof one);
        const char *error = one.error == NULL ? NULL : pelton_failed(one.error, "%s %s", method, request->url);
        response->status = one.status;
        response->body = given(pelton_text(one.body == NULL ? "" : one.body));
        free_answer(&one);
        return error;
    }
    return pelton_failed("HTTP-request-denied", "the test has no answer for %s %s", method, request->url);
}

const char *pelton_config_get(const char *name, pelton_bytes *value) {
    entry *is = found(fake.config, fake.configs, "", name);
    *value = is == NULL ? (pelton_bytes){NULL, 0} : given(is->value);
    return NULL;
}

const char *pelton_state_get(const char *store, const char *key, pelton_bytes *value) {
    entry *is = found(fake.state, fake.states, pelton_store(store), key);
    *value = is == NULL ? (pelton_bytes){NULL, 0} : given(is->value);
    return NULL;
}

const char *pelton_state_set(const char *store, const char *key, pelton_bytes value) {
    put(fake.state, &fake.states, pelton_store(store), key, value);
    return NULL;
}

const char *pelton_state_delete(const char *store, const char *key) {
    entry *is = found(fake.state, fake.states, pelton_store(store), key);
    if (is == NULL) return NULL;
    free(is->store), free(is->key), free((void *)is->value.data);
    size_t at = (size_t)(is - fake.state);
    fake.states--;
    memmove(is, is + 1, (fake.states - at) * sizeof *is);
    return NULL;
}

const char *pelton_state_increment(const char *store, const char *key, int64_t by, int64_t *total) {
    char digits[24], *end = digits;
    const char *is = pelton_fake_state_at(store, key);
    int64_t sum = is == NULL ? 0 : strtoll(is, &end, 10);
    if (is != NULL && (end == is || *end != 0))
        return pelton_failed("refused", "what is at `%s` is no number to add to", key);
    sum += by;
    snprintf(digits, sizeof digits, "%" PRId64, sum);
    if (total != NULL) *total = sum;
    return pelton_state_set(store, key, pelton_text(digits));
}

const char *pelton_state_list(const char *store, pelton_bytes **keys, size_t *count) {
    *keys = calloc(fake.states + 1, sizeof **keys);
    if (*keys == NULL) abort();
    *count = 0;
    for (size_t i = 0; i < fake.states; i++)
        if (strcmp(fake.state[i].store, pelton_store(store)) == 0)
            (*keys)[(*count)++] = given(pelton_text(fake.state[i].key));
    return NULL;
}

const char *pelton_outbox_send(const pelton_outgoing *message, pelton_bytes *id) {
    char text[32];
    fake.messages[placed(&fake.message_count)] =
        (pelton_fake_message){copied_text(message->target), copied_bytes(message->key), copied_bytes(message->body),
                              copied_headers(message->headers, message->header_count), message->header_count,
                              message->delay_ms};
    snprintf(text, sizeof text, "test-%zu", fake.message_count);
    if (id != NULL) *id = given(pelton_text(text));
    return NULL;
}

/* ---- SQL ---- */

/* With one space wherever there are some. It is freed by free. */
static char *words(const char *statement) {
    char *all = copied_text(statement), *to = all;
    for (const char *from = all; *from != 0; from++) {
        bool is_space = strchr(" \t\r\n", *from) != NULL;
        if (is_space && (to == all || to[-1] == ' ')) continue;
        *to++ = is_space ? ' ' : *from;
    }
    if (to > all && to[-1] == ' ') to--;
    *to = 0;
    return all;
}

static pelton_sql_value *copied_values(const pelton_sql_value *from, size_t count, pelton_bytes (*copy)(pelton_bytes)) {
    pelton_sql_value *all = calloc(count + 1, sizeof *all);
    if (all == NULL) abort();
    for (size_t i = 0; i < count; i++) {
        all[i] = from[i];
        if (from[i].is >= PELTON_SQL_TEXT) all[i].of.bytes = copy(from[i].of.bytes);
    }
    return all;
}

/* As what is given to a handler, which frees it. */
static pelton_sql_rows given_rows(const pelton_sql_rows *from) {
    pelton_sql_rows rows = *from;
    rows.columns = calloc(from->column_count + 1, sizeof *rows.columns);
    if (rows.columns == NULL) abort();
    for (size_t i = 0; i < from->column_count; i++)
        rows.columns[i] = (pelton_sql_column){given(from->columns[i].name), given(from->columns[i].type_name)};
    rows.values = copied_values(from->values, from->row_count * from->column_count, given);
    return rows;
}

void pelton_fake_sql(const char *statement, const pelton_sql_rows *rows) {
    fake.replies[placed(&fake.reply_count)] = (reply){words(statement), NULL, NULL, given_rows(rows)};
}

void pelton_fake_sql_affected(const char *statement, uint64_t affected) {
    fake.replies[placed(&fake.reply_count)] = (reply){words(statement), NULL, NULL, {.affected = affected}};
}

void pelton_fake_sql_fails(const char *statement, const char *code, const char *constraint) {
    fake.replies[placed(&fake.reply_count)] =
        (reply){words(statement), copied_text(code), copied_text(constraint), {.affected = 0}};
}

const pelton_fake_statement *pelton_fake_statement_at(size_t number) {
    return number < fake.statement_count ? &fake.statements[number] : NULL;
}

static void note(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count, bool is_staged) {
    fake.statements[placed(&fake.statement_count)] =
        (pelton_fake_statement){copied_text(database), copied_text(statement),
                                copied_values(parameters, count, copied_bytes), count, is_staged};
}

/* Whether the transaction stands after a statement that failed so. */
static bool stands(const char *code) {
    return strcmp(code, "refused") == 0 || strcmp(code, "too-large") == 0 || strcmp(code, "unknown-database") == 0;
}

static const char *replied(const reply *one, pelton_sql_rows *rows) {
    pelton_bytes none = {NULL, 0};
    pelton_sql_said(one->constraint == NULL ? none : pelton_text(one->constraint), none);
    if (one->code != NULL) {
        fake.is_over = !stands(one->code);
        return pelton_failed(one->code, "%s", one->part);
    }
    *rows = given_rows(&one->rows);
    return NULL;
}

const char *pelton_sql_query(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count,
                             pelton_sql_rows *rows) {
    memset(rows, 0, sizeof *rows);
    note(database, statement, parameters, count, false);
    pelton_sql_said((pelton_bytes){NULL, 0}, (pelton_bytes){NULL, 0});
    if (fake.is_over) return pelton_failed("25P02", "a statement has failed before: the transaction is over");
    char *text = words(statement);
    size_t found = 0;
    while (found < fake.reply_count && strstr(text, fake.replies[found].part) == NULL) found++;
    const char *error = NULL;
    if (found == fake.reply_count) {
        error = pelton_failed("refused", "the test has no answer for `%s`", text);
    } else {
        reply one = fake.replies[found];
        fake.reply_count--;
        memmove(&fake.replies[found], &fake.replies[found + 1], (fake.reply_count - found) * sizeof one);
        error = replied(&one, rows);
        free_reply(&one);
    }
    free(text);
    return error;
}

const char *pelton_sql_execute(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count,
                               uint64_t *affected) {
    pelton_sql_rows rows;
    const char *error = pelton_sql_query(database, statement, parameters, count, &rows);
    if (affected != NULL) *affected = rows.affected;
    pelton_sql_free(&rows);
    return error;
}

const char *pelton_sql_stage(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count) {
    note(database, statement, parameters, count, true);
    return NULL;
}
