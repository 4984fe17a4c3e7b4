// Stores orders, many at a time: one write for all of them, instead of one for each.
package main

import (
	"encoding/json"
	"fmt"

	pelton "pelton/sdk/go"
	"pelton/sdk/go/batch"
)

type order struct {
	ID          uint64 `json:"id"`
	AmountCents int64  `json:"amount_cents"`
}

func main() { batch.Handle(handle) }

func handle(messages []pelton.Message) []error {
	results := make([]error, len(messages))
	var orders []order
	for i, message := range messages {
		order, err := check(message)
		if err != nil {
			results[i] = err // this message alone
			continue
		}
		orders = append(orders, order)
	}
	store(orders)
	return results
}

func check(message pelton.Message) (order, error) {
	var order order
	if err := json.Unmarshal(message.Body, &order); err != nil {
		return order, pelton.Reject("not JSON: %w", err)
	}
	if order.AmountCents < 0 {
		return order, pelton.Reject("order %d: the amount is negative", order.ID)
	}
	return order, nil
}

// store stands in for a bulk insert.
func store(orders []order) {
	fmt.Printf("stored %d orders\n", len(orders))
}
