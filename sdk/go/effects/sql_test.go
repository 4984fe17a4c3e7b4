package effects_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"
	"time"

	"pelton/sdk/go/effects"
	"pelton/sdk/go/fake"
	"pelton/sdk/go/internal/host"
)

func TestStatementsAreAnsweredByTheirTextOnceAndNoted(t *testing.T) {
	world := fake.New(t)
	world.SQL("select item, stock from items", fake.Reply{Columns: []string{"item", "stock"}, Rows: [][]any{{"tea", 3}, {"nut", nil}}})
	world.SQL("insert into orders", fake.Reply{Affected: 1})
	shop := effects.SQL("shop")
	rows, err := shop.Query("select item, stock\n from items where since < $1 and id = $2", time.UnixMilli(0).UTC(), 7)
	if err != nil || len(rows.Rows) != 2 || rows.Affected != 2 {
		t.Fatal(rows, err)
	}
	var item string
	var stock int
	if err := rows.Rows[0].Scan(&item, &stock); err != nil || item != "tea" || stock != 3 {
		t.Error(item, stock, err)
	}
	var maybe *int64
	if err := rows.Rows[1].Read("stock", &maybe); err != nil || maybe != nil {
		t.Error(maybe, err)
	}
	if err := rows.Rows[1].Read("stock", &stock); code(err) != "value" || err.Error() != "the column `stock` is null, which does not fit *int (value)" {
		t.Error(err)
	}
	if _, err := rows.Rows[0].Get("price"); err.Error() != "there is no column `price`: they are item, stock (value)" {
		t.Error(err)
	}
	if _, err := rows.One(); code(err) != "value" {
		t.Error(err)
	}
	if n, err := shop.Execute("insert into orders values ($1)", uint64(math.MaxUint64)); n != 1 || err != nil {
		t.Error(n, err)
	}
	if err := shop.Stage("insert into log values ($1)", []byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := shop.Query("select $1", []int{1}); err == nil || err.Error()[:11] != "$1 is a []i" {
		t.Error(err)
	}
	first := world.Statements[0]
	if first.Parameters[0] != "1970-01-01T00:00:00Z" || first.Parameters[1] != int64(7) || first.Database != "shop" {
		t.Error(first)
	}
	if world.Statements[1].Parameters[0] != "18446744073709551615" || !world.Statements[2].Staged {
		t.Error(world.Statements)
	}
}

func TestAfterAFailedStatementTheTransactionIsOver(t *testing.T) {
	world := fake.New(t)
	world.SQL("update items", fake.Reply{Fails: "23514", Constraint: "stock_not_negative"})
	world.SQL("select 1", fake.Reply{})
	_, err := effects.SQL("shop").Execute("update items set stock = -1")
	var failed *effects.Error
	if !errors.As(err, &failed) || failed.Code != "23514" || failed.Constraint != "stock_not_negative" {
		t.Error(err)
	}
	if _, err := effects.SQL("shop").Query("select 1"); code(err) != "25P02" {
		t.Error(err)
	}
}

func TestAfterWhatPeltonRefusesTheTransactionStands(t *testing.T) {
	world := fake.New(t)
	for _, refusal := range []string{"refused", "too-large", "unknown-database"} {
		world.SQL(refusal, fake.Reply{Fails: refusal})
		if _, err := effects.SQL("shop").Query(refusal); code(err) != refusal {
			t.Error(err)
		}
	}
	world.SQL("select 1", fake.Reply{Affected: 1})
	if n, err := effects.SQL("shop").Execute("select 1"); n != 1 || err != nil {
		t.Error(n, err)
	}
}

func TestValuesKeepTheirFormInJSON(t *testing.T) {
	for _, value := range []any{nil, true, int64(math.MaxInt64), 2.0, math.Inf(-1), "a", []byte("x")} {
		text, err := json.Marshal(host.SQLValue{Of: value})
		var read host.SQLValue
		if err != nil || json.Unmarshal(text, &read) != nil {
			t.Error(value, string(text), err)
		}
		again, _ := json.Marshal(read)
		if string(again) != string(text) {
			t.Error(string(text), string(again))
		}
	}
	said := []byte(`{"code":"23505","message":"there","detail":null,"constraint":"orders_pkey"}`)
	if err := host.Failed("database", said).(*host.Error); err.Code != "23505" || err.Constraint != "orders_pkey" || err.Detail != "" {
		t.Error(err)
	}
}
