/* SQL, as the test of SQL wants it. What goes wrong ends the message, and with it all that is not freed. */
#include "pelton.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DONE(call)                                        \
    do {                                                  \
        const char *error = call;                         \
        if (error != NULL) return pelton_retry(0, "%s", error); \
    } while (0)

static const char words[] = "\xc3\xa4'\"\\ \xe6\x97\xa5\xe6\x9c\xac";
static const pelton_bytes note = {"\x00\x01\xff", 3};

static const char *field(const char *json, const char *name) {
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"%s\"", name);
    const char *at = strstr(json, wanted);
    if (at == NULL || (at = strchr(at, ':')) == NULL) return NULL;
    return at + 1 + strspn(at + 1, " ");
}

static bool is(const pelton_sql_value *value, int kind, pelton_bytes bytes) {
    return value->is == kind && value->of.bytes.length == bytes.length &&
           memcmp(value->of.bytes.data, bytes.data, bytes.length) == 0;
}

static bool all_there(const pelton_sql_rows *rows, int64_t id) {
    return rows->row_count == 1 && rows->column_count == 7 &&
           pelton_sql_at(rows, 0, "big")->of.integer == 1152921504606846976 + id &&
           pelton_sql_at(rows, 0, "part")->is == PELTON_SQL_FLOAT && pelton_sql_at(rows, 0, "part")->of.number == 0.5 &&
           pelton_sql_at(rows, 0, "yes")->of.boolean && is(pelton_sql_at(rows, 0, "words"), PELTON_SQL_TEXT, pelton_text(words)) &&
           is(pelton_sql_at(rows, 0, "note"), PELTON_SQL_BYTES, note) &&
           is(pelton_sql_at(rows, 0, "price"), PELTON_SQL_TEXT, pelton_text("12.50")) &&
           pelton_sql_at(rows, 0, "nothing")->is == PELTON_SQL_NULL;
}

pelton_result pelton_handle(const pelton_message *message) {
    const char *order = message->body.data, *name = field(order, "item") + 1;
    char item[32];
    int64_t id = atol(field(order, "id")), units = atol(field(order, "units"));
    snprintf(item, sizeof item, "%.*s", (int)strcspn(name, "\""), name);
    pelton_sql_rows rows;
    pelton_sql_value values[] = {pelton_sql_integer(id), pelton_sql_float(0.5), pelton_sql_boolean(true),
                                 pelton_sql_text(words), pelton_sql_bytes(note), pelton_sql_text("12.50")};
    DONE(pelton_sql_query("shop",
                          "select $1::int8 + 1152921504606846976 as big, $2::float8 as part, $3::bool as yes, $4::text as words,"
                          " $5::bytea as note, $6::numeric as price, null::int4 as nothing",
                          values, 6, &rows));
    if (!all_there(&rows, id)) return pelton_reject("the values are others");
    pelton_sql_free(&rows);
    pelton_sql_value taken[] = {pelton_sql_text(item), pelton_sql_integer(units)};
    const char *error =
        pelton_sql_query("shop", "update stock set units = units - $2 where item = $1 returning units", taken, 2, &rows);
    if (error != NULL && pelton_sql_constraint() != NULL && strcmp(pelton_sql_constraint(), "stock_not_negative") == 0)
        return pelton_reject("order %lld: no %lld %s (%.5s)", (long long)id, (long long)units, item, error);
    if (error != NULL) return pelton_retry(0, "%s", error);
    int64_t left = pelton_sql_at(&rows, 0, "units")->of.integer;
    pelton_sql_free(&rows);
    uint64_t changed;
    pelton_sql_value inserted[] = {pelton_sql_integer(id), pelton_sql_text(item), pelton_sql_text("12.50")};
    DONE(pelton_sql_execute("shop", "insert into orders (id, item, total) values ($1, $2, $3)", inserted, 3, &changed));
    if (changed != 1) return pelton_reject("not one row");
    pelton_sql_value log[] = {pelton_sql_integer(field(order, "lost") != NULL ? -1 : id), pelton_sql_bytes(note)};
    DONE(pelton_sql_stage("shop", "insert into log (order_id, note) values ($1, $2)", log, 2));
    fprintf(stderr, "order %lld: %lld left\n", (long long)id, (long long)left);
    return pelton_ok();
}
