// Package pelton turns a function into a handler of messages for Pelton.
//
// A program calls [Handle] or [HandleBatch] once, at the end of main, and is compiled with the standard compiler:
//
//	GOOS=wasip1 GOARCH=wasm go build -o handler.wasm
//
// It stays alive, and is given one message after another; what it keeps in memory is a cache at best. What it
// prints goes to the log. A panic, or an end of the program, fails the message at hand, which is tried again on a
// new instance.
package pelton

import (
	"errors"
	"fmt"
	"time"
)

// Message is one delivery of a message.
type Message struct {
	// ID is the broker's identity of the message, the same on every delivery.
	ID string
	// Pipeline is the name of the pipeline that delivers it.
	Pipeline string
	// Origin is where it was published: topic, queue, stream or list.
	Origin string
	// IdempotencyKey is the same on every attempt: hand it to the services you call.
	IdempotencyKey string
	// Key is the ordering key. Nil where there is none; an empty key is not nil.
	Key []byte
	// Headers are in the producer's order. Names may repeat.
	Headers []Header
	// Body is what was published, as it is.
	Body []byte
	// Attempt counts the starts of a handler on this message, this one included.
	Attempt uint32
	// PublishedAt is when it was published; the zero time where the broker does not say.
	PublishedAt time.Time
	// Replayed is true when an operator replays it.
	Replayed bool
	// Tombstone is true when the broker has no value at all for it, where that differs from an empty body.
	Tombstone bool
}

// Header is one header, as the producer wrote it.
type Header struct {
	Name  string
	Value []byte
}

// Header returns the value of the first header of this name, and whether there is one.
func (m Message) Header(name string) (string, bool) {
	for _, header := range m.Headers {
		if header.Name == name {
			return string(header.Value), true
		}
	}
	return "", false
}

// failure is an error that says what is to become of its message.
type failure struct {
	cause  error
	after  time.Duration
	reject bool
}

func (f *failure) Error() string { return f.cause.Error() }
func (f *failure) Unwrap() error { return f.cause }

// Retry makes an error that asks for another try, by the pipeline's policy. Any plain error does the same; this
// one is made as fmt.Errorf makes it.
func Retry(format string, args ...any) error {
	return &failure{cause: fmt.Errorf(format, args...)}
}

// RetryAfter is [Retry] not before so long from now. The pipeline's own wait counts when it is longer.
func RetryAfter(after time.Duration, format string, args ...any) error {
	return &failure{cause: fmt.Errorf(format, args...), after: after}
}

// Reject makes an error that gives the message up at once: it will never succeed. Its text is what an operator
// reads in the dead letter.
func Reject(format string, args ...any) error {
	return &failure{cause: fmt.Errorf(format, args...), reject: true}
}

// verdict is what an error says of its message, wherever in its chain that is.
func verdict(err error) (reject bool, after time.Duration) {
	var said *failure
	if errors.As(err, &said) {
		return said.reject, said.after
	}
	return false, 0
}
