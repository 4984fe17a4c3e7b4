package effects

import (
	"time"

	pelton "pelton/sdk/go"
	"pelton/sdk/go/internal/host"
)

// Outbox sends messages, to targets that the pipeline grants by name. They go out after the message at hand has
// completed.
var Outbox outbox

type outbox struct{}

// Outgoing is a message to send.
type Outgoing struct {
	// Key: messages of one key keep their order. Nil where there is none.
	Key     []byte
	Headers []pelton.Header
	Body    []byte
	// Delay has it delivered no sooner than this after the commit.
	Delay time.Duration
	// Topic is for a target that leaves it to the handler.
	Topic string
}

// Send sends a message. The id that it will have: the same each time the message at hand is handled.
func (outbox) Send(target string, message Outgoing) (id string, err error) {
	send := host.OutboxSend{Target: target, Key: message.Key, Headers: []host.Header{}, Body: message.Body}
	if send.Body == nil {
		send.Body = []byte{}
	}
	for _, header := range message.Headers {
		send.Headers = append(send.Headers, host.Header{Name: header.Name, Value: header.Value})
	}
	if message.Delay > 0 {
		send.DelayMS = milliseconds(message.Delay)
	}
	if message.Topic != "" {
		send.Topic = &message.Topic
	}
	var answer host.OutboxID
	err = host.Do("outbox.send", send, &answer)
	return answer.ID, err
}
