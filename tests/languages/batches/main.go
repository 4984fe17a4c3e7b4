// Requests of a batch, each for its message, as the test of batches wants it.
package main

import (
	"encoding/json"
	"fmt"

	pelton "pelton/sdk/go"
	"pelton/sdk/go/batch"
	"pelton/sdk/go/effects"
)

type order struct {
	URL   string `json:"url"`
	Named bool   `json:"named"`
}

func main() { batch.Handle(handle) }

func handle(messages []pelton.Message) []error {
	fmt.Printf("a call of %d\n", len(messages))
	results := make([]error, len(messages))
	for i := range messages {
		results[i] = sent(&messages[i])
	}
	return results
}

func sent(message *pelton.Message) error {
	var order order
	if err := json.Unmarshal(message.Body, &order); err != nil {
		return pelton.Reject("not JSON: %w", err)
	}
	request := effects.Request{URL: order.URL, Body: message.Body}
	if order.Named {
		request.Message = message
	}
	answer, err := effects.HTTP.Send(request)
	if err != nil {
		return err
	}
	if answer.Status != 200 {
		return fmt.Errorf("%d", answer.Status)
	}
	return nil
}
