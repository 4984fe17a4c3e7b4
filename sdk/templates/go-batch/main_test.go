package main

import (
	"testing"

	pelton "pelton/sdk/go"
)

// The handler is a plain function: these run without Pelton, with `go test`.
func TestABadOneIsRejectedAlone(t *testing.T) {
	results := handle([]pelton.Message{
		{Body: []byte(`{"id": 1, "amount_cents": 5}`)},
		{Body: []byte(`not JSON`)},
		{Body: []byte(`{"id": 3, "amount_cents": -5}`)},
	})
	if len(results) != 3 || results[0] != nil || results[1] == nil || results[2] == nil {
		t.Error(results)
	}
}
