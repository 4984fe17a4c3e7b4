package pelton

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"pelton/sdk/go/internal/host"
)

const (
	// What one read asks for at most: the host copies a read as a whole.
	pieceBytes = 1 << 20
	// What a reason may have; a longer one is cut.
	reasonBytes = 60 << 10
)

// serve answers requests until there are no more. An error is a host that speaks something else.
func serve(in io.Reader, out io.Writer, handle func([]Message) []error) error {
	reader, writer := bufio.NewReaderSize(in, 64<<10), bufio.NewWriterSize(out, 4<<10)
	calls := &caller{reader: reader, writer: writer}
	host.Call = calls.call
	for {
		line, err := reader.ReadString('\n')
		if err == io.EOF && line == "" {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the request was cut off: %w", err)
		}
		version, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		version2, number, _ := strings.Cut(number, " ")
		count, err := strconv.Atoi(number)
		known := version2 == "1" || version2 == "2"
		if version != "pelton" || !known || err != nil || count < 1 {
			return fmt.Errorf("%q is no request of the worker protocol, version 1 or 2: is the handler run as a worker?", line)
		}
		calls.speaks = version2 == "2"
		messages := make([]Message, count)
		for i := range messages {
			if err := readMessage(reader, &messages[i]); err != nil {
				return err
			}
		}
		results := handle(messages)
		if len(results) != count {
			return fmt.Errorf("the batch handler returned %d results for %d messages", len(results), count)
		}
		for _, result := range results {
			writeAnswer(writer, result)
		}
		if err := writer.Flush(); err != nil {
			return fmt.Errorf("the answer cannot be written: %w", err)
		}
	}
}

// readMessage reads fields up to the body, which is the last. Fields that it does not know are passed over.
func readMessage(reader *bufio.Reader, message *Message) error {
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return fmt.Errorf("the request was cut off: %w", err)
		}
		name, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		length, err := strconv.Atoi(number)
		if err != nil || length < 0 {
			return fmt.Errorf("%q is no field of a message", line)
		}
		value := make([]byte, length)
		for read := 0; read < length; {
			piece := value[read:min(length, read+pieceBytes)]
			if _, err := io.ReadFull(reader, piece); err != nil {
				return fmt.Errorf("the request was cut off: %w", err)
			}
			read += len(piece)
		}
		if _, err := reader.Discard(1); err != nil {
			return fmt.Errorf("the request was cut off: %w", err)
		}
		if name == "body" {
			message.Body = value
			return nil
		}
		setField(message, name, value)
	}
}

func setField(message *Message, name string, value []byte) {
	switch name {
	case "id":
		message.ID = string(value)
	case "pipeline":
		message.Pipeline = string(value)
	case "origin":
		message.Origin = string(value)
	case "idempotency-key":
		message.IdempotencyKey = string(value)
	case "key":
		message.Key = value
	case "attempt":
		attempt, _ := strconv.ParseUint(string(value), 10, 32)
		message.Attempt = uint32(attempt)
	case "published-at-ms":
		if ms, err := strconv.ParseInt(string(value), 10, 64); err == nil {
			message.PublishedAt = time.UnixMilli(ms)
		}
	case "replayed":
		message.Replayed = true
	case "tombstone":
		message.Tombstone = true
	case "header-name":
		message.Headers = append(message.Headers, Header{Name: string(value)})
	case "header-value":
		if last := len(message.Headers) - 1; last >= 0 {
			message.Headers[last].Value = value
		}
	}
}

func writeAnswer(writer *bufio.Writer, err error) {
	if err == nil {
		writer.WriteString("ok\n")
		return
	}
	reason := err.Error()
	if len(reason) > reasonBytes {
		reason = strings.ToValidUTF8(reason[:reasonBytes], "")
	}
	reject, after := verdict(err)
	switch {
	case reject:
		fmt.Fprintf(writer, "reject %d\n%s\n", len(reason), reason)
	case after > 0:
		fmt.Fprintf(writer, "retry %d %d\n%s\n", len(reason), after.Milliseconds(), reason)
	default:
		fmt.Fprintf(writer, "retry %d\n%s\n", len(reason), reason)
	}
}
