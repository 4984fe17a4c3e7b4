package pelton

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pelton/sdk/go/internal/host"
)

const request = "pelton 1 1\nid 3\nm-1\npipeline 1\np\norigin 1\nq\nidempotency-key 5\np:m-1\nattempt 1\n3\nkey 2\n\xff\n\n" +
	"published-at-ms 4\n1500\nnews 2\n??\nheader-name 1\nh\nheader-value 1\na\nheader-name 1\nh\nheader-value 1\n\x00\nbody 4\na\nb\n\n"

func TestAMessageIsRead(t *testing.T) {
	var got Message
	var out bytes.Buffer
	err := serve(strings.NewReader(request+request), &out, func(messages []Message) []error {
		got = messages[0]
		return []error{nil}
	})
	if err != nil || out.String() != "ok\nok\n" {
		t.Fatal(err, out.String())
	}
	if got.ID != "m-1" || got.Attempt != 3 || string(got.Key) != "\xff\n" || string(got.Body) != "a\nb\n" {
		t.Errorf("%+v", got)
	}
	if !got.PublishedAt.Equal(time.UnixMilli(1500)) || got.Replayed || got.Tombstone {
		t.Errorf("%+v", got)
	}
	if first, ok := got.Header("h"); len(got.Headers) != 2 || !ok || first != "a" || got.Headers[1].Value[0] != 0 {
		t.Errorf("%+v", got.Headers)
	}
	if _, ok := got.Header("H"); ok {
		t.Error("names are as the producer wrote them")
	}
}

func TestErrorsBecomeAnswers(t *testing.T) {
	for _, c := range []struct {
		err    error
		answer string
	}{
		{nil, "ok\n"},
		{errors.New("down"), "retry 4\ndown\n"},
		{Retry("down: %d", 7), "retry 7\ndown: 7\n"},
		{RetryAfter(1500*time.Millisecond, "later"), "retry 5 1500\nlater\n"},
		{Reject("bad\nbody"), "reject 8\nbad\nbody\n"},
		{fmt.Errorf("order 7: %w", Reject("bad")), "reject 12\norder 7: bad\n"},
	} {
		var out bytes.Buffer
		err := serve(strings.NewReader(request), &out, func([]Message) []error { return []error{c.err} })
		if err != nil || out.String() != c.answer {
			t.Errorf("%v: %q (%v)", c.err, out.String(), err)
		}
	}
}

func TestALargeBodyIsReadInPieces(t *testing.T) {
	body := strings.Repeat("x", 3*pieceBytes+5)
	var got int
	err := serve(strings.NewReader(fmt.Sprintf("pelton 1 1\nbody %d\n%s\n", len(body), body)), &bytes.Buffer{}, func(m []Message) []error {
		got = len(m[0].Body)
		return []error{nil}
	})
	if err != nil || got != len(body) {
		t.Error(got, err)
	}
}

func TestWhatIsNoRequestIsSaid(t *testing.T) {
	for _, input := range []string{"{\"id\": 7}\n", "pelton 3 1\n", "pelton 1 0\n", "pelton 1 1\nbody x\n", "pelton 1 1\nbody 3\nab", "pelton 1 1"} {
		err := serve(strings.NewReader(input), &bytes.Buffer{}, func(m []Message) []error { return make([]error, len(m)) })
		if err == nil {
			t.Errorf("%q was taken", input)
		}
	}
	err := serve(strings.NewReader(request), &bytes.Buffer{}, func([]Message) []error { return nil })
	if err == nil || !strings.Contains(err.Error(), "0 results for 1 messages") {
		t.Error(err)
	}
}

func TestACallIsMadeBetweenARequestAndItsAnswer(t *testing.T) {
	var got host.StateTotal
	var failed error
	version2 := strings.Replace(request, "pelton 1", "pelton 2", 1)
	input := version2 + "result 12\n{\"value\":42}\nerror limit 6\nenough\n" + request
	var out bytes.Buffer
	var last error
	err := serve(strings.NewReader(input), &out, func([]Message) []error {
		if got.Value == 0 {
			failed = host.Do("state.increment", host.StateIncrement{Store: "default", Key: "n", By: 1}, &got)
			last = host.Do("config.all", struct{}{}, &struct{}{})
		} else {
			last = host.Do("config.all", struct{}{}, &struct{}{})
		}
		return []error{last}
	})
	want := "call state.increment 36\n{\"store\":\"default\",\"key\":\"n\",\"by\":1}\ncall config.all 2\n{}\nretry 14\nenough (limit)\n"
	if err != nil || failed != nil || got.Value != 42 || !strings.HasPrefix(out.String(), want) {
		t.Fatalf("%v %v %v %q", err, failed, got, out.String())
	}
	if last == nil || !strings.Contains(last.Error(), "knows no effects") {
		t.Error("a host of version 1 is not called:", last)
	}
}
