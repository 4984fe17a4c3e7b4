// Package batch is for handlers that gain from many messages at a time: bulk inserts, vectorised work.
package batch

import pelton "pelton/sdk/go"

// Handle gives lists of messages to handle, and does not return. One result for each message, in order: nil
// settles it, [pelton.Reject] gives it up, and any other error is a retry.
//
// Messages with the same key are in a list in their order, and when one of them fails those behind it run again.
// After a panic or a timeout the messages are run again one by one, so that the one to blame is found.
func Handle(handle func([]pelton.Message) []error) {
	pelton.HandleBatch(handle)
}
