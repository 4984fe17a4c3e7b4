/* SQL of a component: pelton:effects/sql, by the canonical ABI. See component_effects.c. */
#include "effects.h"

#include <stdlib.h>
#include <string.h>

#define IMPORT(name) __attribute__((import_module("pelton:effects/sql@0.1.0"), import_name(name)))

/* A value is as the ABI lays it out: parameters are handed over where they lie. */
_Static_assert(sizeof(pelton_sql_value) == 16 && offsetof(pelton_sql_value, of) == 8, "a value");
_Static_assert(sizeof(pelton_sql_column) == 16, "a column");

typedef struct {
    uint8_t is_some;
    pelton_bytes text;
} option_text;

typedef struct {
    uint8_t which; /* unknown database, refused, database, unavailable, too large */
    union {
        pelton_bytes text;
        struct {
            pelton_bytes code, message;
            option_text detail, constraint;
        } database;
        uint64_t most;
    } of;
} sql_error;

typedef struct {
    pelton_sql_value *values;
    size_t count;
} abi_row;

typedef struct {
    uint8_t failed;
    union {
        struct {
            pelton_sql_column *columns;
            size_t column_count;
            abi_row *rows;
            size_t row_count;
            uint64_t affected;
        } rows;
        uint64_t affected;
        sql_error error;
    } of;
} sql_result;

_Static_assert(sizeof(sql_result) == 56 && offsetof(sql_result, of.error.of) == 16, "a statement's result");
_Static_assert(offsetof(sql_result, of.error.of.database.constraint) == 44, "a database's error");
_Static_assert(offsetof(sql_result, of.rows.affected) == 24, "rows");

IMPORT("query")
void sql_query(const char *database, size_t database_length, const char *statement, size_t length,
               const pelton_sql_value *parameters, size_t count, sql_result *result);
IMPORT("execute")
void sql_execute(const char *database, size_t database_length, const char *statement, size_t length,
                 const pelton_sql_value *parameters, size_t count, sql_result *result);
IMPORT("stage")
void sql_stage(const char *database, size_t database_length, const char *statement, size_t length,
               const pelton_sql_value *parameters, size_t count, sql_result *result);

static const char *failed(sql_error error) {
    static const char *const codes[] = {"unknown-database", "refused", "", "unavailable"};
    if (error.which > 3)
        return pelton_failed("too-large", "the result has more than %llu rows or bytes: ask for less",
                             (unsigned long long)error.of.most);
    if (error.which != 2) {
        const char *said = pelton_failed(codes[error.which], "%.*s", (int)error.of.text.length, error.of.text.data);
        pelton_free(error.of.text);
        return said;
    }
    char code[16];
    pelton_bytes is = error.of.database.code, message = error.of.database.message, none = {NULL, 0};
    pelton_bytes detail = error.of.database.detail.is_some ? error.of.database.detail.text : none;
    pelton_bytes constraint = error.of.database.constraint.is_some ? error.of.database.constraint.text : none;
    size_t length = is.length < sizeof code ? is.length : sizeof code - 1;
    if (length > 0) memcpy(code, is.data, length);
    code[length] = 0;
    const char *said = pelton_failed(code, "%.*s", (int)message.length, message.data);
    pelton_sql_said(constraint, detail);
    pelton_free(is), pelton_free(message), pelton_free(detail), pelton_free(constraint);
    return said;
}

static void *allocated(size_t count, size_t size) {
    void *memory = calloc(count + 1, size);
    if (memory == NULL) abort();
    return memory;
}

const char *pelton_sql_query(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count,
                             pelton_sql_rows *rows) {
    sql_result result;
    memset(rows, 0, sizeof *rows);
    pelton_sql_said((pelton_bytes){NULL, 0}, (pelton_bytes){NULL, 0});
    sql_query(database, strlen(database), statement, strlen(statement), parameters, count, &result);
    if (result.failed) return failed(result.of.error);
    size_t columns = result.of.rows.column_count, all = result.of.rows.row_count;
    /* What is empty was never allocated. */
    rows->columns = columns > 0 ? result.of.rows.columns : NULL;
    rows->column_count = columns;
    rows->values = allocated(all * columns, sizeof *rows->values);
    rows->row_count = all;
    rows->affected = result.of.rows.affected;
    for (size_t i = 0; i < all; i++) {
        abi_row row = result.of.rows.rows[i];
        if (row.count != columns) abort();
        if (row.count == 0) continue;
        memcpy(&rows->values[i * columns], row.values, columns * sizeof *row.values);
        free(row.values);
    }
    if (all > 0) free(result.of.rows.rows);
    return NULL;
}

const char *pelton_sql_execute(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count,
                               uint64_t *affected) {
    sql_result result;
    if (affected != NULL) *affected = 0;
    pelton_sql_said((pelton_bytes){NULL, 0}, (pelton_bytes){NULL, 0});
    sql_execute(database, strlen(database), statement, strlen(statement), parameters, count, &result);
    if (result.failed) return failed(result.of.error);
    if (affected != NULL) *affected = result.of.affected;
    return NULL;
}

const char *pelton_sql_stage(const char *database, const char *statement, const pelton_sql_value *parameters, size_t count) {
    sql_result result;
    pelton_sql_said((pelton_bytes){NULL, 0}, (pelton_bytes){NULL, 0});
    sql_stage(database, strlen(database), statement, strlen(statement), parameters, count, &result);
    return result.failed ? failed(result.of.error) : NULL;
}
