package main

import (
	"testing"

	pelton "pelton/sdk/go"
)

// The handler is a plain function: these run without Pelton, with `go test`.
func TestOrders(t *testing.T) {
	for _, c := range []struct {
		body    string
		attempt uint32
		want    string
	}{
		{`{"id": 7, "amount_cents": 1250}`, 1, ""},
		{`{"id": 7, "amount_cents": -1}`, 1, "order 7: the amount is negative"},
		{`{"id": 8, "amount_cents": 1, "gateway_down": true}`, 1, "order 8: the payment gateway is down"},
		{`{"id": 8, "amount_cents": 1, "gateway_down": true}`, 3, ""},
	} {
		got := ""
		if err := handle(pelton.Message{Body: []byte(c.body), Attempt: c.attempt}); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.body, got, c.want)
		}
	}
}
