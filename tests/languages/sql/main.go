// SQL, as the test of SQL wants it.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	pelton "pelton/sdk/go"
	"pelton/sdk/go/effects"
)

type order struct {
	ID    int64  `json:"id"`
	Item  string `json:"item"`
	Units int64  `json:"units"`
	Lost  bool   `json:"lost"`
}

const words = "ä'\"\\ 日本"

const values = `select $1::int8 + 1152921504606846976 as big, $2::float8 as part, $3::bool as yes, $4::text as words,
	$5::bytea as note, $6::numeric as price, null::int4 as nothing`

var note = []byte{0, 1, 255}

var shop = effects.SQL("shop")

func main() { pelton.Handle(handle) }

func handle(message pelton.Message) error {
	var order order
	if err := json.Unmarshal(message.Body, &order); err != nil {
		return pelton.Reject("not JSON: %w", err)
	}
	if err := same(order.ID); err != nil {
		return err
	}
	rows, err := shop.Query("update stock set units = units - $2 where item = $1 returning units", order.Item, order.Units)
	var failed *effects.Error
	if errors.As(err, &failed) && failed.Constraint == "stock_not_negative" {
		return pelton.Reject("order %d: no %d %s (%s)", order.ID, order.Units, order.Item, failed.Code)
	}
	if err != nil {
		return err
	}
	var left int64
	if err := rows.Rows[0].Read("units", &left); err != nil {
		return err
	}
	changed, err := shop.Execute("insert into orders (id, item, total) values ($1, $2, $3)", order.ID, order.Item, "12.50")
	if err != nil || changed != 1 {
		return fmt.Errorf("%d rows: %w", changed, err)
	}
	log := order.ID
	if order.Lost {
		log = -1
	}
	if err := shop.Stage("insert into log (order_id, note) values ($1, $2)", log, note); err != nil {
		return err
	}
	fmt.Printf("order %d: %d left\n", order.ID, left)
	return nil
}

// same sends a value of each kind, and has to get it back.
func same(id int64) error {
	rows, err := shop.Query(values, id, 0.5, true, words, note, "12.50")
	if err != nil {
		return err
	}
	row, err := rows.One()
	if err != nil {
		return err
	}
	var big int64
	var part float64
	var yes bool
	var text, price string
	var got []byte
	var nothing *int64
	if err := row.Scan(&big, &part, &yes, &text, &got, &price, &nothing); err != nil {
		return err
	}
	if big != 1<<60+id || part != 0.5 || !yes || text != words || price != "12.50" || !bytes.Equal(got, note) || nothing != nil {
		return pelton.Reject("got %d %g %t %s %v %s %v", big, part, yes, text, got, price, nothing)
	}
	return nil
}
