package pelton

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"pelton/sdk/go/internal/host"
)

// caller makes calls of the host between a request and its answer. One at a time, whoever makes them.
type caller struct {
	reader *bufio.Reader
	writer *bufio.Writer
	mutex  sync.Mutex
	// speaks is whether the request at hand says that the host knows calls.
	speaks bool
}

func (c *caller) call(name string, in, out any) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if !c.speaks {
		return &host.Error{Code: "unavailable", Text: "the program that runs this handler knows no effects: a newer Pelton does"}
	}
	asked, err := json.Marshal(in)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.writer, "call %s %d\n%s\n", name, len(asked), asked)
	if err := c.writer.Flush(); err != nil {
		return fmt.Errorf("the call %s cannot be written: %w", name, err)
	}
	line, err := c.reader.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the answer of %s was cut off: %w", name, err)
	}
	words := strings.Fields(line)
	length := 0
	if len(words) > 0 {
		length, err = strconv.Atoi(words[len(words)-1])
	}
	if err != nil || length < 0 {
		return fmt.Errorf("%q answers no call", line)
	}
	answer := make([]byte, length+1)
	if _, err := io.ReadFull(c.reader, answer); err != nil {
		return fmt.Errorf("the answer of %s was cut off: %w", name, err)
	}
	answer = answer[:length]
	switch {
	case len(words) == 3 && words[0] == "error":
		return host.Failed(words[1], answer)
	case len(words) == 2 && words[0] == "result":
		return json.Unmarshal(answer, out)
	default:
		return fmt.Errorf("%q answers no call", line)
	}
}
