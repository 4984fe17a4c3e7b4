package pelton

import (
	"fmt"
	"os"
)

// Handle gives every message to handle, one after another, and does not return. A nil error settles the message;
// [Reject] gives it up, and any other error is a retry with the error's text.
func Handle(handle func(Message) error) {
	HandleBatch(func(messages []Message) []error {
		results := make([]error, len(messages))
		for i, message := range messages {
			results[i] = handle(message)
		}
		return results
	})
}

// HandleBatch is what package batch calls; through it the file says that it takes many messages at a time. Called
// without, it is given one at a time.
func HandleBatch(handle func([]Message) []error) {
	// Answers are all that may be written there: what the program prints is not one.
	in, out := os.Stdin, os.Stdout
	os.Stdout = os.Stderr
	if said, found := os.LookupEnv("PELTON_PROTOCOL"); found && said != "worker" {
		fmt.Fprintf(os.Stderr, "this handler is a worker, and is run as a %s: leave `protocol` out of the handler's section\n", said)
		os.Exit(75)
	}
	if err := serve(in, out, handle); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(70)
	}
	os.Exit(0)
}
