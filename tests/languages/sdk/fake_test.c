/* The fake of effects in C, and what is done without a host. */
#include "fake.h"

#undef NDEBUG
#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const char url[] = "https://a.example/b";

static void requests(void) {
    pelton_http_response answer;
    pelton_http_request request = {.url = url, .body = pelton_text("7")};
    pelton_fake_http("POST", url, 201, "hi");
    pelton_fake_http_fails("POST", url, "connection-timeout");
    pelton_fake_http("GET", url, 204, NULL);
    assert(pelton_http_send(&request, &answer) == NULL && answer.status == 201 && strcmp(answer.body.data, "hi") == 0);
    pelton_http_free(&answer);
    assert(strcmp(pelton_http_send(&request, &answer), "connection-timeout: POST https://a.example/b") == 0);
    assert(strncmp(pelton_http_send(&request, &answer), "HTTP-request-denied: ", 21) == 0);
    request.body.data = NULL;
    assert(pelton_http_send(&request, &answer) == NULL && answer.status == 204 && answer.body.length == 0);
    pelton_http_free(&answer);
    assert(strcmp(pelton_fake_request_at(0)->body.data, "7") == 0 && pelton_fake_request_at(4) == NULL);
}

static void state(void) {
    pelton_bytes value, *keys;
    size_t count;
    int64_t total;
    bool was_set;
    pelton_fake_state(NULL, "n", "41");
    assert(pelton_state_increment(NULL, "n", 1, &total) == NULL && total == 42);
    assert(pelton_state_increment("totals", "n", -1, NULL) == NULL);
    assert(pelton_state_set(NULL, "empty", pelton_text("")) == NULL);
    assert(pelton_state_get(NULL, "empty", &value) == NULL && value.data != NULL && value.length == 0);
    pelton_free(value);
    assert(pelton_state_get(NULL, "none", &value) == NULL && value.data == NULL);
    assert(strncmp(pelton_state_increment(NULL, "empty", 1, NULL), "refused: ", 9) == 0);
    assert(pelton_state_compare_and_set(NULL, "n", pelton_text("41"), pelton_text("x"), &was_set) == NULL && !was_set);
    assert(pelton_state_compare_and_set(NULL, "n", pelton_text("42"), pelton_text("x"), &was_set) == NULL && was_set);
    assert(pelton_state_compare_and_set(NULL, "new", (pelton_bytes){NULL, 0}, pelton_text("y"), NULL) == NULL);
    assert(pelton_state_delete(NULL, "empty") == NULL && pelton_fake_state_at(NULL, "empty") == NULL);
    assert(pelton_state_list(NULL, &keys, &count) == NULL && count == 2);
    for (size_t i = 0; i < count; i++) pelton_free(keys[i]);
    free(keys);
    assert(strcmp(pelton_fake_state_at(NULL, "n"), "x") == 0 && strcmp(pelton_fake_state_at("totals", "n"), "-1") == 0);
}

static void messages(void) {
    pelton_bytes value, id;
    pelton_header header = {pelton_text("a"), pelton_text("b")};
    pelton_outgoing out = {.target = "mails", .body = pelton_text("hello"), .headers = &header, .header_count = 1};
    pelton_fake_config("region", "eu");
    assert(pelton_config_get("region", &value) == NULL && strcmp(value.data, "eu") == 0);
    pelton_free(value);
    assert(pelton_outbox_send(&out, &id) == NULL && strcmp(id.data, "test-1") == 0);
    pelton_free(id);
    assert(pelton_outbox_send(&out, NULL) == NULL);
    assert(strcmp(pelton_fake_message_at(1)->target, "mails") == 0 && pelton_fake_message_at(1)->key.data == NULL);
    assert(strcmp(pelton_fake_message_at(0)->headers[0].value.data, "b") == 0);
}

static void databases(void) {
    pelton_sql_column columns[] = {{pelton_text("item"), pelton_text("text")}, {pelton_text("stock"), pelton_text("int8")}};
    pelton_sql_value values[] = {pelton_sql_text("tea"), pelton_sql_integer(3), pelton_sql_text(""), pelton_sql_null()};
    pelton_sql_rows table = {columns, 2, values, 2, 2}, rows;
    pelton_sql_value parameters[] = {pelton_sql_integer(7), pelton_sql_text("a")};
    uint64_t affected;
    pelton_fake_sql("select item, stock from items", &table);
    pelton_fake_sql_affected("insert into orders", 4);
    pelton_fake_sql_fails("update items", "23514", "stock_not_negative");
    const char *statement = " select  item, stock\n from items where id = $1 and note = $2";
    assert(pelton_sql_query("shop", statement, parameters, 2, &rows) == NULL && rows.row_count == 2);
    assert(strcmp(pelton_sql_at(&rows, 0, "item")->of.bytes.data, "tea") == 0);
    assert(pelton_sql_at(&rows, 0, "stock")->of.integer == 3 && pelton_sql_at(&rows, 1, "stock")->is == PELTON_SQL_NULL);
    assert(pelton_sql_at(&rows, 1, "item")->of.bytes.length == 0 && pelton_sql_at(&rows, 2, "item") == NULL);
    assert(pelton_sql_at(&rows, 0, "price") == NULL);
    pelton_sql_free(&rows);
    assert(pelton_sql_execute("shop", "insert into orders values (1)", NULL, 0, &affected) == NULL && affected == 4);
    assert(pelton_sql_stage("shop", "insert into log values (1)", NULL, 0) == NULL);
    assert(strncmp(pelton_sql_execute("shop", "delete", NULL, 0, NULL), "refused: ", 9) == 0);
    const char *stands[] = {"refused", "too-large", "unknown-database"};
    for (size_t i = 0; i < 3; i++) {
        pelton_fake_sql_fails(stands[i], stands[i], NULL);
        assert(strncmp(pelton_sql_execute("shop", stands[i], NULL, 0, NULL), stands[i], strlen(stands[i])) == 0);
    }
    assert(strncmp(pelton_sql_execute("shop", "update items set stock = -1", NULL, 0, NULL), "23514: ", 7) == 0);
    assert(strcmp(pelton_sql_constraint(), "stock_not_negative") == 0 && pelton_sql_detail() == NULL);
    assert(strncmp(pelton_sql_query("shop", "select 1", NULL, 0, &rows), "25P02: ", 7) == 0 && pelton_sql_constraint() == NULL);
    const pelton_fake_statement *first = pelton_fake_statement_at(0), *staged = pelton_fake_statement_at(2);
    assert(first->count == 2 && first->parameters[0].of.integer == 7 && !first->is_staged && staged->is_staged);
}

int main(void) {
    requests();
    state();
    messages();
    databases();
    pelton_fake_reset();
    assert(pelton_fake_request_at(0) == NULL && pelton_fake_message_at(0) == NULL);
    assert(pelton_fake_statement_at(0) == NULL);
    return 0;
}
