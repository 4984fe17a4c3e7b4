// Package fake stands in for effects in a handler's own tests, which run natively.
//
//	world := fake.New(t)
//	world.Config["region"] = "eu"
//	world.Answer("POST", "https://api.example/charges", fake.Answer{Status: 201})
//	err := handle(pelton.Message{Body: body})
//	// world.Requests, world.Stores["default"] and world.Sent say what came of it.
package fake

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"pelton/sdk/go/internal/host"
)

// World is what a test gives its handler, and afterwards what the handler did.
type World struct {
	// Config has names and values.
	Config map[string]string
	// Stores have keys and values, by the stores' names. The usual one is "default".
	Stores map[string]map[string]string
	// Requests were sent, in their order.
	Requests []Request
	// Sent are messages that were sent, in their order.
	Sent []Sent
	// Statements were run or staged, in their order.
	Statements []Statement
	answers    []given
	replies    []reply
	isOver     bool
}

// Request is one that was sent.
type Request struct {
	Method, URL string
	Headers     [][2]string
	Body        string
	// Message is the idempotency key of the message it is sent for, where it names one.
	Message string
}

// Sent is a message that was sent.
type Sent struct {
	Target  string
	Key     []byte
	Headers map[string]string
	Body    string
	DelayMS int64
	Topic   string
}

// Answer is what a request is answered with.
type Answer struct {
	// Status is 200 where it is not said.
	Status  int
	Headers [][2]string
	Body    string
	// Fails has the request fail with this code instead, as "connection-timeout".
	Fails string
}

type given struct {
	method, url string
	answer      Answer
}

// New has effects be those of the test, until it ends. Tests that run side by side cannot have one each.
func New(t testing.TB) *World {
	world := &World{Config: map[string]string{}, Stores: map[string]map[string]string{"default": {}}}
	before := host.Call
	host.Call = world.call
	t.Cleanup(func() { host.Call = before })
	return world
}

// Answer answers one request of this method and URL; several for the same are used in their order.
func (w *World) Answer(method, url string, answer Answer) {
	if answer.Status == 0 {
		answer.Status = 200
	}
	w.answers = append(w.answers, given{method, url, answer})
}

// call does what Pelton would, with what it would be given.
func (w *World) call(name string, in, out any) error {
	answer, err := w.do(name, in)
	if err != nil {
		return err
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, out)
}

func (w *World) do(name string, in any) (any, error) {
	switch asked := in.(type) {
	case host.HTTPSend:
		return w.send(asked)
	case host.ConfigGet:
		if value, found := w.Config[asked.Name]; found {
			return host.ConfigValue{Value: &value}, nil
		}
		return host.ConfigValue{}, nil
	case host.StateKey:
		return w.key(name, asked)
	case host.StateSet:
		w.store(asked.Store)[asked.Key] = string(asked.Value)
		return struct{}{}, nil
	case host.StateIncrement:
		return w.increment(asked)
	case host.StateList:
		keys := []string{}
		for key := range w.store(asked.Store) {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		return host.StateKeys{Keys: keys}, nil
	case host.OutboxSend:
		return w.sent(asked), nil
	case host.Statement:
		return w.run(name, asked)
	default:
		return host.ConfigAll{Values: w.Config}, nil
	}
}

func (w *World) send(asked host.HTTPSend) (any, error) {
	request := Request{Method: asked.Method, URL: asked.URL, Headers: asked.Headers, Body: string(asked.Body)}
	if asked.Message != nil {
		request.Message = *asked.Message
	}
	w.Requests = append(w.Requests, request)
	at := slices.IndexFunc(w.answers, func(one given) bool { return one.method == asked.Method && one.url == asked.URL })
	if at < 0 {
		text := fmt.Sprintf("the test has no answer for %s %s", asked.Method, asked.URL)
		return nil, &host.Error{Code: "HTTP-request-denied", Text: text}
	}
	answer := w.answers[at].answer
	w.answers = slices.Delete(w.answers, at, at+1)
	if answer.Fails != "" {
		return nil, &host.Error{Code: answer.Fails, Text: asked.Method + " " + asked.URL}
	}
	return host.HTTPAnswer{Status: answer.Status, Headers: answer.Headers, Body: []byte(answer.Body)}, nil
}

func (w *World) store(name string) map[string]string {
	if w.Stores[name] == nil {
		w.Stores[name] = map[string]string{}
	}
	return w.Stores[name]
}

func (w *World) key(name string, asked host.StateKey) (any, error) {
	store := w.store(asked.Store)
	if name == "state.delete" {
		delete(store, asked.Key)
		return struct{}{}, nil
	}
	if value, found := store[asked.Key]; found {
		bytes := []byte(value)
		return host.StateValue{Value: &bytes}, nil
	}
	return host.StateValue{}, nil
}

func (w *World) increment(asked host.StateIncrement) (any, error) {
	store := w.store(asked.Store)
	is := store[asked.Key]
	if is == "" {
		is = "0"
	}
	number, err := strconv.ParseInt(is, 10, 64)
	if err != nil {
		return nil, &host.Error{Code: "refused", Text: fmt.Sprintf("what is at `%s` is no number to add to", asked.Key)}
	}
	store[asked.Key] = strconv.FormatInt(number+asked.By, 10)
	return host.StateTotal{Value: number + asked.By}, nil
}

func (w *World) sent(asked host.OutboxSend) any {
	sent := Sent{Target: asked.Target, Key: asked.Key, Headers: map[string]string{}, Body: string(asked.Body)}
	for _, header := range asked.Headers {
		sent.Headers[header.Name] = string(header.Value)
	}
	if asked.DelayMS != nil {
		sent.DelayMS = *asked.DelayMS
	}
	if asked.Topic != nil {
		sent.Topic = *asked.Topic
	}
	w.Sent = append(w.Sent, sent)
	return host.OutboxID{ID: fmt.Sprintf("test-%d", len(w.Sent))}
}
