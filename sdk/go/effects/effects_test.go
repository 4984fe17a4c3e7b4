package effects_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	pelton "pelton/sdk/go"
	"pelton/sdk/go/effects"
	"pelton/sdk/go/fake"
)

const url = "https://a.example/b?key=secret"

func code(err error) string {
	var failed *effects.Error
	errors.As(err, &failed)
	if failed == nil {
		return ""
	}
	return failed.Code
}

func TestRequestsAreAnsweredInTheirOrderAndOnce(t *testing.T) {
	world := fake.New(t)
	world.Answer("POST", url, fake.Answer{Status: 503, Body: "busy", Headers: [][2]string{{"Retry-After", "3"}}})
	world.Answer("POST", url, fake.Answer{Fails: "connection-timeout"})
	world.Answer("GET", url, fake.Answer{Body: `{"id":1}`})
	answer, err := effects.HTTP.Send(effects.Request{URL: url, Body: []byte("7"), Message: &pelton.Message{IdempotencyKey: "k-7"}})
	if err != nil || answer.Status != 503 || answer.Header("retry-after") != "3" {
		t.Fatal(answer, err)
	}
	if err := answer.OK(); code(err) != "status" || err.Error() != "POST https://a.example/b: 503: busy (status)" {
		t.Error(err)
	}
	if _, err := effects.HTTP.Post(url, "text/plain", nil); code(err) != "connection-timeout" {
		t.Error(err)
	}
	var got struct{ ID int }
	if answer, err := effects.HTTP.Get(url); err != nil || answer.OK() != nil || answer.JSON(&got) != nil || got.ID != 1 {
		t.Error(answer, err)
	}
	if _, err := effects.HTTP.Get(url); code(err) != "HTTP-request-denied" {
		t.Error(err)
	}
	if first := world.Requests[0]; first.Body != "7" || first.Message != "k-7" || len(world.Requests) != 4 {
		t.Errorf("%+v", world.Requests)
	}
}

func TestStateIsKeptByStoreAndKey(t *testing.T) {
	world := fake.New(t)
	world.Stores["default"]["n"] = "41"
	if n, err := effects.State.Increment("n", 1); n != 42 || err != nil {
		t.Error(n, err)
	}
	if value, err := effects.State.Get("none"); value != nil || err != nil {
		t.Error(value, err)
	}
	if err := effects.State.Set("empty", nil); err != nil {
		t.Error(err)
	}
	if value, err := effects.State.Get("empty"); value == nil || len(value) != 0 || err != nil {
		t.Error(value, err)
	}
	if done, err := effects.State.CompareAndSet("n", []byte("41"), []byte("x")); done || err != nil {
		t.Error(done, err)
	}
	if done, err := effects.StoreOf("totals").CompareAndSet("new", nil, []byte("x")); !done || err != nil {
		t.Error(done, err)
	}
	if _, err := effects.StoreOf("totals").Increment("new", 1); code(err) != "refused" {
		t.Error(err)
	}
	var list []int
	if err := effects.State.SetJSON("json", []int{1}); err != nil {
		t.Error(err)
	}
	if found, err := effects.State.GetJSON("json", &list); !found || err != nil || list[0] != 1 {
		t.Error(list, err)
	}
	if err := effects.State.Delete("empty"); err != nil {
		t.Error(err)
	}
	if keys, err := effects.State.List(); !slices.Equal(keys, []string{"json", "n"}) || err != nil {
		t.Error(keys, err)
	}
}

func TestConfigurationAndMessagesAreThoseOfTheTest(t *testing.T) {
	world := fake.New(t)
	world.Config["region"] = "eu"
	if region, found, err := effects.Config.Get("region"); region != "eu" || !found || err != nil {
		t.Error(region, err)
	}
	if _, err := effects.Config.Require("x"); code(err) != "not-granted" {
		t.Error(err)
	}
	if all, err := effects.Config.All(); len(all) != 1 || err != nil {
		t.Error(all, err)
	}
	headers := []pelton.Header{{Name: "a", Value: []byte("b")}}
	id, err := effects.Outbox.Send("mails", effects.Outgoing{Body: []byte("hello"), Headers: headers, Delay: 1500 * time.Microsecond})
	if sent := world.Sent[0]; id != "test-1" || err != nil || sent.Body != "hello" || sent.DelayMS != 2 || sent.Headers["a"] != "b" {
		t.Error(id, err, world.Sent)
	}
}

func TestWithoutAFakeTheErrorSaysWhatATestNeeds(t *testing.T) {
	if _, err := effects.State.Get("a"); code(err) != "unavailable" {
		t.Error(err)
	}
}
