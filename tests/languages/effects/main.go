// Every effect, as the test of effects wants it.
package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	pelton "pelton/sdk/go"
	"pelton/sdk/go/effects"
)

type order struct {
	ID      int    `json:"id"`
	Path    string `json:"path"`
	Cents   int    `json:"cents"`
	Receipt *int   `json:"receipt,omitempty"`
	Nowhere bool   `json:"nowhere,omitempty"`
}

func main() { pelton.Handle(handle) }

func handle(message pelton.Message) error {
	var order order
	if err := json.Unmarshal(message.Body, &order); err != nil {
		return pelton.Reject("not JSON: %w", err)
	}
	if order.Receipt != nil {
		kind, _ := message.Header("kind")
		fmt.Printf("receipt %d of %s, %s\n", *order.Receipt, message.Key, kind)
		return nil
	}
	answer, err := charge(order, message)
	if err != nil {
		return err
	}
	if err := keep(order, answer); err != nil {
		return err
	}
	body := fmt.Appendf(nil, "{\"receipt\":%d}", order.ID)
	kind := []pelton.Header{{Name: "kind", Value: []byte("r")}}
	out := effects.Outgoing{Key: []byte("k"), Headers: kind, Body: body, Delay: time.Millisecond}
	if _, err := effects.Outbox.Send("receipts", out); err != nil {
		return err
	}
	if order.Nowhere {
		_, err = effects.Outbox.Send("nowhere", effects.Outgoing{})
	}
	return err
}

func charge(order order, message pelton.Message) (*effects.Response, error) {
	gateway, err := effects.Config.Require("gateway")
	if err != nil {
		return nil, err
	}
	headers := [][2]string{{"x-order", strconv.Itoa(order.ID)}, {"content-type", "application/json"}}
	answer, err := effects.HTTP.Send(effects.Request{
		URL: gateway + order.Path, Headers: headers, Body: message.Body, Timeout: 2 * time.Second, Message: &message,
	})
	if err != nil {
		return nil, pelton.Reject("%w", err)
	}
	return answer, answer.OK()
}

func keep(order order, answer *effects.Response) error {
	count, err := effects.State.Increment("count", 1)
	if err != nil {
		return err
	}
	isFirst, err := effects.State.CompareAndSet("first", nil, []byte(strconv.Itoa(order.ID)))
	if err != nil {
		return err
	}
	if isFirst {
		fmt.Println("the first")
	}
	if err := effects.State.Delete("gone"); err != nil {
		return err
	}
	var total int
	totals := effects.StoreOf("totals")
	if _, err := totals.GetJSON("all", &total); err != nil {
		return err
	}
	if err := totals.SetJSON("all", total+order.Cents); err != nil {
		return err
	}
	keys, err := effects.State.List()
	if err != nil {
		return err
	}
	slices.Sort(keys)
	fmt.Println(answer.Status, len(answer.Body), count, strings.Join(keys, ","))
	return nil
}
