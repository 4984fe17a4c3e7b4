// Takes orders: JSON in, checked, then charged at a payment gateway.
package main

import (
	"encoding/json"
	"fmt"
	"time"

	pelton "pelton/sdk/go"
)

type order struct {
	ID          uint64 `json:"id"`
	AmountCents int64  `json:"amount_cents"`
	GatewayDown bool   `json:"gateway_down"`
}

func main() { pelton.Handle(handle) }

func handle(message pelton.Message) error {
	var order order
	if err := json.Unmarshal(message.Body, &order); err != nil {
		return pelton.Reject("not JSON: %w", err) // a dead letter
	}
	if order.AmountCents < 0 {
		return pelton.Reject("order %d: the amount is negative", order.ID)
	}
	if err := charge(order, message); err != nil {
		return err
	}
	fmt.Printf("order %d taken\n", order.ID) // a log line of this message
	return nil
}

// charge stands in for effects.HTTP.Post, of pelton/sdk/go/effects. Pelton adds an idempotency key to it, so that no charge
// is taken twice; pelton/sdk/go/fake answers it in tests.
func charge(order order, message pelton.Message) error {
	if order.GatewayDown && message.Attempt < 3 {
		return pelton.RetryAfter(50*time.Millisecond, "order %d: the payment gateway is down", order.ID)
	}
	return nil
}
